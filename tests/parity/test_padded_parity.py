"""The padded model, which is exported, gives what the packed one gives: every family, every head that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bertsmith.checkpoint import load_pretrained
from bertsmith.errors import SettingsError
from bertsmith.families import families
from bertsmith.infer import engine
from bertsmith.infer.backends.padded import padded
from bertsmith.nn.layout import Reads
from bertsmith.nn.padded import PaddedModel
from bertsmith.tasks.answer import Answer
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.mlm import Mlm
from bertsmith.tasks.regress import Regress
from bertsmith.tasks.tag import Tag
from tiny import PAIRS, TEXTS, Case, bundle_of, cases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bertsmith.bundle import Bundle
    from bertsmith.records import Encoded
    from bertsmith.tasks import Task

TASKS: Sequence[Task[Any, Any]] = (Classify(labels=("a", "b", "c")), Regress(), Tag(labels=("N", "O", "V")), Answer())


def encoded(bundle: Bundle) -> list[Encoded]:
    """Texts and pairs of several lengths, in one list."""
    singles = bundle.tokenizer.encode(list(TEXTS), max_length=bundle.max_length)
    first, second = zip(*PAIRS, strict=True)
    return [*singles, *bundle.tokenizer.encode(list(first), list(second), max_length=bundle.max_length)]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("case", cases(), ids=str)
def test_gives_what_the_packed_model_gives(
    case: Case, task: Task[Any, Any], tiny_checkpoint: Callable[[Case], Path]
) -> None:
    bundle = bundle_of(task, load_pretrained(tiny_checkpoint(case)))
    sequences = encoded(bundle)
    assert len({len(sequence) for sequence in sequences}) > 4, "padding is what is tested"
    wanted = engine.run(bundle.model, sequences, range(len(sequences)))
    arrays = padded(sequences)
    for array in arrays.values():  # what stands at padding must not matter, in ids and segments
        if array is not arrays["mask"]:
            array[arrays["mask"] == 0] = 1
    module = PaddedModel(bundle.model).eval()
    with torch.inference_mode():
        outputs = module(*(torch.from_numpy(array) for array in arrays.values()))
    found = dict(zip(module.output_names, (output.numpy() for output in outputs), strict=True))
    assert found.keys() == wanted[0].keys()
    for row, (sequence, expected) in enumerate(zip(sequences, wanted, strict=True)):
        for name, array in found.items():
            of_row = array[row] if bundle.model.head.reads is Reads.FIRST else array[row, : len(sequence)]
            np.testing.assert_allclose(of_row, expected[name], atol=1e-5, rtol=1e-5)


def test_shares_every_parameter(tiny_checkpoint: Callable[[Case], Path]) -> None:
    model = bundle_of(TASKS[0], load_pretrained(tiny_checkpoint(Case(families()["bert"])))).model
    own = {id(parameter) for parameter in model.parameters()}
    assert {id(parameter) for parameter in PaddedModel(model).parameters()} == own


def test_refuses_heads_of_chosen_tokens(tiny_checkpoint: Callable[[Case], Path]) -> None:
    bundle = bundle_of(Mlm(), load_pretrained(tiny_checkpoint(Case(families()["bert"]))))
    with pytest.raises(SettingsError, match="chosen tokens"):
        PaddedModel(bundle.model)
