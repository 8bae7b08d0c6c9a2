"""What happens in a run, as records: written to metrics.jsonl, shown by whoever listens. The library never prints."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from bertsmith.errors import MissingDependencyError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Said:
    """A remark: how a file is read, which weights are new. warning: something that may spoil the result."""

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Began:
    """Training begins, at a step above 0 if it resumes."""

    steps: int
    first_step: int
    epochs: float
    rows: int
    tokens: int
    parameters: int
    device: str
    precision: str
    threads: int


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step was taken. loss: the mean over the step's targets, before it. tokens, seconds: of this step alone."""

    step: int
    epoch: float
    loss: float
    gradient_norm: float
    learning_rate: float
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Scored:
    """Dev was scored after a step. best: it is the best so far by the task's main score."""

    step: int
    epoch: float
    scores: Mapping[str, float | None]
    main: str
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Saved:
    """The state to resume from was written after a step."""

    step: int
    path: str


@dataclass(frozen=True, slots=True)
class Predicted:
    """So many of the rows have been answered, in so many seconds. of: how many there are, None where that is open."""

    rows: int
    of: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """Training ended. reason: ``done``, ``plateau`` or ``stopped`` (on request; it can be resumed)."""

    step: int
    reason: str
    best_step: int | None


Event: TypeAlias = Said | Began | Stepped | Scored | Saved | Ended | Predicted
Listener: TypeAlias = Callable[[Event], None]


def nobody(event: Event) -> None:
    """A listener that does nothing."""


class MetricsFile:
    """Appends every event to a file, one JSON object a line, and can go back to where it was after a step."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def __call__(self, event: Event) -> None:
        record = {"event": type(event).__name__.lower(), "time": round(time.time(), 3), **asdict(event)}
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def cut_after(path: Path, *, attempt: int, step: int) -> None:
        """Take out what a killed run wrote after a step of an attempt, which the resumed run will write again."""
        if not path.exists():
            return
        kept, begun = [], 0
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):  # cut short by the kill
                break
            record = json.loads(line)
            begun += record["event"] == "began" and record["first_step"] == 0
            if begun > attempt and record.get("step", 0) > step:
                break
            kept.append(line)
        path.write_bytes(b"".join(kept))


class TensorBoardFile:
    """Writes the numbers of the events for TensorBoard. Raises MissingDependencyError without the extra."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingDependencyError(
                "tensorboard is not installed; install it with: pip install 'bertsmith[tensorboard]'"
            ) from None
        self._writer: Any = SummaryWriter(str(folder))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped):
            for name in ("loss", "gradient_norm", "learning_rate"):
                self._writer.add_scalar(f"train/{name}", getattr(event, name), event.step)
        elif isinstance(event, Scored):
            for name, value in event.scores.items():
                if value is not None:
                    self._writer.add_scalar(f"dev/{name}", value, event.step)

    def close(self) -> None:
        self._writer.close()
