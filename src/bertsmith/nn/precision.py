"""In which numbers matrix products are computed. Weights, norms and what an optimiser keeps are float32 in any case."""

from __future__ import annotations

import os

import torch

from bertsmith.errors import SettingsError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The type of products that a name asks for; ``auto`` is bfloat16 where the processor has instructions for it.

    Elsewhere bfloat16 works, too, and is slower than float32. Raises SettingsError for an unknown name.
    """
    if name == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if name not in PRECISIONS:
        raise SettingsError(f"precision must be one of auto, {', '.join(PRECISIONS)}, got {name!r}")
    return PRECISIONS[name]


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return any(_says(name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def keep_few_kernels() -> None:
    """Let oneDNN and torch keep 128 kernels each, unless the environment says otherwise.

    Kernels are made for each number of tokens, and batches seldom have the same. Of a thousand, the default of both, a
    few epochs of short texts filled 0.7 GB, and their steps took longer. They look at this at torch's first product;
    there is no other way to tell them.
    """
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(cache, "128")


def name_of(dtype: torch.dtype | None) -> str:
    """A precision's name; None is that of the weights."""
    return "fp32" if dtype is None else next(name for name, each in PRECISIONS.items() if each == dtype)


def _says(name: str) -> bool:
    """What torch says of the processor; an older torch does not know all questions."""
    ask = getattr(torch.cpu, name, None)
    return ask is not None and bool(ask())
