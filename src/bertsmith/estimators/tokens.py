"""Estimators on tokens: `BertTagger`, a tag for every word; `BertAnswerer`, the answer to a question on a passage."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from bertsmith import evaluation
from bertsmith.errors import DataError
from bertsmith.estimators.base import BertEstimator, items_of
from bertsmith.records import Place, Row
from bertsmith.strict import checked
from bertsmith.tasks.answer import Answer
from bertsmith.tasks.tag import Tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(kw_only=True, eq=False, repr=False)
class _TokenEstimator(BertEstimator):
    """What the estimators on tokens share. score: the task's main score, higher being better."""

    overlap: int | None = None

    def _score(self, rows: Sequence[Row], predictions: Sequence[Any]) -> float:
        task = self.bundle_.task
        examples = [task.read(row) for row in rows]
        return evaluation.score(task, examples, predictions, resamples=0).scores.main_value


@dataclass(kw_only=True, eq=False, repr=False)
class BertTagger(_TokenEstimator):
    """Every word → a tag: parts of speech, or named entities.

    X is a list of sentences, each a list of words, and y their lists of tags; or X is a list of texts, and y their
    lists of entities, ``(start, stop, label)`` in characters. The arguments are those of ``bertsmith train tag``, with
    the same names and defaults (docs/settings.md), but for `dev_fraction`, which is 0: all rows are trained on. After
    `fit`: ``classes_`` (the tags) and ``bundle_``.

        BertTagger(epochs=5).fit([["Ida", "sings"]], [["B-PER", "O"]]).predict([["Ola", "sings"]])
    """

    scheme: Literal["auto", "iob1", "iob2", "bioes", "bilou", "bmes", "plain"] = "auto"
    pieces: Literal["first", "last", "mean"] = "first"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on sentences and their tags, or on texts and their entities.

        Raises DataError, naming the row, for what is neither; SettingsError for a wrong argument; ValueError if X and
        y differ in length.
        """
        self._fit(checked(Tag, self._arguments(Tag)), _tagged(X, y))
        assert isinstance(self.bundle_.task, Tag), "it was trained as one"
        self.classes_ = np.asarray(self.bundle_.task.labels)
        return self

    def predict(self, X: Any) -> list[list[str]]:
        """The tags of every sentence's words; of a text's words, as `predict_entities` splits it."""
        return [list(answer.tags) for answer in self._predictions(_sentences(X))]

    def predict_entities(self, X: Any) -> list[list[tuple[int, int, str]]]:
        """The entities of every text, ``(start, stop, label)`` in characters; words are joined by blanks."""
        answers = self._predictions(_sentences(X))
        return [[(each.start, each.stop, each.type) for each in answer.entities] for answer in answers]

    def score(self, X: Any, y: Any) -> float:
        """Strict F1 of the entities; of tags that name none, accuracy."""
        check_is_fitted(self)
        return self._score(_tagged(X, y), self._predictions(_sentences(X)))


@dataclass(kw_only=True, eq=False, repr=False)
class BertAnswerer(_TokenEstimator):
    """A question and a passage → the slice of the passage that answers it.

    X is a list of pairs, question and passage. y is a list of answers: a text that stands in the passage once; a pair
    of a text and where it starts, in characters; or None, where the passage holds no answer. The arguments are those
    of ``bertsmith train answer``, with the same names and defaults (docs/settings.md), but for `dev_fraction`, which is
    0: all rows are trained on. After `fit`: ``bundle_``.

        BertAnswerer(epochs=2).fit([("Who sings?", "Ida sings.")], ["Ida"]).predict([("Who?", "Ola sings.")])
    """

    max_answer_tokens: int = 30
    n_best: int = 3
    negatives: Literal["keep", "drop", "sample"] = "keep"
    unanswerable: Literal["auto", "yes", "no"] = "auto"
    no_answer_threshold: float | None = None
    metric: Literal["f1", "exact_match"] = "f1"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on questions and their answers.

        Raises DataError, naming the row, for what is none, or for an answer that is not in its passage; SettingsError
        for a wrong argument; ValueError if X and y differ in length.
        """
        self._fit(checked(Answer, self._arguments(Answer)), _answered(X, y))
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The answer to every question, an exact slice of its passage; empty for none."""
        return np.array([answer.text for answer in self._predictions(_questions(X))], dtype=object)

    def predict_spans(self, X: Any) -> list[tuple[int, int] | None]:
        """Where every answer begins in its passage and the first character after it; None for none."""
        answers = self._predictions(_questions(X))
        return [None if each.start is None or each.stop is None else (each.start, each.stop) for each in answers]

    def score(self, X: Any, y: Any) -> float:
        """SQuAD's F1, or exact match, as `metric` says."""
        check_is_fitted(self)
        return self._score(_answered(X, y), self._predictions(_questions(X)))


def _sentences(X: Any) -> list[Row]:
    """Sentences or texts as rows without tags. Raises DataError, naming the first that is neither."""
    rows = []
    for row, item in enumerate(items_of("X", X)):
        place = Place(f"X[{row}]")
        if isinstance(item, str):
            rows.append(Row({"text": item}, place))
        elif isinstance(item, list | tuple) and all(isinstance(word, str) for word in item):
            rows.append(Row({"words": list(item)}, place))
        else:
            raise DataError(f"must be a list of words or a text, got {reprlib.repr(item)}", place=place)
    return rows


def _paired(rows: Sequence[Row], y: Any) -> Iterator[tuple[Row, Any, Place]]:
    """Rows with their targets, and the places of these. Raises ValueError if there are not as many."""
    targets = items_of("y", y)
    check_consistent_length(rows, targets)
    places = (Place(f"y[{number}]") for number in range(len(rows)))
    return zip(rows, targets, places, strict=True)


def _tagged(X: Any, y: Any) -> list[Row]:
    tagged = []
    for row, target, place in _paired(_sentences(X), y):
        if not isinstance(target, list | tuple):
            wanted = "a list of tags" if "words" in row.values else "a list of (start, stop, label)"
            raise DataError(f"must be {wanted}, got {reprlib.repr(target)}", place=place)
        name = "tags" if "words" in row.values else "spans"
        tagged.append(Row({**row.values, name: list(target)}, row.place))
    return tagged


def _questions(X: Any) -> list[Row]:
    rows = []
    for row, item in enumerate(items_of("X", X)):
        match item:
            case [str(question), str(passage)]:
                rows.append(Row({"question": question, "passage": passage}, Place(f"X[{row}]")))
            case _:
                message = f"must be a question and a passage, got {reprlib.repr(item)}"
                raise DataError(message, place=Place(f"X[{row}]"))
    return rows


def _answered(X: Any, y: Any) -> list[Row]:
    answered = []
    for row, target, place in _paired(_questions(X), y):
        match target:
            case None:
                answers: list[Any] = []
            case str():
                answers = [target]
            case [str(text), int(start)]:
                answers = [{"text": text, "answer_start": start}]
            case _:
                message = f"must be a text, a text with its start, or None, got {reprlib.repr(target)}"
                raise DataError(message, place=place)
        answered.append(Row({**row.values, "answers": answers}, row.place))
    return answered
