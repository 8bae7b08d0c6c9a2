"""Batches for graphs that take matrices of sequences by length, and their outputs cut into those of each sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bertsmith.batching import by_budget

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
) -> Iterator[tuple[int, Output]]:
    """The position and the outputs of every sequence, the longest first, from a graph that `compute` runs.

    What `compute` gives may be overwritten by its next call in this thread: it is copied before anything is yielded.
    """
    lengths = [len(sequence) for sequence in sequences]
    for group in by_budget(lengths, most_tokens=BATCH_TOKENS, most_rows=BATCH_TOKENS // 8):
        batch = [sequences[index] for index in group]
        arrays = dict(zip(form.outputs, compute(padded(batch)), strict=True))
        copies = [
            {
                name: (array[row] if form.reads_first else array[row, : len(sequence)]).astype(np.float32)
                for name, array in arrays.items()
            }
            for row, sequence in enumerate(batch)
        ]
        yield from zip(group, copies, strict=True)


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
