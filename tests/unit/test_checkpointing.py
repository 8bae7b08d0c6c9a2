"""Computing a layer again for its gradient changes no bit of what is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from bertsmith.tasks.classify import Classify
from bertsmith.training import fit
from small_runs import examples_of, labelled, losses, model_of, prepared, settings_of

if TYPE_CHECKING:
    from bertsmith.events import Event

EXAMPLES = examples_of([(text, (label,)) for text, label in labelled(24, seed=2)])
TASK = Classify().learn(EXAMPLES)


@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
def test_the_same_bits_with_and_without(products: torch.dtype) -> None:
    curves, weights = [], []
    for checkpointing in (False, True):
        model = model_of(TASK)
        model.encoder.set_dropout(0.1)
        model.encoder.products, model.encoder.checkpointing = products, checkpointing
        events: list[Event] = []
        fit(TASK, model, prepared(TASK, EXAMPLES), None, settings_of(max_steps=4), listen=events.append)
        curves.append(losses(events))
        weights.append(model.state_dict())
    assert curves[0] == curves[1]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
