"""Self-attention over packed tokens (Vaswani et al. 2017, §3.2): scaled dot products within each sequence.

Padding exists only in here, block by block. The products are plain batched ones with a backward pass of our own for
the whole layout: on CPUs that is faster at the usual lengths than torch's fused kernel (which has no dropout there
either), and no gradient is ever put together from those of slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bertsmith.nn.dropout import kept
from bertsmith.nn.layout import Reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bertsmith.nn.layout import Block, Layout, Side


def attend(query_key_value_T3D: Tensor, layout: Layout, *, heads: int, dropout: float) -> Tensor:
    """Each token attends to all tokens of its sequence; ``[T, 3 D]`` to ``[T, D]``.

    dropout: the share of attention probabilities set to zero; give 0 outside of training.
    """
    return _attend(query_key_value_T3D, None, layout, _Form(Reads.ALL, heads, dropout))


def attend_from(
    query_RD: Tensor, key_value_T2D: Tensor, layout: Layout, *, reads: Reads, heads: int, dropout: float
) -> Tensor:
    """The tokens that are read attend to all tokens of their sequence; ``[R, D]`` to ``[R, D]``."""
    return _attend(key_value_T2D, query_RD, layout, _Form(reads, heads, dropout))


@dataclass(frozen=True, slots=True)
class _Form:
    reads: Reads
    heads: int
    dropout: float


def _attend(packed_Tn: Tensor, query_RD: Tensor | None, layout: Layout, form: _Form) -> Tensor:
    attended = _Attend.apply(packed_Tn, query_RD, layout, form)  # type: ignore[no-untyped-call]
    assert isinstance(attended, Tensor)
    return attended


class _Attend(torch.autograd.Function):
    """Attention in every block: of queries apart, or with ``None`` of those that are packed with keys and values."""

    @staticmethod
    def forward(ctx: Any, packed_Tn: Tensor, query_RD: Tensor | None, layout: Layout, form: _Form) -> Tensor:
        ctx.layout, ctx.form, ctx.apart, ctx.grow = layout, form, query_RD is not None, 1.0
        width = packed_Tn.shape[1] // (3 if query_RD is None else 2)
        attended_RD = packed_Tn.new_empty(packed_Tn.shape[0] if query_RD is None else query_RD.shape[0], width)
        saved: list[Tensor | None] = []
        for block, side in _asking(layout, form):
            if query_RD is None:
                query, key, value = _by_head(packed_Tn, block.sides[Reads.ALL], block.count, form.heads, parts=3)
            else:
                key, value = _by_head(packed_Tn, block.sides[Reads.ALL], block.count, form.heads, parts=2)
                (query,) = _by_head(query_RD, side, block.count, form.heads, parts=1)
            query.mul_(query.shape[-1] ** -0.5)
            score = _scores(query, key, _bias(block, form.heads, query.dtype))
            share, mask = torch.softmax(score, dim=-1), None
            if form.dropout:
                mask, ctx.grow = kept(share.shape, form.dropout, like=share)
            mixed = torch.bmm(share if mask is None else share * mask, value)
            # values are fewer than shares, so it is they that grow by what dropout asks for
            _pack(mixed if mask is None else mixed.mul_(ctx.grow), side, block.count, form.heads, into=attended_RD)
            if any(ctx.needs_input_grad):
                saved += [query, key, value, share, mask]
        ctx.save_for_backward(*saved)
        return attended_RD

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        layout, form = ctx.layout, ctx.form
        gradient_RD = gradients[0]
        width = gradient_RD.shape[1]
        packed_gradient_Tn = gradient_RD.new_empty(layout.tokens, (2 if ctx.apart else 3) * width)
        query_gradient_RD = torch.empty_like(gradient_RD) if ctx.apart else None
        tensors = ctx.saved_tensors
        if len(tensors) < 5 * len(layout.blocks):  # blocks of which nothing is read have none
            packed_gradient_Tn.zero_()
        saved = iter(tensors)
        for block, side in _asking(layout, form):
            query, key, value, share, mask = (next(saved) for _ in range(5))
            (gradient,) = _by_head(gradient_RD, side, block.count, form.heads, parts=1)
            if mask is not None:
                gradient.mul_(ctx.grow)
            score_gradient = torch.bmm(gradient, value.transpose(1, 2))
            kept_share = share
            if mask is not None:
                score_gradient.mul_(mask)
                kept_share = share * mask
            score_gradient = torch._softmax_backward_data(score_gradient, share, -1, share.dtype)
            query_gradient = torch.bmm(score_gradient, key).mul_(query.shape[-1] ** -0.5)
            key_gradient = torch.bmm(score_gradient.transpose(1, 2), query)
            value_gradient = torch.bmm(kept_share.transpose(1, 2), gradient)
            tokens = block.sides[Reads.ALL]
            parts = torch.split(packed_gradient_Tn, width, dim=1)
            if query_gradient_RD is None:
                _pack(query_gradient, tokens, block.count, form.heads, into=parts[0])
            else:
                _pack(query_gradient, side, block.count, form.heads, into=query_gradient_RD)
            _pack(key_gradient, tokens, block.count, form.heads, into=parts[-2])
            _pack(value_gradient, tokens, block.count, form.heads, into=parts[-1])
        return packed_gradient_Tn, query_gradient_RD, None, None


def _asking(layout: Layout, form: _Form) -> Sequence[tuple[Block, Side]]:
    """The blocks of which something is read, with the rows that are."""
    sides = [(block, block.sides[form.reads]) for block in layout.blocks]
    return [(block, side) for block, side in sides if side.longest]


def _scores(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    turned = key.transpose(1, 2)
    return torch.bmm(query, turned) if bias is None else torch.baddbmm(bias, query, turned)


def _bias(block: Block, heads: int, dtype: torch.dtype) -> Tensor | None:
    if block.bias_S1L is None:
        return None
    return block.bias_S1L.to(dtype).repeat_interleave(heads, dim=0)


def _by_head(packed_Rn: Tensor, side: Side, count: int, heads: int, *, parts: int) -> Tensor:
    """``[R, parts H K]`` to ``[parts, S H, L, K]``: a matrix a head for batched products, zeros at padding."""
    rows = packed_Rn[side.rows]
    if side.padded_R is not None:
        rows = rows.new_zeros(count * side.longest, rows.shape[1]).index_copy_(0, side.padded_R, rows)
    by_head = rows.view(count, side.longest, parts, heads, -1).permute(2, 0, 3, 1, 4)
    # a copy in any case: queries are scaled in place
    return by_head.clone(memory_format=torch.contiguous_format).view(parts, count * heads, side.longest, -1)


def _pack(by_head: Tensor, side: Side, count: int, heads: int, *, into: Tensor) -> None:
    """``[S H, L, K]`` to rows of ``[R, H K]``, without the padding."""
    by_place = by_head.view(count, heads, side.longest, -1).transpose(1, 2)
    rows = into[side.rows]
    if side.padded_R is None:
        rows.view(by_place.shape).copy_(by_place)
    else:
        rows.copy_(by_place.reshape(count * side.longest, -1).index_select(0, side.padded_R))
