"""`bertsmith export`, and `--backend` of the commands that answer."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from bertsmith import exporting
from bertsmith.bundle import MANIFEST
from cli_runs import bertsmith, short, succeed, trained
from small_runs import labelled, write_tsv

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return shutil.copytree(trained("single"), tmp_path / "model")


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    return write_tsv(tmp_path / "dev.tsv", labelled(60, seed=5))


def test_export_then_predict_and_evaluate(model: Path, dev: Path) -> None:
    shown = succeed("export", model, "--to", "onnx", "--dev", dev)
    assert "agreement of rows" in shown.out
    assert "accepted" in shown.out
    assert "comparing its answers with the model's on 60 rows" in shown.err
    answers = succeed("predict", model, dev)
    assert "answering with the exported form onnx (f32)" in answers.err
    own = succeed("predict", model, dev, "--backend", "torch")
    assert "exported form" not in own.err
    for one, other in zip(answers.records, own.records, strict=True):
        assert one["label"] == other["label"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    scores = [
        succeed("evaluate", model, dev, "--json", "--backend", backend).record["scores"]["accuracy"]
        for backend in ("onnx", "torch")
    ]
    assert scores[0] == scores[1]
    assert "exported form" not in succeed("predict", model, "good film", "--quiet").err


def test_what_answers_is_said_or_asked_for(model: Path, dev: Path) -> None:
    succeed("export", model, "--to", "onnx", "--dev", dev)
    asked = succeed("predict", model, "good film", "--precision", "fp32")
    assert "exported form" not in asked.err, "a precision asks for torch"
    outcome = bertsmith("predict", model, "good film", "--backend", "onnx", "--precision", "fp32")
    assert outcome.code == 2
    assert "the precision of an exported form was fixed when it was exported" in outcome.err
    manifest = json.loads((model / MANIFEST).read_text())
    manifest["exports"]["openvino"] = {**manifest["exports"]["onnx"], "of": "0" * 64}
    manifest["exports"]["openvino"]["files"] = {"model.xml": {}}
    (model / MANIFEST).write_text(json.dumps(manifest))
    if importlib.util.find_spec("openvino") is not None:
        said = succeed("predict", model, "good film").err
        assert "the exported form 'openvino' is of other weights" in said
        assert "answering with the exported form onnx (f32)" in said


def test_export_prints_one_object(model: Path, dev: Path) -> None:
    shown = succeed("export", model, "--to", "onnx", "--dev", dev, "--json")
    assert shown.record["form"] == "onnx"
    assert (shown.record["agreement"], shown.record["rows"], shown.record["drift"]) == (1.0, 60, 0.0)
    assert shown.record["accepted"] is True
    assert shown.err == ""


def test_a_refused_export_prints_one_object_too(model: Path, dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_agreeing", lambda *_: (9, 10))
    outcome = bertsmith("export", model, "--to", "onnx", "--dev", dev, "--json")
    assert outcome.code == 2
    assert (outcome.record["accepted"], outcome.record["agreement"]) == (False, 0.9)
    assert outcome.err.startswith("error: the exported form 'onnx' is refused")
    assert bertsmith("export", model, "--to", "onnx", "--dev", dev.with_name("no.tsv"), "--json").out == ""


def test_a_pair_of_columns_is_named_as_elsewhere(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "dev.tsv"
    file.write_text("kind\twords\n" + "".join(f"{label}\t{text}\n" for text, label in labelled(20, seed=5)))
    succeed("export", model, "--to", "onnx", "--dev", file, "--text", "words", "--label", "kind")


def test_export_says_what_is_wrong(model: Path, dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (model / MANIFEST).read_bytes()
    for arguments, said in (
        (["--to", "onnx"], "there are no rows to compare answers on"),
        (["--to", "onx"], "--to must be 'onnx' or 'openvino'"),
        ([], "--to needs a value"),
        (["--to", "onnx", "--dev", tmp_path / "nothing.tsv"], "no such file"),
        (["--to", "onnx", "--dev", dev, "--least-agreement", "2"], "least_agreement must be from 0 to 1"),
    ):
        outcome = bertsmith("export", model, *arguments)
        assert outcome.code == 2, arguments
        assert outcome.err.splitlines()[-1].startswith("error: ")
        assert said.split(" must be ")[0] in outcome.err
    monkeypatch.setattr(exporting, "_agreeing", lambda *_: (9, 10))
    outcome = bertsmith("export", model, "--to", "onnx", "--dev", dev)
    assert outcome.code == 2
    assert "is refused, and nothing was written: on 60 rows 0.9000 of the rows have the same answer" in outcome.err
    assert (model / MANIFEST).read_bytes() == before
    assert not (model / "exported").exists()


def test_training_over_a_bundle_removes_its_forms(tmp_path: Path, dev: Path) -> None:
    train = write_tsv(tmp_path / "train.tsv", labelled(40))
    command: list[str | Path] = [
        "train",
        "classify",
        "--train",
        train,
        "--dev",
        dev,
        *short(),
        "--out",
        tmp_path / "model",
        "--overwrite",
    ]
    succeed(*command)
    succeed("export", tmp_path / "model", "--to", "onnx")
    assert "exports" in json.loads((tmp_path / "model" / MANIFEST).read_text())
    succeed(*command)
    assert "exports" not in json.loads((tmp_path / "model" / MANIFEST).read_text())
    assert not (tmp_path / "model" / "exported").exists()


def test_a_reader_that_waits_for_a_pipe_can_be_interrupted(model: Path) -> None:
    command = [sys.executable, "-m", "bertsmith", "predict", str(model), "--look-ahead", "2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"good film\nbad plot\n")
        process.stdin.flush()
        lines = [process.stdout.readline() for _ in range(2)]
        assert all(b'"label"' in line for line in lines), "a window is answered before the next is there"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.decode().splitlines()[-1] == "error: interrupted"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
def test_training_that_has_not_begun_is_terminated(tmp_path: Path) -> None:
    train = tmp_path / "train.tsv"
    os.mkfifo(train)  # it waits for rows
    command = [sys.executable, "-m", "bertsmith", "train", "classify", "--train", str(train), *short()]
    command += ["--out", str(tmp_path / "out")]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
        train.open("w"),  # opens when it is read
    ):
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert said.decode().splitlines()[-1] == "error: terminated"
    assert {path.name for path in tmp_path.iterdir()} <= {"train.tsv", "out.partial"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
def test_what_is_terminated_leaves_nothing_behind(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    command = [sys.executable, "-m", "bertsmith", "predict", str(model), "--look-ahead", "2", "--out", str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"good film\nbad plot\n")
        process.stdin.flush()
        while not list(tmp_path.glob(".answers.jsonl.*.tmp")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert said.decode().splitlines()[-1] == "error: terminated"
    assert not list(tmp_path.glob("*answers*"))
