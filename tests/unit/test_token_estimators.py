"""The scikit-learn estimators on tokens: targets both ways, errors with their place, cross-validation, pickling."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

import bertsmith
from bertsmith import BertAnswerer, BertTagger
from bertsmith.config import Settings
from bertsmith.errors import DataError, SettingsError
from bertsmith.estimators.base import plain
from bertsmith.families import families
from bertsmith.tasks.answer import Answer
from bertsmith.tasks.tag import Tag
from tiny import TEXTS, Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SENTENCES = [["The", "film"], ["A", "fine", "plot"], ["the", "end", "is", "near"], ["No"]] * 2
TAGS = [["DET", "NOUN"], ["DET", "ADJ", "NOUN"], ["DET", "NOUN", "VERB", "ADJ"], ["X"]] * 2
ENTITY_TEXTS = ["the critic of the paper", "my friends", "A fine film"] * 2
ENTITIES = [[(4, 10, "WHO"), (18, 23, "WHAT")], [(3, 10, "WHO")], []] * 2
QUESTIONS = [("What is fine?", TEXTS[0]), ("What is old?", TEXTS[1]), ("Who says so?", TEXTS[3]), ("Why?", TEXTS[2])]
ANSWERS = ["film", ("jokes", TEXTS[1].index("jokes")), "critic", None]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So small a model is computed fastest on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small(tiny_checkpoint: Callable[[Case], Path]) -> dict[str, Any]:
    """Arguments for a run that learns a few rows by heart."""
    encoder = tiny_checkpoint(Case(families()["bert"]))
    return {
        "encoder": encoder,
        "max_steps": 60,
        "batch_size": 8,
        "learning_rate": 5e-3,
        "dropout": 0.0,
        "device": "cpu",
    }


@pytest.mark.parametrize(("estimator", "task"), [(BertTagger, Tag), (BertAnswerer, Answer)])
def test_arguments_are_the_settings_and_the_options(estimator: Any, task: Any) -> None:
    given = estimator().get_params()
    options = {name: field.default for name, field in task.options().items()}
    assert {name: value for name, value in given.items() if name in options} == options
    rest = {name: value for name, value in given.items() if name not in options}
    assert rest == {**{name: getattr(Settings(), name) for name in rest}, "dev_fraction": 0.0}


def test_words_and_their_tags(small: dict[str, Any], tmp_path: Path) -> None:
    model = BertTagger(**small).fit(SENTENCES, TAGS)
    assert model.predict(SENTENCES) == TAGS
    assert model.score(SENTENCES, TAGS) == 1.0
    assert sorted(model.classes_) == ["ADJ", "DET", "NOUN", "VERB", "X"]
    assert pickle.loads(pickle.dumps(model)).predict(SENTENCES) == TAGS
    model.save(tmp_path / "saved")
    assert list(bertsmith.load(tmp_path / "saved").predict([["The", "film"]])[0].tags) == TAGS[0]


def test_values_of_numpy_are_those_of_python(small: dict[str, Any]) -> None:
    """As the columns of a frame hold them that was read from Parquet: arrays of arrays."""
    few = {**small, "max_steps": 1}
    words, tags = (np.empty(len(column), dtype=object) for column in (SENTENCES, TAGS))
    words[:], tags[:] = [np.array(each) for each in SENTENCES], [np.array(each, dtype=object) for each in TAGS]
    model = BertTagger(**few).fit(words, tags)
    assert [len(tags) for tags in model.predict([*words])] == [len(tags) for tags in TAGS]
    spans = [[(np.int64(start), np.int32(stop), np.str_(kind)) for start, stop, kind in each] for each in ENTITIES]
    BertTagger(**few).fit(ENTITY_TEXTS, spans)
    answers = [(a[0], np.int64(a[1])) if isinstance(a, tuple) else a for a in ANSWERS]
    BertAnswerer(**few, no_answer_threshold=0.0).fit(np.array(QUESTIONS, dtype=object), answers)
    assert plain([np.array([np.float32(0.5), "a"], dtype=object), (np.int8(1),)]) == [[0.5, "a"], (1,)]


def test_texts_and_their_entities(small: dict[str, Any]) -> None:
    model = BertTagger(**small).fit(ENTITY_TEXTS, ENTITIES)
    assert model.predict_entities(ENTITY_TEXTS) == ENTITIES
    assert model.score(ENTITY_TEXTS, ENTITIES) == 1.0
    assert model.predict(["my friends"]) == [["O", "B-WHO"]]


def test_questions_and_their_answers(small: dict[str, Any]) -> None:
    model = BertAnswerer(**{**small, "max_steps": 120}, no_answer_threshold=0.0).fit(QUESTIONS, ANSWERS)
    assert list(model.predict(QUESTIONS)) == ["film", "jokes", "critic", ""]
    found = [
        None if span is None else passage[slice(*span)]
        for (_, passage), span in zip(QUESTIONS, model.predict_spans(QUESTIONS), strict=True)
    ]
    assert found == ["film", "jokes", "critic", None]
    assert model.score(QUESTIONS, ANSWERS) == 1.0


def test_cross_validation_and_grid_search(small: dict[str, Any]) -> None:
    few = {**small, "max_steps": 2}
    assert len(cross_val_score(BertTagger(**few), SENTENCES, TAGS, cv=2)) == 2
    assert len(cross_val_score(BertAnswerer(**few, no_answer_threshold=0.0), QUESTIONS * 2, ANSWERS * 2, cv=2)) == 2
    search = GridSearchCV(BertTagger(**few), {"pieces": ["first", "mean"]}, cv=2).fit(SENTENCES, TAGS)
    assert search.best_params_["pieces"] in ("first", "mean")
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()


@pytest.mark.parametrize("estimator", [BertTagger, BertAnswerer])
def test_not_fitted(estimator: Any) -> None:
    questions = SENTENCES if estimator is BertTagger else QUESTIONS
    with pytest.raises(NotFittedError):
        estimator().predict(questions)
    with pytest.raises(NotFittedError):
        estimator().score(questions, TAGS)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([3], [["O"]], r"^X\[0\]: must be a list of words or a text, got 3"),
        ([["a"], ["b", 3]], [["O"], ["O", "O"]], r"^X\[1\]: must be a list of words or a text"),
        ([["a"]], ["O"], r"^y\[0\]: must be a list of tags, got 'O'"),
        (["a"], ["O"], r"^y\[0\]: must be a list of \(start, stop, label\), got 'O'"),
        ([["a", "b"]], [["O"]], r"^X\[0\]: "),
        (["abc"], [[(0, 9, "X")]], r"^X\[0\]:"),
    ],
)
def test_wrong_sentences(X: Any, y: Any, message: str, small: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=message):
        BertTagger(**small).fit(X, y)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (["a"], ["a"], r"^X\[0\]: must be a question and a passage, got 'a'"),
        ([("a", 3)], ["a"], r"^X\[0\]: must be a question and a passage"),
        ([("a", "b")], [3], r"^y\[0\]: must be a text, a text with its start, or None, got 3"),
        ([("a", "b")], ["c"], r"^X\[0\]: answer 1 'c' is not in the passage"),
        ([("a", "b")], [("b", 1)], r"^X\[0\]: answer 1 'b' is not at answer_start 1"),
    ],
)
def test_wrong_questions(X: Any, y: Any, message: str, small: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=message):
        BertAnswerer(**small).fit(X, y)


def test_lengths_must_agree(small: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        BertTagger(**small).fit(SENTENCES, TAGS[:-1])
    with pytest.raises(SettingsError, match="negatives must be"):
        BertAnswerer(**small, negatives="all").fit(QUESTIONS, ANSWERS)  # type: ignore[arg-type]
