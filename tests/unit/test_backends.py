"""What computes: which backend answers, what is said of it, and that answers come in order whatever does."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bertsmith
from bertsmith.bundle import MANIFEST, WEIGHTS, Bundle
from bertsmith.errors import BundleError, InputError, MissingDependencyError, SettingsError
from bertsmith.exporting import export
from bertsmith.infer import Predictor, backends
from bertsmith.infer.backends import padded
from bertsmith.infer.lookahead import ahead, side_by_side
from bertsmith.records import Encoded, Place, Row
from cli_runs import trained
from small_runs import labelled, texts, write_tsv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}
QUESTIONS = [text for text, _ in texts(60, seed=3)]


def skip_without(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with both forms. Do not write to it."""
    skip_without(*RUNTIMES.values())
    folder = tmp_path_factory.mktemp("exported") / "model"
    shutil.copytree(trained("single"), folder)
    dev = write_tsv(folder.parent / "dev.tsv", labelled(60, seed=5))
    for to in ("onnx", "openvino"):
        export(folder, to=to, dev=dev, least_agreement=0.9, most_drift=0.1)
    return folder


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(exported, tmp_path / "model")


def change_record(folder: Path, form: str, **values: Any) -> None:
    """Change what the manifest says of a form."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["exports"][form].update(values)
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("backend", [*RUNTIMES, "auto"])
def test_answers_as_torch_does(exported: Path, backend: str) -> None:
    own = bertsmith.load(exported, backend="torch").predict(QUESTIONS)
    model = bertsmith.load(exported, backend=backend)
    assert model.is_exported
    answers = model.predict(QUESTIONS)
    for one, other in zip(own, answers, strict=True):
        assert one.probabilities["pos"] == pytest.approx(other.probabilities["pos"], abs=0.03)
        assert list(one.probabilities) == list(other.probabilities)


def test_auto_takes_openvino_first_and_the_processor_only(exported: Path) -> None:
    assert bertsmith.load(exported).backend.description.startswith("openvino (")
    assert bertsmith.load(exported, backend="onnx").backend.description == "onnx (f32)"
    assert bertsmith.load(exported, backend="torch").backend.description == "torch (cpu, fp32)"
    assert not bertsmith.load(trained("single")).is_exported
    with pytest.raises(SettingsError, match="the backend onnx computes on the processor"):
        bertsmith.load(exported, backend="onnx", device="cuda")


@pytest.mark.parametrize("backend", ["torch", *RUNTIMES])
def test_many_threads_ask_one_model(exported: Path, backend: str) -> None:
    model = bertsmith.load(exported, backend=backend)
    questions = [QUESTIONS[start : start + 15] for start in range(0, 60, 15)]
    alone = [model.predict(each) for each in questions]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(model.predict, questions * 15))
    for number, answers in enumerate(found):
        for one, other in zip(answers, alone[number % 4], strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_many_batches_at_once_answer_as_one_after_another(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bertsmith.infer.backends import openvino

    alone = bertsmith.load(exported, backend="openvino").predict(QUESTIONS)
    monkeypatch.setattr(openvino, "thread_count", lambda: 3)
    monkeypatch.setattr(openvino, "_FEW_TOKENS", 0)
    monkeypatch.setattr(openvino, "_MANY_TOKENS", 0)
    monkeypatch.setattr(padded, "BATCH_TOKENS", 32)  # many small batches
    model = bertsmith.load(exported, backend="openvino")
    for _ in range(3):
        for one, other in zip(alone, model.predict(QUESTIONS), strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=0.01)
    assert isinstance(model.backend, openvino.OpenVinoBackend)
    assert model.backend._many is not None
    assert model.backend._many.streams == 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(model.predict, [QUESTIONS] * 8))
    assert [[each.label for each in answers] for answers in found] == [[each.label for each in alone]] * 8


def test_work_side_by_side_comes_in_order_and_is_not_far_ahead() -> None:
    given: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            given.append(number)
            yield number

    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        if number == 15:
            raise ValueError("no")
        return -number

    found = side_by_side(work, items(), threads=2)
    assert next(found) == 0
    assert len(given) == 3
    assert [next(found) for _ in range(14)] == [-number for number in range(1, 15)]
    with pytest.raises(ValueError, match="no"):
        next(found)
    threads = threading.active_count()
    early = side_by_side(work, items(), threads=2)
    next(early)
    early.close()
    assert threading.active_count() == threads


@pytest.mark.parametrize("backend", ["torch", *RUNTIMES])
def test_outputs_outlive_the_next_question(exported: Path, backend: str) -> None:
    model = bertsmith.load(exported, backend=backend)
    one, other = (
        [Encoded(ids=np.array([2, *range(start, start + 6), 3], dtype=np.int32), second=8, owner=0)] * 8
        for start in (5, 15)
    )
    alone = dict(model.backend.outputs(one))
    asked = model.backend.outputs(one)
    found = dict([next(asked)])
    assert len(list(model.backend.outputs(other))) == 8
    found |= dict(asked)
    for index, output in alone.items():
        assert found[index]["logits"] == pytest.approx(output["logits"], abs=1e-6)


@pytest.mark.parametrize("backend", ["torch", "auto", *RUNTIMES])
def test_an_unknown_precision_is_refused_whatever_answers(exported: Path, backend: str) -> None:
    with pytest.raises(SettingsError, match="precision must be one of 'auto', 'fp32', 'bf16', got 'bf61'; did you"):
        bertsmith.load(exported, backend=backend, precision="bf61")


def test_a_precision_asks_for_torch(exported: Path) -> None:
    assert bertsmith.load(exported, precision="fp32").backend.description == "torch (cpu, fp32)"
    assert bertsmith.load(exported, precision="bf16").backend.description == "torch (cpu, bf16)"
    with pytest.raises(SettingsError, match="fixed when it was exported: with the backend onnx it must be auto"):
        bertsmith.load(exported, backend="onnx", precision="fp32")


def test_says_in_which_numbers_openvino_computes_here(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bertsmith.infer.backends import openvino

    change_record(copied, "openvino", precision="bf16")
    monkeypatch.setattr(openvino, "fastest_floats", lambda: "f32")
    assert bertsmith.load(copied, backend="openvino").backend.description == "openvino (f32)"


def test_options_change_for_an_exported_form(exported: Path) -> None:
    model = bertsmith.load(exported, options={"long_texts": "windows", "overlap": 4})
    assert model.is_exported
    assert model.outline.task.model_dump()["long_texts"] == "windows"
    (answer,) = model.predict(["good film and the very fine plot " * 20])
    assert not answer.truncated
    assert model.bundle.task == model.outline.task, "the weights come with the same task"
    assert isinstance(model.bundle, Bundle)


@pytest.mark.parametrize("backend", RUNTIMES)
def test_never_imports_torch(exported: Path, backend: str) -> None:
    code = (
        "import sys, bertsmith\n"
        f"model = bertsmith.load({str(exported)!r}, backend={backend!r})\n"
        "assert model.predict(['good film', 'bad plot'])[0].label in ('pos', 'neg')\n"
        "heavy = {'torch', 'scipy', 'sklearn', 'pyarrow', 'transformers', 'rich', 'cyclopts'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", RUNTIMES)
def test_the_command_never_imports_torch(exported: Path, backend: str, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("good film\nbad plot\n")
    for asked in ("good film", str(file)):
        code = (
            "import sys\nfrom bertsmith.cli import run\n"
            f"assert run(['predict', {str(exported)!r}, {asked!r}, '--backend', {backend!r}]) == 0\n"
            "heavy = {'torch', 'scipy', 'sklearn', 'pyarrow', 'transformers'} & sys.modules.keys()\n"
            "assert not heavy, heavy"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[0])["label"] in ("pos", "neg")
        assert f"answering with the exported form {backend} (" in done.stderr


def test_a_missing_runtime_names_what_to_install(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "installed", lambda runtime: False)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bertsmith\[onnx\]'"):
        bertsmith.load(exported, backend="onnx")
    model = bertsmith.load(exported)
    assert not model.is_exported
    assert model.remark is not None
    assert "pip install 'bertsmith[openvino]'" in model.remark


def test_a_broken_runtime_is_in_no_others_way(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # importing it raises ImportError
    monkeypatch.setattr(backends, "installed", lambda runtime: True)
    model = bertsmith.load(exported)
    assert model.backend.description == "onnx (f32)"
    assert model.remark is not None
    assert "not used: openvino, which computes the exported form 'openvino', cannot be imported" in model.remark
    with pytest.raises(MissingDependencyError, match=r"openvino, which .* cannot be imported"):
        bertsmith.load(exported, backend="openvino")


def test_a_form_that_is_not_there_is_asked_for(exported: Path) -> None:
    with pytest.raises(BundleError, match=r"no exported form 'onnx' \(it has none\); .* export .* --to onnx"):
        bertsmith.load(trained("single"), backend="onnx")
    with pytest.raises(BundleError, match=r"'openvino-int8' \(it has 'openvino', 'onnx'\).* --to openvino --int8"):
        bertsmith.load(exported, backend="openvino-int8")
    with pytest.raises(SettingsError, match=r"backend must be one of .*did you mean 'openvino'"):
        bertsmith.load(exported, backend="openvin")


@pytest.mark.parametrize(
    ("backend", "file"),
    [("onnx", "onnx/model.onnx"), ("openvino", "openvino/model.xml"), ("openvino", "openvino/model.bin")],
)
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_file_is_refused(copied: Path, backend: str, file: str, damage: str) -> None:
    path = copied / "exported" / file
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-10] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    said = {"changed": "sha256 differs", "cut": "cut short or changed", "gone": "missing"}[damage]
    for asked in (backend, *(["auto"] if backend == "openvino" else [])):
        with pytest.raises(BundleError, match=f"{path.name}: .*{said}"):
            bertsmith.load(copied, backend=asked)
    assert bertsmith.load(copied, backend="torch").predict(["good film"])


def test_a_form_of_other_weights_is_refused(copied: Path) -> None:
    change_record(copied, "onnx", of="0" * 64)
    with pytest.raises(BundleError, match=r"of other weights than model\.safetensors"):
        bertsmith.load(copied, backend="onnx")


@pytest.mark.parametrize("wrong", [{"of": "0" * 64}, {"outputs": "logits"}])
def test_a_form_that_cannot_be_used_is_in_no_others_way(copied: Path, wrong: dict[str, Any]) -> None:
    change_record(copied, "openvino", **wrong)
    with pytest.raises(BundleError, match="the exported form 'openvino'"):
        bertsmith.load(copied, backend="openvino")
    assert bertsmith.load(copied, backend="onnx").remark is None
    model = bertsmith.load(copied)
    assert model.backend.description == "onnx (f32)"
    assert model.remark is not None
    assert model.remark.startswith(f"not used: {copied / MANIFEST}: the exported form 'openvino'")
    change_record(copied, "onnx", **wrong)
    model = bertsmith.load(copied)
    assert model.backend.description == "torch (cpu, fp32)"
    assert model.remark is not None
    assert "the exported form 'openvino'" in model.remark
    assert "the exported form 'onnx'" in model.remark


@pytest.mark.parametrize("backend", RUNTIMES)
def test_weights_of_another_size_are_refused(copied: Path, backend: str) -> None:
    with (copied / WEIGHTS).open("ab") as file:
        file.write(b"more")
    with pytest.raises(BundleError, match=rf"of other weights than .*{WEIGHTS}, which has \d+ bytes, not \d+"):
        bertsmith.load(copied, backend=backend)
    with pytest.raises(BundleError, match=f"{WEIGHTS}: .* cut short or changed"):
        bertsmith.load(copied)


def test_a_folder_that_only_answers_needs_no_weights(copied: Path) -> None:
    (copied / WEIGHTS).unlink()
    model = bertsmith.load(copied)
    assert model.is_exported
    assert model.predict(["good film"])[0].label in ("pos", "neg")
    with pytest.raises(BundleError, match=f"{WEIGHTS}: missing"):
        _ = model.bundle
    with pytest.raises(BundleError, match=f"{WEIGHTS}: missing"):
        bertsmith.load(copied, backend="torch")


@pytest.mark.parametrize(
    ("key", "value"),
    [("outputs", "logits"), ("files", {"../model.onnx": {}}), ("max_length", None), ("precision", 32), ("of", None)],
)
def test_a_record_that_cannot_be_read_is_refused(copied: Path, key: str, value: Any) -> None:
    change_record(copied, "onnx", **{key: value})
    with pytest.raises(BundleError, match=f"{MANIFEST}: the exported form 'onnx': '{key}' must"):
        bertsmith.load(copied, backend="onnx")


def test_threads_are_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert backends.thread_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert 1 <= backends.thread_count() <= (os.cpu_count() or 1)


def test_padded_arrays_say_where_tokens_are() -> None:
    sequences = [
        Encoded(ids=np.array([2, 7, 3, 8, 3], dtype=np.int32), second=3, owner=0),
        Encoded(ids=np.array([2, 9], dtype=np.int32), second=2, owner=1),
    ]
    arrays = padded.padded(sequences)
    assert arrays["ids"].tolist() == [[2, 7, 3, 8, 3], [2, 9, 0, 0, 0]]
    assert arrays["segments"].tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    assert arrays["mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]


# ----------------------------------------------------------------------------------------------------------- streams


def rows_of(count: int) -> Iterator[Row]:
    for number in range(count):
        yield Row({"text": QUESTIONS[number % len(QUESTIONS)]}, Place("rows", number + 1))


@pytest.mark.parametrize("look_ahead", [1, 7, 25, 1000])
def test_a_stream_keeps_the_order(look_ahead: int) -> None:
    model = Predictor.load(trained("single"))
    answers = list(model.stream(rows_of(100), look_ahead=look_ahead, threaded=True))
    assert [answer.row.place.line for answer in answers] == list(range(1, 101))
    expected = model.predict(QUESTIONS)
    for number, answer in enumerate(answers):
        wanted = expected[number % len(QUESTIONS)].probabilities["pos"]
        assert answer.prediction.probabilities["pos"] == pytest.approx(wanted, abs=1e-5)


def test_an_error_comes_behind_the_answers_before_it() -> None:
    def rows() -> Iterator[Row]:
        yield from rows_of(25)
        raise InputError("no more")

    answers = Predictor.load(trained("single")).stream(rows(), look_ahead=10, threaded=True)
    found = []
    with pytest.raises(InputError, match="no more"):
        found += [next(answers) for _ in range(26)]
    assert not [thread for thread in threading.enumerate() if thread.name == "bertsmith-ahead"]
    answers = Predictor.load(trained("single")).stream(rows(), look_ahead=10, threaded=True)
    assert [next(answers).row.place.line for _ in range(20)] == list(range(1, 21)), "two windows of ten are whole"


def test_no_more_than_three_windows_are_held() -> None:
    read = 0

    def rows() -> Iterator[Row]:
        nonlocal read
        for row in rows_of(200):
            read += 1
            yield row

    answers = Predictor.load(trained("single")).stream(rows(), look_ahead=10, threaded=True)
    for number, _ in enumerate(answers):
        time.sleep(0.001)
        assert read <= (number // 10 + 3) * 10
    assert read == 200


def test_a_stream_that_is_closed_early_ends_its_thread() -> None:
    answers = Predictor.load(trained("single")).stream(rows_of(10_000), look_ahead=5, threaded=True)
    next(answers)
    assert [thread for thread in threading.enumerate() if thread.name == "bertsmith-ahead"]
    answers.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "bertsmith-ahead"]


def test_few_rows_need_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "Thread", lambda *_, **__: pytest.fail("a thread for three rows"))
    assert len(list(Predictor.load(trained("single")).stream(rows_of(3), threaded=True))) == 3
    assert len(list(Predictor.load(trained("single")).stream(rows_of(3), look_ahead=1, threaded=True))) == 3


def test_what_is_made_ahead_is_one_item() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1, 6):
            made.append(number)
            yield number

    taken = ahead(0, items())
    assert next(taken) == 0
    time.sleep(0.1)
    assert made in ([1], [1, 2]), "one waits to be taken, and the next may be made"
    assert list(taken) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("backend", RUNTIMES)
def test_scoring_never_imports_torch(exported: Path, backend: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv"
    file.write_text("text\tlabel\ngood film\tpos\nbad plot\tneg\n")
    code = (
        "import sys\nfrom bertsmith.cli import run\n"
        f"assert run(['evaluate', {str(exported)!r}, {str(file)!r}, '--backend', {backend!r}, '--json']) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 <= json.loads(done.stdout)["scores"]["accuracy"]["value"] <= 1


def test_torch_answers_without_its_compiler(exported: Path) -> None:
    """torch._dynamo takes longer to import than torch itself."""
    code = (
        "import sys, bertsmith\n"
        f"bertsmith.load({str(exported)!r}, backend='torch').predict(['good film'])\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
