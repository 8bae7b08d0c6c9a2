"""Prediction: from texts to answers with a bundle, streamed, in the order given.

torch is imported only where it is what computes (`engine`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith.bundle import MANIFEST, WEIGHTS, Bundle, Outline, check_is_folder, read_manifest
from bertsmith.errors import InputError
from bertsmith.exports import Recorded
from bertsmith.infer.answering import answered
from bertsmith.infer.backends import Choice, choose, opened
from bertsmith.infer.lengths import Length
from bertsmith.infer.lookahead import ahead
from bertsmith.records import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import torch

    from bertsmith.infer.backends import Backend
    from bertsmith.records import Encoded, Row
    from bertsmith.tasks import Question, Task


# Rows read ahead, so that sequences of like length can share a batch; of long texts fewer, by their characters.
LOOK_AHEAD = 1024
LOOK_AHEAD_CHARACTERS = 4_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """A row as it was read, the task's example of it, the prediction, and how long the row is."""

    row: Row
    example: Any
    prediction: Any
    length: Length


@dataclass(frozen=True, slots=True)
class _Window:
    """Rows that are answered together, with their sequences as they are asked about, and as they are computed."""

    rows: Sequence[Row]
    examples: Sequence[Any]
    encoded: Sequence[Sequence[Encoded]]
    sequences: Sequence[Sequence[Encoded]]


class Predictor:
    """A bundle that answers. `bertsmith.load(folder)` gives one.

    outline: the bundle but for its weights. backend: what computes. remark: what to say of an exported form that is
    there, but does not answer.
    """

    def __init__(
        self, bundle: Bundle, *, device: torch.device | str | None = None, precision: str | None = None
    ) -> None:
        """precision: of products, as `bertsmith.load` has it; None for that of the bundle's model."""
        from bertsmith.infer.engine import TorchBackend
        from bertsmith.nn.precision import pick_precision

        if device is not None:
            bundle.model.to(device)
        bundle.model.eval()
        if precision is not None:
            bundle.model.encoder.answer_in(pick_precision(precision, bundle.model.device))
        self.outline: Outline = bundle
        self.backend: Backend = TorchBackend(bundle.model)
        self.remark: str | None = None
        self._folder: Path | None = None

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: torch.device | str | None = None,
        backend: str = "torch",
        precision: str = "auto",
    ) -> Predictor:
        """Open a folder that bertsmith or transformers saved; backend and precision: as `bertsmith.load` has them.

        Raises BundleError if it cannot be used, and as `backends.choose` does for a backend that it does not have.
        """
        folder = Path(folder)
        check_is_folder(folder)
        choice = _chosen(folder, backend, device, precision)
        if choice.form is None:
            predictor = cls(Bundle.load(folder), device=_device(device), precision=precision)
            predictor.remark = choice.remark
            return predictor
        outline = Outline.read(folder, read_manifest(folder, unread=(WEIGHTS,)))
        limit = min(outline.max_length, choice.form.max_length)
        predictor = cls._exported(replace(outline, max_length=limit), opened(choice.form), folder)
        predictor.remark = choice.remark
        return predictor

    @classmethod
    def _exported(cls, outline: Outline, backend: Backend, folder: Path) -> Predictor:
        predictor = cls.__new__(cls)
        predictor.outline, predictor.backend = outline, backend
        predictor.remark, predictor._folder = None, folder
        return predictor

    @property
    def is_exported(self) -> bool:
        """Whether an exported form answers."""
        return self._folder is not None

    @property
    def bundle(self) -> Bundle:
        """The bundle with its weights, which are read now if an exported form answers."""
        if isinstance(self.outline, Bundle):
            return self.outline
        assert self._folder is not None, "exported forms lie in a folder"
        return replace(Bundle.load(self._folder), task=self.outline.task)

    def with_task(self, task: Task[Any, Any]) -> Predictor:
        """This predictor with other options of its task, computing with the same backend."""
        changed = type(self).__new__(type(self))
        changed.__dict__.update(self.__dict__)
        changed.outline = replace(self.outline, task=task)
        return changed

    def predict(self, questions: Sequence[Question] | str) -> list[Any]:
        """The predictions for texts, pairs of texts or rows, one each, in their order.

        Raises InputError, naming the place in the list, for what is no text.
        """
        if isinstance(questions, str | bytes):
            raise InputError("predict takes a list of texts, got one text; write predict([text])")
        ask = self.outline.task.ask
        rows = [ask(question, Place(f"question {number}")) for number, question in enumerate(questions, 1)]
        return [answer.prediction for answer in self.stream(rows, threaded=True)]

    def stream(
        self, rows: Iterable[Row], *, look_ahead: int = LOOK_AHEAD, scoring: bool = False, threaded: bool = False
    ) -> Iterator[Answer]:
        """Every row with its prediction, in order, holding the rows of a window of `look_ahead`.

        threaded: read and tokenise the next windows in a thread of its own, while one is computed; then the rows of
        three windows are held at most. Rows that only their own thread may read, as of a database, forbid that, and a
        look_ahead of 1, for whoever waits for an answer before the next question, has no use for it.
        scoring: predict what can be scored (masked words, where a task hides them), not what is asked for.
        """
        task, tokenizer = self.outline.task, self.outline.tokenizer
        for window in self._windows(iter(rows), look_ahead, scoring=scoring, threaded=threaded):
            predictions = answered(task, self.backend, window.examples, window.sequences)
            for row, example, lengths, prediction in zip(
                window.rows, window.examples, window.encoded, predictions, strict=True
            ):
                yield Answer(row, example, task.spelled(prediction, example, tokenizer), Length.of(lengths))

    def _windows(self, rows: Iterator[Row], look_ahead: int, *, scoring: bool, threaded: bool) -> Iterator[_Window]:
        windows = self._prepared(rows, look_ahead, scoring=scoring)
        if look_ahead == 1 or not threaded:
            return windows
        first = next(windows, None)
        if first is None:
            return iter(())
        # a few texts, or a request to a server, are all there is, and need no thread
        return ahead(first, windows) if _may_be_more(first.rows, look_ahead) else iter((first,))

    def _prepared(self, rows: Iterator[Row], look_ahead: int, *, scoring: bool) -> Iterator[_Window]:
        """Rows read, tokenised and ready to be computed, window by window."""
        task, tokenizer, max_length = self.outline.task, self.outline.tokenizer, self.outline.max_length
        while window := list(_window(rows, look_ahead)):
            examples = [task.read(row) for row in window]
            encoded = task.encode(examples, tokenizer, max_length=max_length)
            sequences = task.for_scoring(encoded, tokenizer) if scoring else encoded
            yield _Window(window, examples, encoded, sequences)


def _window(rows: Iterator[Row], look_ahead: int) -> Iterator[Row]:
    """The next rows, at most `look_ahead`, and no more after LOOK_AHEAD_CHARACTERS."""
    characters = 0
    for row in islice(rows, look_ahead):
        yield row
        characters += _characters(row)
        if characters > LOOK_AHEAD_CHARACTERS:
            return


def _may_be_more(window: Sequence[Row], look_ahead: int) -> bool:
    """Whether a window is full, so that the rows may go on behind it."""
    return len(window) == look_ahead or sum(map(_characters, window)) > LOOK_AHEAD_CHARACTERS


def _characters(row: Row) -> int:
    values = row.values.values()
    return sum(
        len(value) if isinstance(value, str) else sum(len(str(item)) for item in _items(value)) for value in values
    )


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _chosen(folder: Path, backend: str, device: torch.device | str | None, precision: str) -> Choice:
    """Which of a folder's exported forms answers; none of a folder that transformers saved, which has none."""
    # the files are checked when they are opened
    has_manifest = backend != "torch" and (folder / MANIFEST).is_file()
    manifest = read_manifest(folder, unread=None) if has_manifest else {}
    return choose(backend, Recorded(folder, manifest), device=str(device or "auto"), precision=precision)


def _device(device: torch.device | str | None) -> torch.device | None:
    from bertsmith.infer.engine import pick_device

    return pick_device(device) if isinstance(device, str) else device
