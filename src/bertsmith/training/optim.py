"""Which parameters learn, at which rate: AdamW with decay, layer-wise rates, freezing, warm-up and decay."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.optim.adamw import adamw

from bertsmith.errors import SettingsError
from bertsmith.nn.encoder import initialize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from bertsmith.config import Settings
    from bertsmith.nn.heads import Model

_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


def depth_of(name: str, layers: int) -> int:
    """How far a parameter is below the head: 0 the head, 1 the top layer, …, `layers` + 1 the embeddings."""
    if not name.startswith("encoder."):
        return 0
    layer = _LAYER.match(name)
    return layers - int(layer[1]) if layer else layers + 1


def default_rate(width: int) -> float:
    """Devlin et al. 2019 give 2e-5 … 5e-5 for base and large; smaller encoders want more (Turc et al. 2019)."""
    if width >= 1024:
        return 2e-5
    return 3e-5 if width >= 768 else 1e-4


def peak_rate(model: Model, settings: Settings) -> float:
    """The highest learning rate of a run, of what has no layer-wise decay."""
    return settings.learning_rate or default_rate(model.encoder.config.width)


@dataclass(slots=True)
class Group:
    """Parameters that learn alike. scale: by which their rate differs from the run's. rate: of the next step."""

    parameters: list[nn.Parameter]
    weight_decay: float
    scale: float
    rate: float


@dataclass(frozen=True, slots=True)
class AdamW:
    """AdamW with bias correction (Loshchilov & Hutter 2019; Mosbach et al. 2021 on why the correction matters).

    Its steps are torch's own, to the bit. It is no ``torch.optim.AdamW``, as making one imports torch's compiler, which
    takes one to three seconds. state: of each parameter that has had a gradient, ``step``, ``exp_avg``, ``exp_avg_sq``.
    """

    groups: Sequence[Group]
    beta2: float
    epsilon: float
    fused: bool
    state: dict[nn.Parameter, dict[str, Tensor]] = field(default_factory=dict)

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.groups:
            moved = [parameter for parameter in group.parameters if parameter.grad is not None]
            states = [self._state_of(parameter) for parameter in moved]
            adamw(
                moved,  # type: ignore[arg-type]
                [parameter.grad for parameter in moved if parameter.grad is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=self.fused,
                amsgrad=False,
                beta1=0.9,
                beta2=self.beta2,
                lr=group.rate,
                weight_decay=group.weight_decay,
                eps=self.epsilon,
                maximize=False,
            )

    def _state_of(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        if parameter not in self.state:
            self.state[parameter] = {
                "step": torch.zeros((), device=parameter.device if self.fused else "cpu"),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return self.state[parameter]

    def zero_grad(self) -> None:
        """Take the gradients away."""
        for group in self.groups:
            for parameter in group.parameters:
                parameter.grad = None


def optimizer_of(model: Model, settings: Settings) -> AdamW:
    """The optimiser of a run, in groups by depth, to whose power of ``layer_decay`` they learn, and by decay."""
    layers = model.encoder.config.layers
    rate = peak_rate(model, settings)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        # decay pulls weights to zero, which means nothing for biases and norms (their vectors)
        groups.setdefault((depth_of(name, layers), parameter.ndim > 1), []).append(parameter)
    return AdamW(
        [
            Group(parameters, settings.weight_decay if decays else 0.0, settings.layer_decay**depth, rate)
            for (depth, decays), parameters in groups.items()
        ],
        beta2=settings.adam_beta2,
        epsilon=settings.adam_epsilon,
        fused=model.device.type in ("cpu", "cuda", "mps"),
    )


def rate_factor(step: int, *, steps: int, warmup: float, schedule: str) -> float:
    """The factor of the rate at a step (from 0): rising over the warm-up, then falling to zero or constant."""
    warm_steps = int(warmup * steps)
    if step < warm_steps:
        return (step + 1) / (warm_steps + 1)
    if schedule == "constant":
        return 1.0
    return (steps - step) / (steps - warm_steps)


def set_learning(model: Model, settings: Settings, *, epoch: int) -> None:
    """Say which parameters learn in an epoch: all, but for frozen layers, and those not yet unfrozen.

    With gradual unfreezing (Howard & Ruder 2018, §3.3) the head learns alone in epoch 0, then one layer more each
    epoch from the top. A wholly frozen encoder also drops nothing out: it only extracts features.
    """
    layers = model.encoder.config.layers
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(learns(depth_of(name, layers), settings, layers=layers, epoch=epoch))
    model.train()
    if settings.freeze == "encoder":
        model.encoder.eval()


def learns(depth: int, settings: Settings, *, layers: int, epoch: int) -> bool:
    """Whether what is so far below the head learns in an epoch; see `depth_of` and `set_learning`."""
    lower = isinstance(settings.freeze, int) and settings.freeze > 0 and depth > layers - settings.freeze
    not_yet = settings.gradual_unfreezing and depth > epoch
    return depth == 0 or not (settings.freeze == "encoder" or lower or not_yet)


def decay_of_words(model: Model, settings: Settings, *, steps: int, of_steps: int, steps_per_epoch: int) -> float:
    """What AdamW multiplies a word embedding with that never has a gradient, in the first `steps` of a run."""
    layers = model.encoder.config.layers
    depth = layers + 1
    rate = peak_rate(model, settings) * settings.layer_decay**depth
    return math.prod(
        1
        - rate
        * rate_factor(step, steps=of_steps, warmup=settings.warmup, schedule=settings.schedule)
        * settings.weight_decay
        for step in range(steps)
        if learns(depth, settings, layers=layers, epoch=step // steps_per_epoch)
    )


def check_layers(layers: int, settings: Settings) -> None:
    """Raises SettingsError if more layers are to be frozen or started anew than the encoder has."""
    if isinstance(settings.freeze, int) and settings.freeze > layers:
        raise SettingsError(
            f"freeze must be at most {layers}, the encoder's layers, or 'encoder', got {settings.freeze}"
        )
    if settings.reinit_top > layers:
        raise SettingsError(f"reinit_top must be at most {layers}, the encoder's layers, got {settings.reinit_top}")


def reinitialize_top(model: Model, count: int, *, generator: torch.Generator) -> None:
    """Start the top `count` layers and the head at random (Zhang et al. 2021, §4)."""
    deviation = model.encoder.config.initializer_range
    for layer in list(model.encoder.layers)[len(model.encoder.layers) - count :]:
        initialize(layer, deviation=deviation, generator=generator)
    if count:
        initialize(model.head, deviation=deviation, generator=generator)


def clip(model: Model, largest: float, *, divide_by: float) -> float:
    """Divide the gradient, then scale it down to a norm of `largest` if it is longer; the norm before that.

    In one pass over the gradient, which for the word embeddings alone is larger than everything a batch touches.
    """
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients)) / divide_by
    if math.isfinite(norm):
        torch._foreach_mul_(gradients, min(1.0, largest / (norm + 1e-6)) / divide_by)
    return norm
