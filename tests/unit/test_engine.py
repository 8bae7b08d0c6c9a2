"""Batches of prediction: how much each may hold, and that no budget changes an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from torch.testing import assert_close

from bertsmith.checkpoint import load_pretrained
from bertsmith.families import families
from bertsmith.infer import engine
from bertsmith.records import Encoded
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.mlm import Mlm
from bertsmith.tasks.nsp import Nsp
from tiny import Case, bundle_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bertsmith.bundle import Bundle
    from bertsmith.tasks import Task

MOST_CHOSEN = 10


@pytest.fixture(scope="module", params=[Mlm(), Nsp()], ids=["mlm", "nsp"])
def bundle(request: pytest.FixtureRequest, tiny_checkpoint: Callable[[Case], Path]) -> Bundle:
    return _bundle(request.param, tiny_checkpoint)


def _bundle(task: Task[Any, Any], tiny_checkpoint: Callable[[Case], Path]) -> Bundle:
    return bundle_of(task, load_pretrained(tiny_checkpoint(Case(families()["bert"]))))


def sequences_of(bundle: Bundle) -> list[Encoded]:
    """Forty of several lengths, each with two to five chosen tokens, its first among them, but one with all chosen."""
    draw = np.random.default_rng(0)
    sequences = []
    for number in range(40):
        length = int(draw.integers(6, 40))
        more = np.arange(1, length if number == 7 else draw.integers(2, 5))
        sequences.append(
            Encoded(
                ids=draw.integers(5, bundle.tokenizer.vocab_size, length).astype(np.int32),
                second=length,
                owner=0,
                body=(1, length - 1),
                chosen=np.append(0, more).astype(np.int32),
            )
        )
    return sequences


def test_batches_keep_to_the_outputs_they_may_hold(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = sequences_of(bundle)
    whole = engine.run(bundle.model, sequences, (None,))
    groups = [group for group, _, _ in engine.batches(bundle.model, sequences, (None,))]
    assert len(groups) == 1, "the usual budget holds them all"

    most = MOST_CHOSEN * bundle.tokenizer.vocab_size
    monkeypatch.setitem(engine.BATCH_OUTPUTS, "cpu", most)
    parts = []
    for group, batch, output in engine.batches(bundle.model, sequences, (None,)):
        assert output["logits"].numel() <= most or len(group) == 1
        assert [len(sequences[index]) for index in group] == list(batch.layout.lengths)
        parts.append(group)
    assert len(parts) >= sum(len(each.chosen) for each in sequences if each.chosen is not None) / MOST_CHOSEN / 2
    assert [index for part in parts for index in part] == groups[0], "the order stays"
    for one, other in zip(engine.run(bundle.model, sequences, (None,)), whole, strict=True):
        assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_one_sequence_may_hold_more(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.BATCH_OUTPUTS, "cpu", 1)
    groups = [group for group, _, _ in engine.batches(bundle.model, sequences_of(bundle), (None,))]
    assert [len(group) for group in groups] == [1] * 40


def test_heads_with_few_outputs_are_batched_by_tokens(
    tiny_checkpoint: Callable[[Case], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = _bundle(Classify(labels=("a", "b")), tiny_checkpoint)
    monkeypatch.setitem(engine.BATCH_OUTPUTS, "cpu", 1)
    encoded = bundle.tokenizer.encode(["No."] * 40, max_length=20)
    assert [len(group) for group, _, _ in engine.batches(bundle.model, encoded, (None,) * 40)] == [40]
