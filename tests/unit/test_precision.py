"""bfloat16 products beside float32 ones, and dropout's random numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from bertsmith.batching import collate
from bertsmith.checkpoint import load_pretrained
from bertsmith.errors import SettingsError
from bertsmith.events import Began
from bertsmith.nn.dropout import Dropout, kept
from bertsmith.nn.layers import LayerNorm, Linear
from bertsmith.nn.precision import pick_precision
from bertsmith.tasks.classify import Classify
from bertsmith.training import fit
from small_runs import examples_of, labelled, losses, model_of, prepared, settings_of
from tiny import Case, cases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bertsmith.events import Event

CPU = torch.device("cpu")
EXAMPLES = examples_of([(text, (label,)) for text, label in labelled(64, seed=11)])
TASK = Classify().learn(EXAMPLES)


def test_names_of_precisions() -> None:
    assert pick_precision("fp32", CPU) is torch.float32
    assert pick_precision("bf16", CPU) is torch.bfloat16
    assert pick_precision("auto", CPU) is torch.float32  # as the tests' processors all are taken for
    with pytest.raises(SettingsError, match="precision must be one of auto, fp32, bf16, got 'fp16'"):
        pick_precision("fp16", CPU)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_hidden_states_in_bfloat16_are_close(case: Case, tiny_checkpoint: Callable[[Case], Path]) -> None:
    pretrained = load_pretrained(tiny_checkpoint(case))
    encoder, tokenizer = pretrained.encoder.eval(), pretrained.tokenizer
    sequences = [
        tokenizer.encode([text], max_length=16)[0] for text in ("a fine film", "dull", "the plot is very good")
    ]
    batch = collate(sequences, [None] * 3)
    plain = encoder(batch.id_T, batch.segment_T, batch.layout).detach()
    encoder.products = torch.bfloat16
    found = encoder(batch.id_T, batch.segment_T, batch.layout).detach()
    assert found.dtype is torch.bfloat16
    # eight bits of mantissa, and a few layers that each round several times
    assert float((found.float() - plain).norm() / plain.norm()) < 0.03


def test_weights_and_gradients_stay_float32() -> None:
    linear, norm = Linear(8, 8), LayerNorm(8)
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    given = norm(linear(x))
    assert given.dtype is torch.bfloat16
    given.float().square().mean().backward()
    for parameter in [*linear.parameters(), *norm.parameters()]:
        assert parameter.dtype is torch.float32
        assert parameter.grad is not None
        assert parameter.grad.dtype is torch.float32


def test_a_run_in_bfloat16_learns_as_in_float32() -> None:
    curves, events = {}, []
    for precision in ("fp32", "bf16"):
        model = model_of(TASK, dropout=0.0)
        model.encoder.products = pick_precision(precision, CPU)
        seen: list[Event] = []
        fit(TASK, model, prepared(TASK, EXAMPLES), None, settings_of(dropout=0.0, epochs=3.0), listen=seen.append)
        curves[precision] = losses(seen)
        events += [event.precision for event in seen if isinstance(event, Began)]
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert events == ["fp32", "bf16"]
    assert curves["bf16"] == pytest.approx(curves["fp32"], abs=0.05)
    assert curves["bf16"] != curves["fp32"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_masks_keep_the_share_and_the_mean(dtype: torch.dtype, share: float) -> None:
    count = 90_001  # not a multiple of four
    with torch.random.fork_rng():
        torch.manual_seed(5)
        mask, grow = kept((3, count // 3), share, like=torch.ones((), dtype=dtype))
        again, _ = kept((3, count // 3), share, like=torch.ones((), dtype=dtype))
    assert mask.dtype is dtype
    assert set(mask.double().flatten().tolist()) == {0.0, 1.0}
    assert not torch.equal(mask, again)
    # three standard deviations of a binomial share
    deviation = math.sqrt(share * (1 - share) / count)
    assert float(mask.double().mean()) == pytest.approx(1 - share, abs=3 * deviation)
    assert grow == pytest.approx(1 / (1 - share), rel=1e-4)
    # neighbours in both directions are independent
    for shifted in (mask[:, 1:] * mask[:, :-1], mask[1:] * mask[:-1]):
        assert float(shifted.double().mean()) == pytest.approx((1 - share) ** 2, abs=6 * deviation)


def test_dropout_is_a_function_of_the_seed_and_adds_in_one_pass() -> None:
    x = torch.randn(50, 40, generator=torch.Generator().manual_seed(1))
    residual = torch.randn(50, 40, generator=torch.Generator().manual_seed(2))
    drop = Dropout(0.3)

    def seeded(compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(9)
            return compute()

    once = seeded(lambda: drop(x))
    assert torch.equal(once, seeded(lambda: drop(x)))
    assert_close(seeded(lambda: drop.add(residual, x)), residual + once)
    dropped = once == 0
    assert 0.25 < float(dropped.float().mean()) < 0.35
    assert_close(once[~dropped], x[~dropped] / 0.7, rtol=1e-4, atol=0)
    drop.eval()
    assert torch.equal(drop(x), x)
    assert torch.equal(drop.add(residual, x), residual + x)


def test_copies_of_weights_are_kept_until_the_weights_are_others() -> None:
    linear = Linear(8, 8).eval()
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.no_grad():
        plain = linear(x)
        linear.prepare(torch.bfloat16)
        assert torch.equal(linear(x), plain)
        copies = linear.in_type(torch.bfloat16)
        assert linear.in_type(torch.bfloat16)[0] is copies[0]
        linear.weight.mul_(2.0)
        assert not torch.equal(linear(x), plain)
        linear.load_state_dict({"weight": copies[0].float(), "bias": copies[1].float()}, assign=True)
        assert_close(linear(x), plain)
        linear.prepare(torch.bfloat16)
        linear.train()
        assert linear.in_type(torch.bfloat16)[0] is not linear.in_type(torch.bfloat16)[0]
