"""A run that computes with some of the word embeddings learns what one with all of them learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.testing import assert_close

from bertsmith.errors import BundleError
from bertsmith.events import Began
from bertsmith.tasks.classify import Classify
from bertsmith.training import fit, words
from small_runs import examples_of, labelled, model_of, prepared, settings_of

if TYPE_CHECKING:
    from pathlib import Path

    from bertsmith.events import Event
    from bertsmith.nn.heads import Model

# half of the tiny vocabulary
FEW = ("good", "fine", "bad", "dull", "the", "film", "is")
ROWS = [
    (" ".join(word for word in text.split() if word in FEW) or "film", (label,)) for text, label in labelled(40, seed=7)
]
EXAMPLES = examples_of(ROWS)
TASK = Classify().learn(EXAMPLES)


def trained(monkeypatch: pytest.MonkeyPatch, *, some: bool, **values: Any) -> tuple[Model, list[Event], int]:
    """The model after a run, the run's events, and how many rows the word table had meanwhile."""
    events: list[Event] = []
    rows: set[int] = set()
    model = model_of(TASK, dropout=0.0)

    def listen(event: Event) -> None:
        events.append(event)
        rows.add(len(model.encoder.embeddings.word.weight))

    with monkeypatch.context() as patch:
        patch.setattr(words, "NEARLY_ALL", 0.8 if some else 0.0)
        settings = settings_of(**{"epochs": 3.0, "weight_decay": 0.3, "dropout": 0.0, **values})
        fit(TASK, model, prepared(TASK, EXAMPLES[:32]), prepared(TASK, EXAMPLES[32:]), settings, listen=listen)
    return model, events, max(rows)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"keep": "last"},
        {"layer_decay": 0.5, "schedule": "constant"},
        {"gradual_unfreezing": True, "epochs": 5.0},
        {"freeze": "encoder"},
        {"weight_decay": 0.0, "warmup": 0.5},
    ],
    ids=lambda values: ",".join(values) or "plain",
)
def test_some_words_learn_as_all_do(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    some, of_some, few = trained(monkeypatch, some=True, **values)
    every, of_all, many = trained(monkeypatch, some=False, **values)
    assert few < 0.6 * many
    expected = every.state_dict()
    for name, value in some.state_dict().items():
        assert_close(value, expected[name], rtol=1e-6, atol=1e-7, msg=f"{name} differs")
    counts = [event.parameters for events in (of_some, of_all) for event in events if isinstance(event, Began)]
    assert counts[0] == counts[1] == sum(parameter.numel() for parameter in every.parameters())


@pytest.mark.parametrize(
    "values",
    [{"max_steps": 17, "accumulate": 2}, {"patience": 1, "evals_per_epoch": 3}, {"freeze": 1}],
    ids=lambda values: ",".join(values),
)
def test_and_do_so_however_a_run_ends(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    some, every = (trained(monkeypatch, some=flag, **values)[0].state_dict() for flag in (True, False))
    for name, value in some.items():
        assert_close(value, every[name], rtol=1e-6, atol=1e-7, msg=f"{name} differs")


def test_a_state_of_other_words_is_refused(tmp_path: Path) -> None:
    """As many words, but others: the rows of the table would go to the wrong ones."""
    state, settings = tmp_path / "state.safetensors", settings_of(epochs=3.0)
    for texts in (("good film", "bad film"), ("fine plot", "dull plot")):
        examples = examples_of([(texts[number % 2], (str(number % 2),)) for number in range(16)])
        task = Classify().learn(examples)
        if state.exists():
            with pytest.raises(BundleError, match="the state is of other data: its rows have other words"):
                fit(task, model_of(task), prepared(task, examples), None, settings, state=state)
        else:
            fit(task, model_of(task), prepared(task, examples), None, settings, state=state, stop=lambda: True)


def test_a_word_that_the_run_does_not_have_is_an_error() -> None:
    model = model_of(TASK)
    data = prepared(TASK, EXAMPLES)
    with words.words_of(model, data.encoded), pytest.raises(IndexError):
        row_V = model.encoder.embeddings.row_V
        assert row_V is not None
        model.encoder.embeddings.word(row_V[4])


def test_words_never_seen_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    before = model_of(TASK, dropout=0.0).encoder.embeddings.word.weight
    after = trained(monkeypatch, some=True, keep="last")[0].encoder.embeddings.word.weight
    unseen = 4  # [MASK]
    assert not torch.equal(after[unseen], before[unseen])
    assert bool((after[unseen].abs() <= before[unseen].abs()).all())


def test_the_table_is_whole_again_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(TASK, dropout=0.0)
    before = model.encoder.embeddings.word.weight.detach().clone()

    def fail(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(TASK, model, prepared(TASK, EXAMPLES), None, settings_of(), listen=fail)
    assert torch.equal(model.encoder.embeddings.word.weight, before)
    assert model.encoder.embeddings.row_V is None
