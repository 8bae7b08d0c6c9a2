"""Twenty steps from fixed weights on fixed texts give the losses recorded beside this file.

A refactoring gives the same losses before and after. Where training is meant to change, record them anew:

    PYTHONPATH=tests .venv/bin/python tests/golden/test_loss_curve.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bertsmith.tasks.classify import Classify
from bertsmith.tasks.regress import Regress
from bertsmith.training import fit
from small_runs import examples_of, labelled, losses, model_of, prepared, settings_of, texts

if TYPE_CHECKING:
    from bertsmith.events import Event

RECORDED = Path(__file__).with_name("loss_curve.json")
STEPS = 20


def classes() -> tuple[Any, list[Any]]:
    task = Classify(class_weights={"pos": 2.0}, label_smoothing=0.05)
    return task, [(text, (label,)) for text, label in labelled(36, seed=3)]


def windows() -> tuple[Any, list[Any]]:
    return Classify(long_texts="windows", overlap=2), [(text, (label,)) for text, label in labelled(36, seed=4)]


def numbers() -> tuple[Any, list[Any]]:
    return Regress(), texts(36, seed=5)


RUNS = {"classes": classes, "windows": windows, "numbers": numbers}


def curve(name: str) -> list[float]:
    """The loss of every step."""
    task, rows = RUNS[name]()
    examples = examples_of(rows)
    task = task.learn(examples)
    model = model_of(task, dropout=0.0)  # torch's random numbers for dropout differ between processors
    # a generator whose numbers NumPy promises never to change
    chance = np.random.RandomState(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.from_numpy(chance.standard_normal(tuple(parameter.shape)))
            parameter.copy_(noise * 0.2 if parameter.ndim > 1 else parameter + noise * 0.02)
    events: list[Event] = []
    settings = settings_of(
        max_steps=STEPS, layer_decay=0.9, weight_decay=0.1, accumulate=2, adam_epsilon=1e-6, dropout=0.0
    )
    length = 10 if name == "windows" else 48
    fit(task, model, prepared(task, examples, max_length=length), None, settings, listen=events.append)
    return [round(loss, 6) for loss in losses(events)]


@pytest.mark.parametrize("name", RUNS)
def test_losses_are_those_recorded(name: str) -> None:
    recorded, found = json.loads(RECORDED.read_text(encoding="utf-8"))[name], curve(name)
    assert len(found) == STEPS
    assert found == pytest.approx(recorded, rel=1e-3)


@pytest.mark.parametrize("name", RUNS)
def test_the_recorded_run_learned(name: str) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))[name]
    assert np.mean(recorded[-5:]) < 0.8 * np.mean(recorded[:5])


if __name__ == "__main__":
    curves = {name: curve(name) for name in RUNS}
    RECORDED.write_text(json.dumps(curves, indent=1) + "\n", encoding="utf-8")
