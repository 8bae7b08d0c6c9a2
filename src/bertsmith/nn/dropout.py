"""Dropout (Srivastava et al. 2014) whose random numbers cost little.

On a processor, torch draws one number a value and one after another, which takes as long as a tenth of a training
step. Here 16 random bits decide on a value, from a generator that is seeded with a number of torch's own: so a step is
still a function of `torch.manual_seed`, and a step computed twice drops the same values twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STEPS = 2**16
# One, as the bits of a number of a type.
_ONE: Mapping[torch.dtype, np.signedinteger[Any]] = {
    torch.bfloat16: np.int16(0x3F80),
    torch.float32: np.int32(0x3F800000),
    torch.float64: np.int64(0x3FF0000000000000),
}


def kept(shape: Sequence[int], share: float, *, like: Tensor) -> tuple[Tensor, float]:
    """A mask in the type of `like` with about `share` zeros among ones, and what the ones must be multiplied by so that
    the mean stays the same."""
    dropped = round(share * _STEPS)
    grow = _STEPS / (_STEPS - dropped)
    if like.device.type != "cpu" or like.dtype not in _ONE:
        mask = torch.empty(tuple(shape), dtype=like.dtype, device=like.device)
        return mask.bernoulli_(1 / grow), grow
    count = int(np.prod(shape))
    seed = int(torch.empty((), dtype=torch.int64).random_())
    drawn = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.int16)[:count]
    is_kept = drawn >= dropped - _STEPS // 2
    one = _ONE[like.dtype]
    bits = torch.from_numpy(np.multiply(is_kept, one, dtype=one.dtype))
    return bits.view(like.dtype).view(tuple(shape)), grow


class Dropout(nn.Module):
    """Sets a share of the values to zero in training and multiplies the others, so that the mean stays the same."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.share):
            return x
        mask, grow = kept(x.shape, self.share, like=x)
        return x * mask.mul_(grow)

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual + self(x)``, in one pass."""
        if not (self.training and self.share):
            return residual + x
        mask, grow = kept(x.shape, self.share, like=x)
        return torch.addcmul(residual, x, mask, value=grow)
