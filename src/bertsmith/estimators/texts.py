"""Estimators on whole texts: `BertClassifier` and `BertRegressor`.

X is a list, an array or a Series of texts; or of pairs: a list of 2-tuples, or an array or a frame of two columns.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_consistent_length

from bertsmith.errors import DataError
from bertsmith.estimators.base import BertEstimator, items_of, plain
from bertsmith.records import Place, Row
from bertsmith.strict import checked
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.regress import Regress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bertsmith.tasks import Task


@dataclass(kw_only=True, eq=False, repr=False)
class _TextEstimator(BertEstimator):
    """What the estimators on whole texts share."""

    long_texts: Literal["head", "tail", "head+tail", "windows"] = "head"
    overlap: int = 64

    def _fit_texts(self, task: Task[Any, Any], X: Any, targets: Sequence[Any]) -> None:
        """Train on texts and on targets as `task` reads them, into ``bundle_``."""
        rows = _rows(X)
        check_consistent_length(rows, targets)
        labelled = zip(rows, targets, strict=True)
        self._fit(task, [Row({**row.values, "label": target}, row.place) for row, target in labelled])


@dataclass(kw_only=True, eq=False, repr=False)
class BertClassifier(ClassifierMixin, _TextEstimator):  # type: ignore[misc]
    """One text or a pair of texts → a class; or any number of labels each, where y is an indicator array.

    The arguments are those of ``bertsmith train classify``, with the same names and defaults (docs/settings.md), but
    for `dev_fraction`, which is 0: all rows are trained on. class_weights: "none", "balanced", or a dict from class
    (column name or number of an indicator array) to weight.

    After `fit`: ``classes_`` (np.unique of y; of an indicator array its columns' names or numbers), ``multilabel_``
    (whether y was one) and ``bundle_``.

        BertClassifier(max_steps=100, class_weights={0: 1.0, 1: 4.0}).fit(texts, [0, 1, ...]).predict(["a text"])
    """

    class_weights: Literal["none", "balanced"] | dict[Any, float] = "none"
    label_smoothing: float = 0.0
    threshold: float = 0.5
    tune_thresholds: bool = False
    metric: Literal["accuracy", "macro_f1", "mcc"] | None = None

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts and their labels: strings, whole numbers or bools; or an array ``[n, C]`` of 0 and 1.

        Raises DataError, naming the row, for what is no text or no label; SettingsError for a wrong argument;
        ValueError if X and y differ in length.
        """
        labelled = _labelled(y)
        options = self._arguments(Classify)
        if isinstance(weights := options["class_weights"], dict):
            place = Place("class_weights")
            options["class_weights"] = {_name(label, place): plain(weight) for label, weight in weights.items()}
        options.update(labels=labelled.names, multi_label=labelled.multi_label)
        self._fit_texts(checked(Classify, options), X, labelled.of_row)
        self.classes_ = labelled.classes
        self.multilabel_ = labelled.multi_label
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of every text, as in y; if y was an indicator array, one of 0 and 1, ``[n, C]``."""
        predictions = self._predictions(_rows(X))
        # a bundle's labels, and so a prediction's probabilities, are in the order of classes_
        chosen_RC = np.array([[name in answer.labels for name in answer.probabilities] for answer in predictions])
        return chosen_RC.astype(int) if self.multilabel_ else np.asarray(self.classes_[chosen_RC.argmax(1)])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probabilities ``[n, C]``, columns in the order of ``classes_``."""
        return np.array([list(answer.probabilities.values()) for answer in self._predictions(_rows(X))])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(kw_only=True, eq=False, repr=False)
class BertRegressor(RegressorMixin, _TextEstimator):  # type: ignore[misc]
    """One text or a pair of texts → a number, in y's units.

    The arguments are those of ``bertsmith train regress``, with the same names and defaults (docs/settings.md), but
    for `dev_fraction`, which is 0: all rows are trained on. After `fit`: ``bundle_``.

        BertRegressor(epochs=5).fit([("a cat", "a kitten"), ...], [4.2, ...]).predict([("a dog", "a puppy")])
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts and their numbers.

        Raises DataError, naming the row, for what is no text or no finite number; SettingsError for a wrong argument;
        ValueError if X and y differ in length.
        """
        task = checked(Regress, self._arguments(Regress))
        rows = [Row({"label": item}, Place(f"y[{row}]")) for row, item in enumerate(items_of("y", y))]
        targets = [task.read_target(row) for row in rows]
        if len(set(targets)) == 1:
            raise DataError(f"y must hold different numbers, got {targets[0]:g} in all {len(targets)} rows")
        self._fit_texts(task, X, targets)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The number of every text."""
        return np.array([answer.value for answer in self._predictions(_rows(X))])


@dataclass(frozen=True, slots=True)
class _Labelled:
    """y as the task reads it. classes: as in y; names: theirs, in that order; of_row: each row's name, or its names."""

    classes: NDArray[Any]
    names: tuple[str, ...]
    of_row: Sequence[str | list[str]]
    multi_label: bool


def _labelled(y: Any) -> _Labelled:
    items = items_of("y", y)
    return _several_labels_each(y, items) if isinstance(items[0], list | tuple) else _one_label_each(y, items)


def _several_labels_each(y: Any, items: list[Any]) -> _Labelled:
    columns = len(items[0])
    for row, item in enumerate(items):
        is_list = isinstance(item, list | tuple) and len(item) == columns >= 2
        if not is_list or not all(value in (0, 1) for value in item):
            raise DataError(
                f"must be one label, or two or more columns of 0 and 1, got {reprlib.repr(item)}",
                place=Place(f"y[{row}]"),
            )
    classes = np.asarray(list(getattr(y, "columns", range(columns))))  # a frame's columns have names
    names = _names(classes)
    of_row = [[name for name, has in zip(names, item, strict=True) if has] for item in items]
    return _Labelled(classes, names, of_row, multi_label=True)


def _one_label_each(y: Any, items: list[Any]) -> _Labelled:
    kinds: dict[str, int] = {}
    for row, item in enumerate(items):
        _name(item, Place(f"y[{row}]"))
        kinds.setdefault({bool: "bool", str: "string"}.get(type(item), "number"), row)
    if len(kinds) > 1:  # numpy would make one class of 1 and "1", and of 1 and True
        found = " and ".join(f"a {kind} (y[{row}] is {items[row]!r})" for kind, row in kinds.items())
        raise DataError(f"y must hold labels of one type, got {found}")
    classes, number_R = np.unique(np.asarray(y if hasattr(y, "__array__") else items), return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"y must hold two classes or more, got one class, {items[0]!r}, in all {len(items)} rows")
    names = _names(classes)
    return _Labelled(classes, names, [names[number] for number in number_R], multi_label=False)


def _names(classes: NDArray[Any]) -> tuple[str, ...]:
    """The names of classes in a bundle. Raises DataError if two have the same."""
    class_of: dict[str, Any] = {}
    for item in classes.tolist():
        name = _name(item, Place("y"))
        if name in class_of:
            raise DataError(f"classes of y must differ in name, got {class_of[name]!r} and {item!r}, both {name!r}")
        class_of[name] = item
    return tuple(class_of)


def _name(label: Any, place: Place) -> str:
    """The name of a label, as the command line reads it from a file. Raises DataError for what can be none."""
    return _READER.read_target(Row({"label": plain(label)}, place))[0]


_READER = Classify()


def _rows(X: Any) -> list[Row]:
    """Texts or pairs as rows without labels. Raises DataError, naming the first that is neither."""
    rows = []
    for row, item in enumerate(items_of("X", X)):
        place = Place(f"X[{row}]")
        match item:
            case str():
                rows.append(Row({"text": item}, place))
            case [str(first), str(second)]:
                rows.append(Row({"text": str(first), "text_b": str(second)}, place))
            case _:
                raise DataError(f"must be a text or a pair of texts, got {reprlib.repr(item)}", place=place)
    return rows
