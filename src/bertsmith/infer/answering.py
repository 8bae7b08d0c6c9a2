"""From examples to predictions, whatever computes the outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bertsmith.infer.backends import Backend
    from bertsmith.records import Encoded
    from bertsmith.tasks import Output, Task

_AT_ONCE = 16_384  # examples


def answered(
    task: Task[Any, Any], backend: Backend, examples: Sequence[Any], encoded: Sequence[Sequence[Encoded]]
) -> list[Any]:
    """The predictions for examples, one each, in their order, from their sequences.

    An example is decoded as soon as all its sequences are computed, and only its prediction is kept; sequences that are
    made when they are asked for are so for some thousand examples at a time.
    """
    predictions: list[Any] = []
    for start in range(0, len(examples), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        predictions += _answered(task, backend, examples[some], encoded[some])
    return predictions


def _answered(
    task: Task[Any, Any], backend: Backend, examples: Sequence[Any], encoded: Sequence[Sequence[Encoded]]
) -> list[Any]:
    owners = [(row, number) for row, sequences in enumerate(encoded) for number in range(len(sequences))]
    waiting: dict[int, dict[int, Output]] = {}
    predictions: list[Any] = [None] * len(examples)
    done = 0
    for index, output in backend.outputs([sequence for sequences in encoded for sequence in sequences]):
        row, number = owners[index]
        found = waiting.setdefault(row, {})
        found[number] = output
        if len(found) == len(encoded[row]):
            del waiting[row]
            outputs = [found[number] for number in range(len(found))]
            predictions[row] = task.decode(examples[row], encoded[row], outputs)
            done += 1
    assert done == len(examples), "every example has its sequences, and every sequence its output"
    return predictions
