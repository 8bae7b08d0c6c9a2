"""Batches for graphs that take matrices of sequences by length, and their outputs cut into those of each sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bertsmith.batching import by_budget
from bertsmith.infer.lookahead import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bertsmith.exports import ExportedForm
    from bertsmith.records import Encoded
    from bertsmith.tasks import Output

# A batch's tokens, padding counted: so few that a layer's results stay in the processor's cache; on a two-core
# processor, no larger budget was faster in any runtime.
BATCH_TOKENS = 512

INPUTS = ("ids", "segments", "mask")


def outputs(
    form: ExportedForm,
    compute: Callable[[Mapping[str, NDArray[np.int64]]], Sequence[NDArray[np.float32]]],
    sequences: Sequence[Encoded],
    *,
    threads: int = 1,
) -> Iterator[tuple[int, Output]]:
    """The position and the outputs of every sequence, the longest first, from a graph that `compute` runs.

    threads: how many batches are computed at once. What `compute` gives is nobody else's.
    """

    def computed(group: Sequence[int]) -> list[tuple[int, Output]]:
        batch = [sequences[index] for index in group]
        arrays = dict(zip(form.outputs, compute(padded(batch)), strict=True))
        return [
            (
                index,
                {
                    name: (array[row] if form.reads_first else array[row, : len(sequence)]).astype(np.float32)
                    for name, array in arrays.items()
                },
            )
            for row, (index, sequence) in enumerate(zip(group, batch, strict=True))
        ]

    lengths = [len(sequence) for sequence in sequences]
    groups = by_budget(lengths, most_tokens=BATCH_TOKENS, most_rows=BATCH_TOKENS // 8)
    for batch in map(computed, groups) if threads == 1 else side_by_side(computed, groups, threads=threads):
        yield from batch


def padded(sequences: Sequence[Encoded]) -> dict[str, NDArray[np.int64]]:
    """``ids``, ``segments`` and ``mask`` of these sequences, each int64 ``[S, L]``, zeros at padding."""
    longest = max(len(sequence) for sequence in sequences)
    ids, segments, mask = (np.zeros((len(sequences), longest), dtype=np.int64) for _ in INPUTS)
    for row, sequence in enumerate(sequences):
        length = len(sequence)
        ids[row, :length] = sequence.ids
        segments[row, sequence.second : length] = 1
        mask[row, :length] = 1
    return {"ids": ids, "segments": segments, "mask": mask}
