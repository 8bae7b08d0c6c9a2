"""Prediction: from texts to answers with a bundle, streamed, in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from bertsmith.bundle import Bundle
from bertsmith.errors import InputError
from bertsmith.infer.engine import predict_encoded
from bertsmith.records import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import torch

    from bertsmith.records import Encoded, Row
    from bertsmith.tasks import Question


# Rows read ahead, so that sequences of like length can share a batch; of long texts fewer, by their characters.
LOOK_AHEAD = 1024
LOOK_AHEAD_CHARACTERS = 4_000_000


@dataclass(frozen=True, slots=True)
class Length:
    """How long a row is: tokens that are read, tokens cut off to keep within the limit, sequences it is read in."""

    tokens: int
    cut: int
    sequences: int

    @classmethod
    def of(cls, sequences: Sequence[Encoded]) -> Length:
        # every window of a text carries the same count of what none of them holds
        cut = max((each.cut for each in sequences), default=0)
        return cls(sum(len(each) for each in sequences), cut, len(sequences))


@dataclass(frozen=True, slots=True)
class Answer:
    """A row as it was read, the task's example of it, the prediction, and how long the row is."""

    row: Row
    example: Any
    prediction: Any
    length: Length


class Predictor:
    """A bundle that answers. `bertsmith.load(folder)` gives one."""

    def __init__(self, bundle: Bundle, *, device: torch.device | str | None = None) -> None:
        self.bundle = bundle
        bundle.model.to(device) if device is not None else None
        bundle.model.eval()

    @classmethod
    def load(cls, folder: str | Path, *, device: torch.device | str | None = None) -> Predictor:
        """Open a folder that bertsmith or transformers saved. Raises BundleError if it cannot be used."""
        return cls(Bundle.load(folder), device=device)

    def predict(self, questions: Sequence[Question] | str) -> list[Any]:
        """The predictions for texts, pairs of texts or rows, one each, in their order.

        Raises InputError, naming the place in the list, for what is no text.
        """
        if isinstance(questions, str):
            raise InputError("predict takes a list of texts, got one text; write predict([text])")
        ask = self.bundle.task.ask
        rows = [ask(question, Place(f"question {number}")) for number, question in enumerate(questions, 1)]
        return [answer.prediction for answer in self.stream(rows)]

    def stream(self, rows: Iterable[Row], *, look_ahead: int = LOOK_AHEAD, scoring: bool = False) -> Iterator[Answer]:
        """Every row with its prediction, in order, holding `look_ahead` rows at a time.

        scoring: predict what can be scored (masked words, where a task hides them), not what is asked for.
        """
        bundle = self.bundle
        rows = iter(rows)
        while window := list(_window(rows, look_ahead)):
            examples = [bundle.task.read(row) for row in window]
            encoded = bundle.task.encode(examples, bundle.tokenizer, max_length=bundle.max_length)
            sequences = bundle.task.for_scoring(encoded, bundle.tokenizer) if scoring else encoded
            predictions = predict_encoded(bundle.task, bundle.model, examples, sequences)
            for row, example, lengths, prediction in zip(window, examples, encoded, predictions, strict=True):
                spelled = bundle.task.spelled(prediction, example, bundle.tokenizer)
                yield Answer(row, example, spelled, Length.of(lengths))


def _window(rows: Iterator[Row], look_ahead: int) -> Iterator[Row]:
    """The next rows, at most `look_ahead`, and no more after LOOK_AHEAD_CHARACTERS."""
    characters = 0
    for row in islice(rows, look_ahead):
        yield row
        for value in row.values.values():
            characters += len(value) if isinstance(value, str) else sum(len(str(item)) for item in _items(value))
        if characters > LOOK_AHEAD_CHARACTERS:
            return


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
