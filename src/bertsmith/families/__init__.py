"""Encoder families: one file each, with its config both ways and its two-way table of checkpoint names.

A file in this folder that defines ``FAMILIES`` adds them; nothing else needs to know of it.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from bertsmith.errors import CheckpointError, listed
from bertsmith.nn.encoder import EncoderConfig
from bertsmith.nn.layers import ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class HeadForm:
    """How a family's own models build a kind of head, so that a bundle opens in transformers with equal answers.

    architecture: the class in transformers. names: our module → its module in the checkpoint.
    activation: of the head's dense layer, if it has one; None for the encoder's own. dropout_key: of config.json; None
    for no dropout. pretrained: those of our modules that pretraining already made (BERT's pooler).
    tied: a matrix of the checkpoint that must be the word embeddings, if it is there. keeps: beginnings of tensor names
    that are no part of this head, and stay in the checkpoint for those who train on from it.
    """

    architecture: str
    names: Mapping[str, str]
    dropout_key: str | None
    activation: str | None = "tanh"
    dropout_before: bool = False
    pretrained: tuple[str, ...] = ()
    tied: str | None = None
    keeps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """What tells one family from another, as data.

    keys: field of EncoderConfig → key of config.json. defaults: what a key means where config.json lacks it.
    prefix: what a model with a head puts before the encoder's names; `base` modules stand right under it.
    names: our module → module in the checkpoint, without `prefix`; ``{i}`` counts layers; several modules in a
    tuple are stacked, first rows first. heads: kind of head → its form. known: beginnings of tensor names that a
    checkpoint of the family may hold beside the encoder (heads of pretraining and of other tasks).
    fixed: keys of config.json with the only values that this family's code computes.
    """

    model_type: str
    prefix: str
    keys: Mapping[str, str]
    defaults: Mapping[str, Any]
    names: Mapping[str, str | tuple[str, ...]]
    heads: Mapping[str, HeadForm]
    known: tuple[str, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    positions_after_padding: bool = False

    def read_config(self, raw: Mapping[str, Any], *, source: str) -> EncoderConfig:
        """The encoder's shape from config.json.

        Raises CheckpointError for a value of a wrong type or out of bounds, before anything is allocated.
        """
        for key, only in self.fixed.items():
            if raw.get(key, only) != only:
                raise CheckpointError(f"{source}: {key} is {raw[key]!r}, only {only!r} is supported")
        values: dict[str, Any] = {}
        for item in fields(EncoderConfig):
            ours = item.name
            if ours in self.keys:
                key = self.keys[ours]
                values[ours] = _checked(ours, key, raw.get(key, self.defaults[ours]), source)
            elif ours == "embedding_width":
                values[ours] = values["width"]
            else:
                values[ours] = self.defaults.get(ours, 0)
        if self.positions_after_padding:
            # RoBERTa numbers positions from the padding id on, so the first ones are never used
            values["first_position"] = (
                _checked("first_position", "pad_token_id", raw.get("pad_token_id", 1), source) + 1
            )
        config = EncoderConfig(**values)
        if config.width % config.heads:
            raise CheckpointError(
                f"{source}: {self.keys['width']} {config.width} is not a multiple of "
                f"{self.keys['heads']} {config.heads}"
            )
        if config.max_length < 4:
            raise CheckpointError(f"{source}: {self.keys['positions']} {config.positions} leaves no room for a text")
        return config

    def write_config(self, config: EncoderConfig) -> dict[str, Any]:
        """The keys of config.json that describe this encoder."""
        written = {key: getattr(config, ours) for ours, key in self.keys.items()}
        return {"model_type": self.model_type, **self.fixed, **written}

    def form(self, kind: str) -> HeadForm:
        """The form of a kind of head. Raises CheckpointError if the family has no such head."""
        if kind not in self.heads:
            having = [name for name, family in families().items() if kind in family.heads]
            raise CheckpointError(
                f"{self.model_type} has no {kind} head, which the task needs; families that have one: {listed(having)}"
            )
        return self.heads[kind]

    def full_name(self, name: str) -> str:
        """A checkpoint's tensor name in the one form used here: with prefix, ``gamma``/``beta`` as today."""
        for old, new in _RENAMED.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        base = {stacked.split(".")[0] for stacked in self._modules()} | {"pooler"}
        return self.prefix + name if name.split(".")[0] in base else name

    def _modules(self) -> Iterator[str]:
        for theirs in self.names.values():
            yield from (theirs,) if isinstance(theirs, str) else theirs

    def tensors(self, config: EncoderConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Our parameter's name with the checkpoint's full names that make it up, for the whole encoder."""
        for ours, theirs in self.names.items():
            if (ours, config.segments) == ("embeddings.segment", 0):
                continue
            if ours == "embeddings.projection" and config.embedding_width == config.width:
                continue
            stacked = (theirs,) if isinstance(theirs, str) else theirs
            kinds = ("weight",) if ours in _WITHOUT_BIAS else ("weight", "bias")
            for i in range(config.layers if "{i}" in ours else 1):
                for kind in kinds:
                    theirs_full = tuple(f"{self.prefix}{name.format(i=i)}.{kind}" for name in stacked)
                    yield f"{ours.format(i=i)}.{kind}", theirs_full


# TensorFlow's names, which the oldest checkpoints still hold
_RENAMED: Mapping[str, str] = {".gamma": ".weight", ".beta": ".bias"}

_WITHOUT_BIAS = ("embeddings.word", "embeddings.position", "embeddings.segment")

# Bounds of config values, far beyond any published encoder: a mistaken or hostile file must not allocate first.
_BOUNDS: Mapping[str, tuple[int, int]] = {
    "vocabulary": (1, 4_000_000),
    "width": (1, 32_768),
    "layers": (1, 512),
    "heads": (1, 1_024),
    "inner_width": (1, 262_144),
    "positions": (1, 1_000_000),
    "segments": (0, 1_024),
    "embedding_width": (1, 32_768),
    "first_position": (-1, 999_999),
}
_FRACTIONS: Mapping[str, tuple[float, float]] = {
    "norm_epsilon": (0.0, 0.1),
    "dropout": (0.0, 0.999),
    "attention_dropout": (0.0, 0.999),
    "initializer_range": (0.0, 10.0),
}


def _checked(ours: str, key: str, value: Any, source: str) -> Any:
    if ours in _BOUNDS:
        low, high = _BOUNDS[ours]
        if type(value) is not int or not low <= value <= high:
            raise CheckpointError(f"{source}: {key} must be a whole number from {low} to {high}, got {value!r}")
    elif ours in _FRACTIONS:
        least, most = _FRACTIONS[ours]
        if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
            raise CheckpointError(f"{source}: {key} must be a number from {least} to {most}, got {value!r}")
        value = float(value)
    elif not isinstance(value, str) or value not in ACTIVATIONS:
        raise CheckpointError(f"{source}: {key} must be one of {listed(ACTIVATIONS)}, got {value!r}")
    return value


@cache
def families() -> Mapping[str, Family]:
    """Every family by the model type that its checkpoints name in config.json."""
    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        members: tuple[Family, ...] = importlib.import_module(module.name).FAMILIES
        found.update({family.model_type: family for family in members})
    return found


def family_of(raw: Mapping[str, Any], *, source: str) -> Family:
    """The family that config.json names. Raises CheckpointError for an unknown one, listing those known."""
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in families():
        raise CheckpointError(
            f"{source}: model_type {model_type!r} is not a family bertsmith knows: {listed(sorted(families()))}"
        )
    return families()[model_type]
