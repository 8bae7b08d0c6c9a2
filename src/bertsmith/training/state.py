"""All that a stopped run needs to go on to the bit: weights, optimiser, best weights, position. One safetensors file.

The order of the rows and dropout are pure functions of seeds, epoch and step, so no generator is kept.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bertsmith.errors import BundleError
from bertsmith.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from bertsmith.nn.heads import Model
    from bertsmith.training.optim import AdamW


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands. step: steps taken. stale: dev scores since the best. attempt: restarts of a collapsed run.

    run: what must be the same for the state to fit (settings, task, data), as text.
    """

    step: int
    best_step: int | None
    best_value: float | None
    stale: int
    attempt: int
    run: str


def save_state(
    path: Path,
    position: Position,
    model: Model,
    optimizer: AdamW,
    best: Mapping[str, Tensor] | None,
) -> None:
    """Write the state, whole or not at all."""
    tensors = {f"model.{name}": parameter for name, parameter in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    tensors.update({f"best.{name}": tensor for name, tensor in (best or {}).items()})
    if model.encoder.embeddings.row_V is not None:
        tensors["words"] = model.encoder.embeddings.row_V
    detached = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(detached, temporary, metadata={"position": json.dumps(asdict(position))})


def read_position(path: Path) -> Position:
    """The position alone. Raises BundleError if the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return Position(**json.loads(file.metadata()["position"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: not a whole state of a run: {error}") from error


def load_state(path: Path, model: Model, optimizer: AdamW) -> tuple[Position, dict[str, Tensor] | None]:
    """Put model and optimiser where they were; the position and the best weights, if there were any.

    Raises BundleError if the file is damaged or of another model.
    """
    position = read_position(path)
    with safe_open(path, framework="pt", device=str(model.device)) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    words, own_words = tensors.pop("words", None), model.encoder.embeddings.row_V
    if (words is None) != (own_words is None) or (own_words is not None and not torch.equal(own_words, words)):
        raise BundleError(f"{path}: the state is of other data: its rows have other words")
    own = model.state_dict()
    wrong = [name for name, value in own.items() if getattr(tensors.get(f"model.{name}"), "shape", None) != value.shape]
    if wrong:
        raise BundleError(f"{path}: the state is of another model: {wrong[0]!r} does not fit")
    model.load_state_dict({name: tensors[f"model.{name}"] for name in own})
    for name, parameter in model.named_parameters():
        stored = {key: f"optimizer.{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq")}
        missing = [tensor for tensor in stored.values() if tensor not in tensors]
        if len(missing) == len(stored):  # it has not learned yet
            continue
        if missing:
            raise BundleError(f"{path}: not a whole state of a run: tensor {missing[0]!r} is missing")
        optimizer.state[parameter] = {key: tensors[tensor] for key, tensor in stored.items()}
    best = {name.removeprefix("best."): tensor for name, tensor in tensors.items() if name.startswith("best.")}
    return position, best or None
