"""From examples to predictions with a model in memory; training's dev scores come from here, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from bertsmith.batching import by_budget, collate
from bertsmith.errors import SettingsError
from bertsmith.nn.layout import Reads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bertsmith.batching import Batch
    from bertsmith.nn.heads import Model
    from bertsmith.records import Encoded
    from bertsmith.tasks import Output, Task

# A batch's tokens, padding inside attention counted: enough to fill a processor, little enough for its cache; an
# accelerator wants more.
BATCH_TOKENS = {"cpu": 4_096}
BATCH_TOKENS_ELSEWHERE = 65_536


def predict_encoded(
    task: Task[Any, Any], model: Model, examples: Sequence[Any], encoded: Sequence[Sequence[Encoded]]
) -> list[Any]:
    """The predictions for examples, one each, in their order, from their sequences (`owner` counts in `examples`)."""
    outputs = run(model, [sequence for sequences in encoded for sequence in sequences], examples)
    per_example = iter(outputs)
    return [
        task.decode(example, sequences, [next(per_example) for _ in sequences])
        for example, sequences in zip(examples, encoded, strict=True)
    ]


def run(model: Model, sequences: Sequence[Encoded], examples: Sequence[Any]) -> list[Output]:
    """The head's outputs of every sequence, in their order, computed in batches of like length."""
    outputs: list[Output | None] = [None] * len(sequences)
    was_training = model.training
    model.eval()
    most = BATCH_TOKENS.get(model.device.type, BATCH_TOKENS_ELSEWHERE)
    with torch.inference_mode():
        groups = by_budget([len(s) for s in sequences], most_tokens=most, most_rows=most // 32)
        for group in groups:
            # `group` is longest first already, the order that collate keeps
            batch = collate([sequences[index] for index in group], examples, device=model.device)
            for index, output in zip(group, _by_sequence(model, batch), strict=True):
                outputs[index] = output
    model.train(was_training)
    assert all(output is not None for output in outputs), "every sequence has its output"
    return [output for output in outputs if output is not None]


def _by_sequence(model: Model, batch: Batch) -> Iterable[Output]:
    """The outputs cut into those of each sequence: one row of a first-token head, all its tokens' rows otherwise."""
    named = {
        name: tensor.float().cpu().numpy() for name, tensor in model(batch.id_T, batch.segment_T, batch.layout).items()
    }
    first_S: Iterator[int] = iter(batch.layout.first_S.tolist())
    for index, (start, length) in enumerate(zip(first_S, batch.layout.lengths, strict=True)):
        if model.head.reads is Reads.FIRST:
            yield {name: values[index] for name, values in named.items()}
        else:
            yield {name: values[start : start + length] for name, values in named.items()}


def pick_device(name: str) -> torch.device:
    """The device that a name asks for; ``auto`` is the first accelerator, or the processor.

    Raises SettingsError if there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise SettingsError(
            f"device {name!r} cannot be used here: {first}; devices are auto, cpu, cuda, cuda:1, mps …"
        ) from None
    return device
