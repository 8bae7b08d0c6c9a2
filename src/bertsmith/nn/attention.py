"""Self-attention over packed tokens (Vaswani et al. 2017, §3.2): scaled dot products within each sequence.

Padding exists only in here, block by block. The products are plain batched ones with a backward pass of our own:
on CPUs that is faster at the usual lengths than torch's fused kernel (which has no dropout there either), and of
the probabilities it keeps one float and one byte for the backward pass, where autograd would keep two floats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from bertsmith.nn.layout import Block, Layout


def attend(query_key_value_T3D: Tensor, layout: Layout, *, heads: int, dropout: float) -> Tensor:
    """Each token attends to all tokens of its sequence; ``[T, 3 D]`` to ``[T, D]``.

    dropout: the share of attention probabilities set to zero; give 0 outside of training.
    """
    width = query_key_value_T3D.shape[1] // 3
    attended = []
    for block in layout.blocks:
        packed = query_key_value_T3D[block.tokens]
        query, key, value = (_split(part, block, heads) for part in torch.split(_pad(packed, block), width, dim=-1))
        mixed = _mix(query, key, value, _bias(block, heads, packed.dtype), dropout)
        attended.append(_unpad(_join(mixed, block), block))
    return torch.cat(attended) if len(attended) > 1 else attended[0]


def attend_from_first(query_SD: Tensor, key_value_T2D: Tensor, layout: Layout, *, heads: int, dropout: float) -> Tensor:
    """The first token of each sequence attends to all tokens of its sequence; ``[S, D]`` to ``[S, D]``."""
    width = query_SD.shape[1]
    attended = []
    for block in layout.blocks:
        packed = key_value_T2D[block.tokens]
        key, value = (_split(part, block, heads) for part in torch.split(_pad(packed, block), width, dim=-1))
        query = query_SD[block.sequences].reshape(block.count * heads, 1, width // heads)
        mixed = _mix(query, key, value, _bias(block, heads, packed.dtype), dropout)
        attended.append(mixed.reshape(block.count, width))
    return torch.cat(attended) if len(attended) > 1 else attended[0]


def _pad(packed: Tensor, block: Block) -> Tensor:
    """``[T, n]`` to ``[S, L, n]``, zeros where a sequence is shorter."""
    places = block.count * block.longest
    if block.padded_T is not None:
        packed = packed.new_zeros(places, packed.shape[1]).index_copy(0, block.padded_T, packed)
    return packed.view(block.count, block.longest, packed.shape[1])


def _unpad(padded_SLD: Tensor, block: Block) -> Tensor:
    flat = padded_SLD.reshape(block.count * block.longest, padded_SLD.shape[-1])
    return flat if block.padded_T is None else flat.index_select(0, block.padded_T)


def _split(padded_SLD: Tensor, block: Block, heads: int) -> Tensor:
    """``[S, L, H K]`` to ``[S H, L, K]``: one matrix a head for batched products."""
    by_head = padded_SLD.view(block.count, block.longest, heads, -1).transpose(1, 2)
    return by_head.reshape(block.count * heads, block.longest, by_head.shape[-1])


def _join(mixed: Tensor, block: Block) -> Tensor:
    """``[S H, L, K]`` back to ``[S, L, H K]``."""
    by_head = mixed.view(block.count, -1, block.longest, mixed.shape[-1]).transpose(1, 2)
    return by_head.reshape(block.count, block.longest, -1)


def _bias(block: Block, heads: int, dtype: torch.dtype) -> Tensor | None:
    if block.bias_S1L is None:
        return None
    return block.bias_S1L.to(dtype).repeat_interleave(heads, dim=0)


def _mix(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout: float) -> Tensor:
    mixed = _Mix.apply(query, key, value, bias, dropout)  # type: ignore[no-untyped-call]
    assert isinstance(mixed, Tensor)
    return mixed


class _Mix(torch.autograd.Function):
    """softmax(query keyᵀ / √K + bias), dropout, times value; every argument ``[S H, L, K]``."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout: float) -> Tensor:
        scale = query.shape[-1] ** -0.5
        key_turned = key.transpose(1, 2)
        if bias is None:
            score = torch.bmm(query, key_turned).mul_(scale)
        else:
            score = torch.baddbmm(bias, query, key_turned, alpha=scale)
        share = torch.softmax(score, dim=-1)
        kept_share, kept = torch.native_dropout(share, dropout, True) if dropout else (share, None)
        ctx.save_for_backward(query, key, value, share, kept)
        ctx.dropout = dropout
        return torch.bmm(kept_share, value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, share, kept = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        share_gradient = torch.bmm(gradient, value.transpose(1, 2))
        kept_share = share
        if kept is not None:
            grow = 1 / (1 - ctx.dropout)
            share_gradient = share_gradient.mul_(kept).mul_(grow)
            kept_share = (share * kept).mul_(grow)
        value_gradient = torch.bmm(kept_share.transpose(1, 2), gradient)
        score_gradient = torch._softmax_backward_data(share_gradient, share, -1, share.dtype)
        score_gradient.mul_(query.shape[-1] ** -0.5)
        return (
            torch.bmm(score_gradient, key),
            torch.bmm(score_gradient.transpose(1, 2), query),
            value_gradient,
            None,
            None,
        )
