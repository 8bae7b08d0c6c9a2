"""What learns, and at which rate."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_linear_schedule_with_warmup

from bertsmith.checkpoint import load_pretrained
from bertsmith.errors import SettingsError
from bertsmith.tasks.classify import Classify
from bertsmith.training import fit
from bertsmith.training.optim import (
    check_layers,
    clip,
    default_rate,
    depth_of,
    optimizer_of,
    rate_factor,
    reinitialize_top,
    set_learning,
)
from cli_runs import short
from small_runs import changed, examples_of, labelled, model_of, prepared, settings_of, weights, write_tsv

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = examples_of([(text, (label,)) for text, label in labelled(24)])
TASK = Classify().learn(EXAMPLES)
LAYERS = 2

STEPS = st.integers(1, 200)
WARMUPS = st.floats(0, 1)


def test_depths() -> None:
    depths = {name: depth_of(name, LAYERS) for name, _ in model_of(TASK).named_parameters()}
    assert {depth for name, depth in depths.items() if name.startswith("head.")} == {0}
    assert {depth for name, depth in depths.items() if name.startswith("encoder.layers.1.")} == {1}
    assert {depth for name, depth in depths.items() if name.startswith("encoder.layers.0.")} == {2}
    assert {depth for name, depth in depths.items() if name.startswith("encoder.embeddings.")} == {3}
    assert set(depths.values()) == {0, 1, 2, 3}


def test_biases_and_norms_do_not_decay_and_every_parameter_is_in_one_group() -> None:
    model = model_of(TASK)
    optimizer = optimizer_of(model, settings_of(weight_decay=0.1))
    names = {parameter: name for name, parameter in model.named_parameters()}
    grouped = [(names[p], group.weight_decay) for group in optimizer.groups for p in group.parameters]
    assert sorted(name for name, _ in grouped) == sorted(names.values())
    for name, decay in grouped:
        plain = name.endswith(".bias") or "norm" in name
        assert decay == (0.0 if plain else 0.1), name


@pytest.mark.parametrize("layer_decay", [1.0, 0.8])
def test_scales_fall_with_the_depth(layer_decay: float) -> None:
    model = model_of(TASK)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in optimizer_of(model, settings_of(layer_decay=layer_decay)).groups:
        for parameter in group.parameters:
            assert group.scale == layer_decay ** depth_of(names[parameter], LAYERS)


def test_steps_are_those_of_adamw_at_a_rate_for_each_depth() -> None:
    """`fit`, against torch's AdamW on one parameter at a time, fed with the gradients that `fit` saw."""
    settings = settings_of(
        max_steps=3, dropout=0.0, layer_decay=0.5, weight_decay=0.1, adam_epsilon=1e-6, warmup=0.5, clip=1e9
    )
    data, model = prepared(TASK, EXAMPLES), model_of(TASK, dropout=0.0)
    expected = weights(model)
    seen: list[dict[str, torch.Tensor]] = []
    for name, parameter in model.named_parameters():
        parameter.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient, name=name: seen[-1].__setitem__(name, gradient.clone())
        )
    seen.append({})
    fit(TASK, model, data, None, settings, listen=lambda event: seen.append({}))
    # one batch is one backward pass, whose gradients are of the sum over its 8 rows
    gradients = [{name: gradient / 8 for name, gradient in step.items()} for step in seen if step]
    assert len(gradients) == 3

    for name in dict(model.named_parameters()):
        parameter = torch.nn.Parameter(expected[name])
        decay = 0.1 if parameter.ndim > 1 else 0.0
        reference = torch.optim.AdamW([parameter], lr=1.0, eps=1e-6, weight_decay=decay, fused=False)
        for step, step_gradients in enumerate(gradients):
            reference.param_groups[0]["lr"] = 1e-3 * 0.5 ** depth_of(name, LAYERS) * (0.5, 1.0, 0.5)[step]
            parameter.grad = step_gradients[name]
            reference.step()
        torch.testing.assert_close(model.get_parameter(name).detach(), parameter.detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_steps_have_the_bits_of_torchs_own(fused: bool) -> None:
    settings = settings_of(weight_decay=0.1, layer_decay=0.5, adam_beta2=0.98, adam_epsilon=1e-6)
    model, twin = model_of(TASK), model_of(TASK)
    ours, names = replace(optimizer_of(model, settings), fused=fused), {p: name for name, p in model.named_parameters()}
    theirs = torch.optim.AdamW(
        [
            {"params": [twin.get_parameter(names[p]) for p in group.parameters], "weight_decay": group.weight_decay}
            for group in ours.groups
        ],
        betas=(0.9, 0.98), eps=1e-6, fused=fused,
    )  # fmt: skip
    for step in range(4):
        for number, (name, parameter) in enumerate(model.named_parameters()):
            if (number + step) % 3:  # a parameter is without a gradient now and then, and has none at first
                parameter.grad = torch.randn_like(parameter)
                twin.get_parameter(name).grad = parameter.grad.clone()
        for group, their in zip(ours.groups, theirs.param_groups, strict=True):
            group.rate = their["lr"] = 1e-2 * group.scale / (step + 1)
        for optimizer in (ours, theirs):
            optimizer.step()
            optimizer.zero_grad()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, twin.get_parameter(name)), name


def test_training_does_without_torchs_compiler(tmp_path: Path) -> None:
    """Importing it takes as long as importing torch."""
    train = write_tsv(tmp_path / "train.tsv", labelled(24))
    flags = ["train", "classify", "--train", str(train), "--out", str(tmp_path / "out"), "--quiet", *short()]
    code = (
        "import sys\nfrom bertsmith.cli import run\n"
        f"assert run({flags!r}) == 0\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("width", "rate"), [(384, 1e-4), (768, 3e-5), (1024, 2e-5), (32, 1e-4)])
def test_default_rates(width: int, rate: float) -> None:
    assert default_rate(width) == rate


def test_the_rate_left_out_is_that_of_the_width() -> None:
    settings = settings_of().model_copy(update={"learning_rate": None})
    assert optimizer_of(model_of(TASK), settings).groups[0].rate == 1e-4


@pytest.mark.parametrize(("steps", "warm"), [(20, 0), (20, 2), (20, 10), (7, 3), (1, 0)])
def test_the_schedule_is_that_of_transformers_without_its_step_at_rate_zero(steps: int, warm: int) -> None:
    # transformers begins at 0, so that its first step does nothing; here every step counts, the last one too
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, warm + 1, steps + 1)  # type: ignore[no-untyped-call]
    for step in range(steps):
        optimizer.step()
        schedule.step()
        found = rate_factor(step, steps=steps, warmup=(warm + 0.5) / steps, schedule="linear")
        assert found == pytest.approx(optimizer.param_groups[0]["lr"])


@given(STEPS, WARMUPS)
def test_the_rate_rises_then_falls_and_is_never_zero(steps: int, warmup: float) -> None:
    factors = [rate_factor(step, steps=steps, warmup=warmup, schedule="linear") for step in range(steps)]
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert all(0 < factor <= 1 for factor in factors)
    warm_steps = int(warmup * steps)
    assert peak == min(warm_steps, steps - 1)
    if warm_steps < steps:
        assert factors[peak] == 1
        assert factors[-1] == pytest.approx(1 / (steps - warm_steps))


@given(STEPS, WARMUPS)
def test_a_constant_rate_stays_after_its_warm_up(steps: int, warmup: float) -> None:
    factors = [rate_factor(step, steps=steps, warmup=warmup, schedule="constant") for step in range(steps)]
    linear = [rate_factor(step, steps=steps, warmup=warmup, schedule="linear") for step in range(steps)]
    warm_steps = int(warmup * steps)
    assert factors[:warm_steps] == linear[:warm_steps]
    assert set(factors[warm_steps:]) <= {1.0}


PARTS = ("encoder.embeddings.", "encoder.layers.0.", "encoder.layers.1.", "head.")


def moved(**values: object) -> tuple[str, ...]:
    """Which parts have a parameter that two steps move. Those parts have no parameter that they do not move."""
    settings = settings_of(max_steps=2, dropout=0.0, **values)
    model = model_of(TASK, dropout=0.0)
    before = weights(model)
    fit(TASK, model, prepared(TASK, EXAMPLES), None, settings)
    names = changed(before, weights(model))
    return tuple(part for part in PARTS if any(name.startswith(part) for name in names))


@pytest.mark.parametrize(
    ("freeze", "parts"), [(0, PARTS), (1, PARTS[2:]), (2, PARTS[3:]), ("encoder", PARTS[3:])]
)  # fmt: skip
def test_frozen_layers_keep_every_bit(freeze: object, parts: tuple[str, ...]) -> None:
    assert moved(freeze=freeze, weight_decay=0.1) == parts


def test_gradual_unfreezing_adds_a_layer_an_epoch() -> None:
    model, settings = model_of(TASK), settings_of(gradual_unfreezing=True)
    for epoch in range(6):
        set_learning(model, settings, epoch=epoch)
        names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert (
            tuple(part for part in PARTS if any(name.startswith(part) for name in names)) == PARTS[max(0, 3 - epoch) :]
        )
    assert moved(gradual_unfreezing=True) == PARTS[3:]  # two steps are of epoch 0


def test_gradual_unfreezing_stops_at_frozen_layers() -> None:
    model, settings = model_of(TASK), settings_of(gradual_unfreezing=True, freeze=1)
    set_learning(model, settings, epoch=9)
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not any(name.startswith(PARTS[:2]) for name in names)
    assert any(name.startswith(PARTS[2]) for name in names)


def test_every_parameter_can_learn_again_after_a_run() -> None:
    model = model_of(TASK)
    fit(TASK, model, prepared(TASK, EXAMPLES), None, settings_of(max_steps=1, freeze="encoder"))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_a_frozen_encoder_drops_nothing_out() -> None:
    model = model_of(TASK)
    set_learning(model, settings_of(freeze="encoder"), epoch=0)
    assert not model.encoder.training
    assert model.head.training
    set_learning(model, settings_of(freeze=2), epoch=0)
    assert model.encoder.training


def test_reinit_top_starts_layers_and_head_anew() -> None:
    model = model_of(TASK)
    before = weights(model)
    reinitialize_top(model, 0, generator=torch.Generator().manual_seed(5))
    assert changed(before, weights(model)) == set()
    reinitialize_top(model, 1, generator=torch.Generator().manual_seed(5))
    names = changed(before, weights(model))
    assert all(name.startswith(PARTS[2:]) for name in names)
    assert {"encoder.layers.1.feed_forward.inner.weight", "head.output.weight"} <= names
    deviation = load_pretrained(settings_of().encoder).config.initializer_range
    fresh = [parameter for name, parameter in model.named_parameters() if name in names and parameter.ndim > 1]
    assert torch.cat([parameter.flatten() for parameter in fresh]).std().item() == pytest.approx(deviation, rel=0.05)


def test_more_layers_than_there_are() -> None:
    check_layers(2, settings_of(freeze=2, reinit_top=2))
    check_layers(2, settings_of(freeze="encoder"))
    with pytest.raises(SettingsError, match="freeze must be at most 2, the encoder's layers, or 'encoder', got 3"):
        check_layers(2, settings_of(freeze=3))
    with pytest.raises(SettingsError, match="reinit_top must be at most 2, the encoder's layers, got 3"):
        check_layers(2, settings_of(reinit_top=3))


@pytest.mark.parametrize("largest", [0.5, 1e9])
def test_clip_divides_then_clips_as_torch_does(largest: float) -> None:
    model, reference = model_of(TASK), model_of(TASK)
    generator = torch.Generator().manual_seed(3)
    for parameter, same in zip(model.head.parameters(), reference.head.parameters(), strict=True):
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        same.grad = parameter.grad / 5
    expected = torch.nn.utils.clip_grad_norm_(list(reference.parameters()), largest)
    assert clip(model, largest, divide_by=5) == pytest.approx(float(expected), rel=1e-6)
    for parameter, same in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, same.grad)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_clip_tells_of_a_gradient_that_is_not_finite(value: float) -> None:
    model = model_of(TASK)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    model.get_parameter("head.output.bias").grad = torch.tensor([0.0, value])
    assert not math.isfinite(clip(model, 1.0, divide_by=3))
