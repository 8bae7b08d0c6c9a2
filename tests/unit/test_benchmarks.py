"""The scripts in benchmarks/ as far as they can be tested without training: their command line, their arithmetic."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "quality.py"
RECIPE = {
    "steps": 804,
    "learning_rate": 1e-4,
    "rows": [8551, 1043],
    "rows_cut": [7, 0],
    "encoder_sha256": "0123456789abcd",
}

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="a source distribution has no benchmarks")


@pytest.fixture(scope="module")
def quality() -> Any:
    spec = importlib.util.spec_from_file_location("quality", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["quality"] = module  # where dataclasses look for the module of their annotations
    spec.loader.exec_module(module)
    return module


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


def run(tool: str, seed: int, scores: dict[str, float], *, seconds: float, name: str = "cola") -> dict[str, Any]:
    return {"set": name, "tool": tool, "seed": seed, "scores": scores, "seconds": seconds, "recipe": RECIPE,
            "machine": "an abacus", "versions": {"torch": "2.11.0", "Python": "3.12.1"}}  # fmt: skip


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_help_names_all_sets(quality: Any) -> None:
    done = call("--help")
    assert done.returncode == 0, done.stderr
    assert ",".join(quality.SETS) in done.stdout


def test_unknown_set_is_refused() -> None:
    done = call("--sets", "cola,sst3")
    assert done.returncode == 2
    assert "'sst3' is not one of cola, mrpc" in done.stderr


def test_table_of_several_seeds(quality: Any) -> None:
    ours = [run("ours", seed, {"MCC": value}, seconds=seed) for seed, value in ((1, 0.40), (2, 0.42), (3, 0.47))]
    theirs = [run("trainer", seed, {"MCC": value}, seconds=9 - seed) for seed, value in ((1, 0.41), (2, 0.39))]
    lines = quality.table(ours + theirs).splitlines()
    # By hand, in hundredths: means 43 and 40, variances 13 and 2, so the standard error is sqrt(13/3 + 2/2) = 2.3094,
    # Welch's degrees of freedom are 5.3333² / (4.3333²/2 + 1²/1) = 2.7378, whose two-sided 5 % t is 3.3619.
    assert cells(lines[2]) == [
        "CoLA", "MCC", "43.00 ± 3.61", "40.00 ± 1.41", "+3.00 ± 2.31 (-4.76 to +10.76)", "3, 2", "2.0, 7.5",
    ]  # fmt: skip
    assert (
        "- CoLA: 8,551 rows to train on (7 of them cut at 128 tokens), 1,043 to score (0 cut), 804 steps, rate 0.0001"
        in lines
    )
    assert lines[-1] == "- an abacus; torch 2.11.0, Python 3.12.1; encoder 0123456789ab"


def test_table_of_an_interrupted_run(quality: Any) -> None:
    mrpc = {"F1": 0.81, "accuracy": 0.7}
    runs = [run("ours", 1, mrpc, seconds=1, name="mrpc"), run("ours", 1, {"accuracy": 0.9}, seconds=2, name="sst2")]
    runs.append(run("trainer", 1, {"F1": 0.8, "accuracy": 0.72}, seconds=3, name="mrpc"))
    assert [cells(line) for line in quality.table(runs).splitlines()[2:5]] == [
        ["MRPC", "F1", "81.00", "80.00", "+1.00", "1, 1", "1.0, 3.0"],
        ["MRPC", "accuracy", "70.00", "72.00", "-2.00", "1, 1", "1.0, 3.0"],
        ["SST-2", "accuracy", "90.00", "–", "–", "1, 0", "2.0, –"],
    ]


def test_equal_scores_have_no_interval(quality: Any) -> None:
    assert quality.difference([50.0, 50.0], [40.0, 40.0]) == "+10.00"


def test_runs_of_different_recipes_are_not_compared(quality: Any) -> None:
    other = {**run("trainer", 1, {"MCC": 0.4}, seconds=1), "recipe": {**RECIPE, "steps": 60}}
    with pytest.raises(ValueError, match="cola: these runs were trained in several ways"):
        quality.table([run("ours", 1, {"MCC": 0.4}, seconds=1), other])


def test_table_of_several_files(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, tool in zip(files, ("ours", "trainer"), strict=True):
        file.write_text(json.dumps({"runs": [run(tool, 1, {"MCC": 0.5}, seconds=1)]}), encoding="utf-8")
    done = call("--table", *map(str, files))
    assert done.returncode == 0, done.stderr
    assert "| CoLA | MCC | 50.00 | 50.00 | +0.00 | 1, 1 | 1.0, 1.0 |" in done.stdout


def test_scores_by_hand(quality: Any) -> None:
    truth, given = ["1", "1", "1", "0", "0"], ["1", "1", "0", "1", "0"]
    scores = quality.scores_of(truth, given, ("F1", "accuracy", "MCC"))
    # two right and one wrong on each side of label 1: F1 2/3, MCC (2·1 − 1·1) / sqrt(3·3·2·2)
    assert scores == pytest.approx({"F1": 2 / 3, "accuracy": 0.6, "MCC": 1 / 6})
    assert quality.scores_of([1.0, 2.0, 3.0], [1.0, 4.0, 9.0], ("Spearman",)) == pytest.approx({"Spearman": 1.0})


def test_files_are_joined_and_sampled(quality: Any, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"one\t1\ntwo\t2\r3\x0b\n")  # only \n ends a line
    (tmp_path / "b.tsv").write_bytes(b"three\t3")
    joined = quality.one_file([tmp_path / "a.tsv", tmp_path / "b.tsv"], tmp_path / "joined", False, None)
    assert joined.read_bytes() == b"one\t1\ntwo\t2\r3\x0b\nthree\t3\n"

    (tmp_path / "c.tsv").write_text("head\n" + "".join(f"{row}\n" for row in range(100)), encoding="utf-8")
    first, again = (quality.one_file([tmp_path / "c.tsv"], tmp_path / name, True, 10) for name in ("first", "again"))
    lines = first.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "head"
    assert len(set(lines)) == 11
    assert first.read_bytes() == again.read_bytes()
