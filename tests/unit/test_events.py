"""What a run tells: one JSON object a line, and back to where a killed run can go on."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from bertsmith.errors import MissingDependencyError
from bertsmith.events import (
    Began,
    Ended,
    Event,
    MetricsFile,
    Said,
    Saved,
    Scored,
    Stepped,
    TensorBoardFile,
    nobody,
)

if TYPE_CHECKING:
    from pathlib import Path


def began(first_step: int = 0) -> Began:
    return Began(4, first_step, 1.0, 30, 200, 1000, "cpu", "fp32", 1)


def stepped(step: int) -> Stepped:
    return Stepped(step, step / 4, 0.7, 1.5, 1e-4, 50, 0.01)


def scored(step: int) -> Scored:
    return Scored(step, step / 4, {"accuracy": 0.5, "pearson": None}, "accuracy", True, 0.1)


def write(path: Path, *events: Event) -> None:
    file = MetricsFile(path)
    for event in events:
        file(event)
    file.close()


def told(path: Path) -> list[str]:
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [record["event"] + str(record.get("step", "")) for record in records]


def test_every_event_is_a_line_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    every: list[Event] = [
        Said("a\u2028b\x85ü\n", warning=True),
        began(),
        stepped(1),
        scored(1),
        Saved(1, "x"),
        Ended(1, "done", None),
    ]
    for number, event in enumerate(every, start=1):
        file(event)
        assert path.read_bytes().count(b"\n") == number  # who kills the run loses nothing that was told
        nobody(event)
    file.close()
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [record["event"] for record in records] == ["said", "began", "stepped", "scored", "saved", "ended"]
    assert records[0]["text"] == "a\u2028b\x85ü\n"
    assert records[3]["scores"] == {"accuracy": 0.5, "pearson": None}
    assert all(record["time"] > 1e9 for record in records)


def test_a_second_file_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, stepped(1))
    write(path, stepped(2))
    assert told(path) == ["stepped1", "stepped2"]


def test_back_to_a_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    # a label may hold what Unicode calls a line's end
    write(
        path,
        Said("\u2028"),
        began(),
        stepped(1),
        stepped(2),
        scored(2),
        Saved(2, "x"),
        stepped(3),
        Said("late"),
        stepped(4),
    )
    MetricsFile.cut_after(path, attempt=0, step=2)
    assert told(path) == ["said", "began", "stepped1", "stepped2", "scored2", "saved2"]


def test_back_to_a_step_of_a_later_attempt(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, began(), *map(stepped, (1, 2, 3)), Said("collapsed"), began(), *map(stepped, (1, 2)))
    MetricsFile.cut_after(path, attempt=1, step=1)
    assert told(path) == ["began", "stepped1", "stepped2", "stepped3", "said", "began", "stepped1"]


def test_back_to_a_step_of_a_resumed_attempt(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, began(), stepped(1), Ended(1, "stopped", None), began(1), stepped(2), stepped(3))
    MetricsFile.cut_after(path, attempt=0, step=2)
    assert told(path) == ["began", "stepped1", "ended1", "began", "stepped2"]


@pytest.mark.parametrize(
    "tail", [b'{"event": "stepped", "st', '{"text": "caf\u00e9'.encode()[:-1], b'{"event": "said"}', b"\0" * 9]
)
def test_a_line_cut_short(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, began(), stepped(1))
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    MetricsFile.cut_after(path, attempt=0, step=1)
    assert path.read_bytes() == whole


def test_no_file_is_nothing_to_cut(tmp_path: Path) -> None:
    MetricsFile.cut_after(tmp_path / "metrics.jsonl", attempt=0, step=1)
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bertsmith\[tensorboard\]'"):
        TensorBoardFile(tmp_path)
