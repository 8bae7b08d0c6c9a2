"""Batches: the order of the rows, their parts, and sequences laid one after another.

torch is imported where a batch for it is made: an exported model answers in batches of its own, and without torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import Tensor

    from bertsmith.nn.layout import Layout
    from bertsmith.records import Encoded


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences packed for the encoder, with the examples they come from.

    id_T, segment_T: int64. examples: each example once. row_S: which of `examples` each sequence belongs to
    (several sequences where a long text was cut into windows). encoded: the sequences, longest first. truth_C: int64,
    what is to be found at the chosen tokens; None where that is not known of all.
    """

    id_T: Tensor
    segment_T: Tensor
    layout: Layout
    examples: Sequence[Any]
    row_S: Tensor
    encoded: Sequence[Encoded]
    truth_C: Tensor | None = None


def collate(encoded: Sequence[Encoded], examples: Sequence[Any], *, device: torch.device | None = None) -> Batch:
    """One batch of these sequences. examples: all examples that `owner` counts in.

    The sequences are laid longest first, so that neighbours pad each other little inside attention.
    """
    import torch

    from bertsmith.nn.layout import Layout

    encoded = sorted(encoded, key=len, reverse=True)
    owners = list(dict.fromkeys(sequence.owner for sequence in encoded))
    row_of = {owner: row for row, owner in enumerate(owners)}
    id_T = np.concatenate([sequence.ids for sequence in encoded]).astype(np.int64)
    segment_T = np.concatenate([np.arange(len(sequence)) >= sequence.second for sequence in encoded])
    chosen = [sequence.chosen for sequence in encoded if sequence.chosen is not None]
    truth = [sequence.truth for sequence in encoded if sequence.truth is not None]
    assert len(chosen) in (0, len(encoded)), "a batch's sequences are read in one way"
    truth_C = (
        torch.from_numpy(np.concatenate(truth).astype(np.int64)).to(device) if len(truth) == len(encoded) else None
    )
    return Batch(
        id_T=torch.from_numpy(id_T).to(device),
        segment_T=torch.from_numpy(segment_T.astype(np.int64)).to(device),
        layout=Layout.of([len(sequence) for sequence in encoded], chosen=chosen, device=device),
        examples=[examples[owner] for owner in owners],
        row_S=torch.tensor([row_of[sequence.owner] for sequence in encoded], device=device),
        encoded=encoded,
        truth_C=truth_C,
    )


def order(count: int, *, seed: int, epoch: int) -> Tensor:
    """The order of an epoch, int64 [count]: a pure function of the seed and the epoch, so that a resumed run finds it
    again. (A tensor, since a list of as many numbers would take five times the memory.)"""
    import torch

    generator = torch.Generator().manual_seed(mixed_seed("order", seed, epoch))
    return torch.randperm(count, generator=generator)


def grouped(in_order: Tensor, tokens: Tensor, *, batch_size: int, window: int) -> Tensor:
    """An epoch's order in which each batch holds rows of like length, as far as there are such among the rows of
    `window` neighbouring batches. The batches of a window follow each other in the order of the rows' first ones, which
    is random; a last one that is not full stays the last.

    in_order: row numbers, int64 [rows]. tokens: of each row by its number.
    """
    import torch

    parts = []
    for rows in torch.split(in_order, batch_size * window):
        by_length = rows[torch.argsort(tokens[rows], stable=True)]
        batches = torch.split(by_length, batch_size)
        whole = [batch for batch in batches if len(batch) == batch_size]
        place = {int(row): place for place, row in enumerate(rows)}
        whole.sort(key=lambda batch: place[int(batch[0])])
        parts += [*whole, *batches[len(whole) :]]
    return torch.cat(parts) if parts else in_order


def shuffled(count: int, *, seed: int, epoch: int) -> list[int]:
    """The same order as a list."""
    numbers: list[int] = order(count, seed=seed, epoch=epoch).tolist()
    return numbers


def mixed_seed(purpose: str, *numbers: int) -> int:
    """One seed out of a purpose and numbers, so that those which differ in any of them share no random numbers."""
    digest = hashlib.blake2b(repr((purpose, *numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def within(rows: Sequence[int], tokens: Sequence[int], *, most_tokens: int) -> Iterator[Sequence[int]]:
    """Neighbouring rows in as few parts as keep to `most_tokens` each, if in order; a longer row stands alone."""
    start, held = 0, 0
    for stop, count in enumerate(tokens):
        if stop > start and held + count > most_tokens:
            yield rows[start:stop]
            start, held = stop, 0
        held += count
    if rows:
        yield rows[start:]


def parts_of(rows: Sequence[int], *, parts: int) -> Iterator[Sequence[int]]:
    """A batch's rows in at most `parts` parts of nearly equal size, none empty."""
    for index in range(min(parts, len(rows))):
        yield rows[len(rows) * index // min(parts, len(rows)) : len(rows) * (index + 1) // min(parts, len(rows))]


def by_budget(lengths: Sequence[int], *, most_tokens: int, most_rows: int) -> Iterator[list[int]]:
    """Indices of the sequences in groups of like length, longest first; a group's padded size is at most
    `most_tokens` unless one sequence alone exceeds it."""
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[group[0]] if group else lengths[index]
        if group and (longest * (len(group) + 1) > most_tokens or len(group) >= most_rows):
            yield group
            group = []
        group.append(index)
    if group:
        yield group
