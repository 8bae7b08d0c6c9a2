"""torch's part of prediction: a model in memory computes the outputs. Training's dev scores come from here, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bertsmith.batching import by_budget, collate, within
from bertsmith.errors import SettingsError
from bertsmith.infer.answering import answered
from bertsmith.nn.layout import Reads
from bertsmith.nn.precision import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from bertsmith.batching import Batch
    from bertsmith.nn.heads import Model
    from bertsmith.records import Encoded
    from bertsmith.tasks import Output, Task

# A batch's tokens, padding inside attention counted: enough to fill a processor, little enough for its cache; an
# accelerator wants more.
BATCH_TOKENS = {"cpu": 4_096}
BATCH_TOKENS_ELSEWHERE = 65_536
# A batch's outputs, in numbers of 4 bytes: 128 MiB, 1 GiB elsewhere, and twice that in use, as one batch is computed
# while its reader still has the one before. Heads over a vocabulary come here first: of 250,002 pieces, 15 % of 65,536
# tokens would be 9.8 GB.
BATCH_OUTPUTS = {"cpu": 2**25}
BATCH_OUTPUTS_ELSEWHERE = 2**28


def predict_encoded(
    task: Task[Any, Any], model: Model, examples: Sequence[Any], encoded: Sequence[Sequence[Encoded]]
) -> list[Any]:
    """`answered` by a model in memory."""
    return answered(task, TorchBackend(model), examples, encoded)


def predict_calibrated(
    task: Task[Any, Any], model: Model, examples: Sequence[Any], encoded: Sequence[Sequence[Encoded]]
) -> tuple[Task[Any, Any], list[Any]]:
    """The task as these examples calibrate it, and its predictions for them."""
    predictions = predict_encoded(task, model, examples, encoded)
    calibrated = task.calibrate(examples, predictions)
    return calibrated, [calibrated.decide(prediction) for prediction in predictions]


def run(model: Model, sequences: Sequence[Encoded], examples: Sequence[Any]) -> list[Output]:
    """The head's outputs of every sequence, in their order, computed in batches of like length."""
    found = dict(_outputs(model, sequences, examples))
    return [found[index] for index in range(len(sequences))]


def _outputs(model: Model, sequences: Sequence[Encoded], examples: Sequence[Any]) -> Iterator[tuple[int, Output]]:
    """The position and the outputs of every sequence, the longest first."""
    for group, batch, output in batches(model, sequences, examples):
        yield from zip(group, _by_sequence(model, batch, output), strict=True)


@dataclass(frozen=True, slots=True)
class TorchBackend:
    """A model in memory, on packed tokens, where its weights are."""

    model: Model

    @property
    def description(self) -> str:
        return f"torch ({self.model.device.type}, {name_of(self.model.encoder.products)})"

    def outputs(self, sequences: Sequence[Encoded]) -> Iterator[tuple[int, Output]]:
        # a batch names the examples that its sequences are of, and here nobody asks for them
        owners = range(1 + max((sequence.owner for sequence in sequences), default=0))
        return _outputs(self.model, sequences, owners)


def batches(
    model: Model, sequences: Sequence[Encoded], examples: Sequence[Any]
) -> Iterator[tuple[list[int], Batch, Mapping[str, Tensor]]]:
    """The sequences in batches of like length, the longest first: where they stand among all, their batch, and the
    head's outputs for it as they are, on the model's device, for who takes a few numbers out of large ones.

    A batch keeps to the budget of tokens and to that of outputs, unless one sequence alone is more.
    """
    was_training = model.training
    if was_training:  # it takes a millisecond, as much as a tenth of a short request
        model.eval()
    most = BATCH_TOKENS.get(model.device.type, BATCH_TOKENS_ELSEWHERE)
    most_outputs = BATCH_OUTPUTS.get(model.device.type, BATCH_OUTPUTS_ELSEWHERE)
    groups = by_budget([len(s) for s in sequences], most_tokens=most, most_rows=most // 32)
    try:
        for group in (part for whole in groups for part in _within_outputs(model, sequences, whole, most_outputs)):
            # `group` is longest first already, the order that collate keeps
            batch = collate([sequences[index] for index in group], examples, device=model.device)
            with torch.inference_mode():
                output = model(batch.id_T, batch.segment_T, batch.layout)
            yield group, batch, output
    finally:
        if was_training:
            model.train()


def _within_outputs(model: Model, sequences: Sequence[Encoded], group: list[int], most: int) -> Iterator[list[int]]:
    """The group in parts of so many outputs; only heads that read chosen tokens have one for each word piece."""
    if model.head.reads is not Reads.CHOSEN:
        yield group
        return
    vocabulary = model.encoder.embeddings.word.num_embeddings
    chosen = [sequences[index].chosen for index in group]
    outputs = [0 if each is None else len(each) * vocabulary for each in chosen]
    for part in within(group, outputs, most_tokens=most):
        yield list(part)


def _by_sequence(model: Model, batch: Batch, output: Mapping[str, Tensor]) -> Iterator[Output]:
    """The outputs cut into those of each sequence; of a first-token head the one row, without the dimension of rows."""
    named = {name: tensor.float().cpu().numpy() for name, tensor in output.items()}
    counts = model.head.counts(batch.layout)
    stops = {name: np.cumsum(counts[name]) for name in named}
    for index in range(len(batch.encoded)):
        rows = {name: slice(stop[index] - counts[name][index], stop[index]) for name, stop in stops.items()}
        if model.head.reads is Reads.FIRST:
            yield {name: values[index] for name, values in named.items()}
        else:
            yield {name: values[rows[name]] for name, values in named.items()}


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
