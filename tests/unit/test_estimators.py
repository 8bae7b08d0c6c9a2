"""The scikit-learn estimators: their contract, labels and types both ways, errors, and one path for training."""

from __future__ import annotations

import inspect
import pickle
from typing import TYPE_CHECKING, Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks, get_tags

import bertsmith
from bertsmith import BertClassifier, BertRegressor, Classify, InputError, Regress, Settings
from bertsmith.errors import BundleError, DataError, SettingsError
from bertsmith.families import families
from bertsmith.records import Place, Row
from bertsmith.training import fit_examples
from tiny import PAIRS, TEXTS, Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

ESTIMATORS = [BertClassifier, BertRegressor]
EIGHT = [*TEXTS, "A fine plot.", "A dull film."]
LABELS = ["pos", "neg", "neg", "pos", "pos", "neg", "pos", "neg"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So small a model is computed fastest on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small(tiny_checkpoint: Callable[[Case], Path]) -> dict[str, Any]:
    """Arguments for a run of two steps with a tiny encoder; a rate high enough for answers to differ."""
    encoder = tiny_checkpoint(Case(families()["bert"]))
    return {"encoder": encoder, "max_steps": 2, "batch_size": 4, "learning_rate": 1e-2, "device": "cpu"}


class Frame:
    """As much of a pandas frame as the estimators may rely on: an array in disguise, and the columns' names."""

    def __init__(self, **columns: list[Any]) -> None:
        self.columns = list(columns)
        self._values = np.array(list(columns.values()), dtype=object).T

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self._values


def labels_of(model: BertClassifier) -> tuple[str, ...]:
    """The names of the classes in the bundle."""
    assert isinstance(model.bundle_.task, Classify)
    return model.bundle_.task.labels


# Arguments


@pytest.mark.parametrize(("estimator", "task"), [(BertClassifier, Classify), (BertRegressor, Regress)])
def test_arguments_are_the_settings_and_the_options(estimator: Any, task: Any) -> None:
    # files, and what is written beside a run; threads are the caller's process's
    of_files = {"train", "dev", "out", "overwrite", "columns", "format", "header", "delimiter", "quoting", "encoding",
                "threads", "save_every", "tensorboard", "adapt", "adapt_epochs"}  # fmt: skip
    of_y = {"labels", "multi_label", "separator"}
    fields = {**Settings.model_fields, **task.options()}
    wanted = {name: field.default for name, field in fields.items() if name not in of_files | of_y}
    parameters = inspect.signature(estimator).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {**wanted, "dev_fraction": 0.0}
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable", "check_estimator_tags_renamed", "check_valid_tag_types", "check_estimator_repr",
        "check_no_attributes_set_in_init", "check_mixin_order", "check_do_not_raise_errors_in_init_or_set_params",
        "check_parameters_default_constructible", "check_get_params_invariance", "check_set_params",
    ],
)  # fmt: skip
def test_scikit_learns_own_checks(check: str, estimator: Any) -> None:
    # the others train on columns of numbers
    getattr(estimator_checks, check)(estimator.__name__, estimator())


def test_tags() -> None:
    classifier, regressor = get_tags(BertClassifier()), get_tags(BertRegressor())
    assert is_classifier(BertClassifier())
    assert is_regressor(BertRegressor())
    for tags in (classifier, regressor):
        assert tags.input_tags.string
        assert not tags.input_tags.sparse
        assert tags.target_tags.required
    assert classifier.classifier_tags.multi_label


def test_clone_copies_the_arguments_alone(small: dict[str, Any]) -> None:
    model = BertClassifier(**small, class_weights={"pos": 2.0}).fit(EIGHT, LABELS)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "bundle_")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs must be greater than 0, got 0"),
        ({"long_texts": "middle"}, "long_texts must be 'head', 'tail', 'head\\+tail' or 'windows', got 'middle'"),
        ({"class_weights": {"meh": 2.0}}, "class_weights: 'meh' is not one of 'neg', 'pos'"),
    ],
)
def test_wrong_arguments_are_told_in_fit(small: dict[str, Any], wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        BertClassifier(**{**small, **wrong}).fit(EIGHT, LABELS)


def test_arguments_may_be_numpys(small: dict[str, Any]) -> None:
    grid = {"max_steps": np.int64(1), "learning_rate": np.float64(1e-2), "seed": np.arange(3)[2]}
    given = {name: value.item() for name, value in grid.items()}
    assert_array_equal(
        BertClassifier(**{**small, **grid}).fit(EIGHT, LABELS).predict_proba(EIGHT),
        BertClassifier(**{**small, **given}).fit(EIGHT, LABELS).predict_proba(EIGHT),
    )


# One path for training and prediction


def test_trains_as_the_library_does(small: dict[str, Any], tmp_path: Path) -> None:
    model = BertClassifier(**small).fit(EIGHT, LABELS)
    task = Classify()
    examples = [
        task.read(Row({"text": text, "label": label}, Place("here", line)))
        for line, (text, label) in enumerate(zip(EIGHT, LABELS, strict=True), start=1)
    ]
    settings = Settings(**{**small, "encoder": str(small["encoder"]), "dev_fraction": 0.0})
    bundle, _, _ = fit_examples(task, examples, None, settings)
    bundle.save(tmp_path / "library")
    model.save(tmp_path / "estimator")
    answers = [bertsmith.load(tmp_path / name).predict(EIGHT) for name in ("library", "estimator")]
    assert answers[0] == answers[1]
    assert [answer.label for answer in answers[0]] == model.predict(EIGHT).tolist()
    probabilities = [[answer.probabilities[label] for label in model.classes_] for answer in answers[0]]
    assert_allclose(probabilities, model.predict_proba(EIGHT), rtol=1e-6)
    with pytest.raises(BundleError, match="is there already"):
        model.save(tmp_path / "estimator")


def test_dev_fraction_holds_rows_out(small: dict[str, Any]) -> None:
    texts, y = ["a fine film", "the jokes are old"] * 8, [1, 0] * 8
    model = BertClassifier(**{**small, "max_steps": 15, "learning_rate": 3e-3}, dev_fraction=0.25).fit(texts, y)
    assert model.bundle_.training["dev"]["rows"] == 4
    assert BertClassifier(**small).fit(texts, y).bundle_.training["dev"] is None


@pytest.mark.parametrize("store", ["pickle", "joblib"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_answers_alike_after_pickling(estimator: Any, store: str, small: dict[str, Any], tmp_path: Path) -> None:
    y = LABELS if estimator is BertClassifier else range(8)
    model = estimator(**small).fit(EIGHT, list(y))
    if store == "pickle":
        again = pickle.loads(pickle.dumps(model))
    else:
        joblib.dump(model, tmp_path / "model")
        again = joblib.load(tmp_path / "model")
    assert_array_equal(again.predict(EIGHT), model.predict(EIGHT))
    assert again.get_params() == model.get_params()
    again.fit(EIGHT, list(y))
    assert_array_equal(again.predict(EIGHT), model.predict(EIGHT))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_not_fitted(estimator: Any, tmp_path: Path) -> None:
    for ask in (estimator().predict, estimator().save, getattr(estimator(), "predict_proba", estimator().predict)):
        with pytest.raises(NotFittedError):
            ask(tmp_path / "out" if ask.__name__ == "save" else ["a text"])


def test_a_fit_that_fails_changes_nothing(small: dict[str, Any]) -> None:
    model = BertClassifier(**small).fit(EIGHT, LABELS)
    before = model.predict(EIGHT)
    with pytest.raises(DataError):
        model.fit([*EIGHT[:7], None], range(8))
    assert_array_equal(model.predict(EIGHT), before)


# Inside scikit-learn


def test_cross_validation(small: dict[str, Any]) -> None:
    scores = cross_val_score(BertClassifier(**small), EIGHT * 2, LABELS * 2, cv=2, error_score="raise")
    assert scores.shape == (2,)
    assert ((scores >= 0) & (scores <= 1)).all()
    scores = cross_val_score(BertRegressor(**small), PAIRS * 2, np.arange(8.0), cv=2, error_score="raise")
    assert np.isfinite(scores).all()
    proba = cross_val_predict(
        BertClassifier(**small), np.array(EIGHT * 2), np.array(LABELS * 2), cv=2, method="predict_proba"
    )
    assert_allclose(proba.sum(1), 1)


def test_grid_search(small: dict[str, Any]) -> None:
    search = GridSearchCV(
        BertClassifier(**{**small, "max_steps": 1}),
        {"learning_rate": [1e-3, 1e-2], "freeze": ["encoder"]},
        cv=2,
        scoring="roc_auc",
        error_score="raise",
    )
    search.fit(EIGHT, LABELS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(EIGHT).shape == (8,)
    assert list(search.classes_) == ["neg", "pos"]


def test_pipeline(small: dict[str, Any]) -> None:
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    pipeline = Pipeline([("lower", lower), ("bert", BertClassifier(**small))])
    pipeline.set_params(bert__seed=3).fit(EIGHT, LABELS)
    assert pipeline.named_steps["bert"].bundle_.training["settings"]["seed"] == 3
    assert_array_equal(pipeline.predict(EIGHT), pipeline.predict([text.upper() for text in EIGHT]))
    assert pipeline.score(EIGHT, LABELS) == np.mean(pipeline.predict(EIGHT) == np.array(LABELS))


# X


@pytest.mark.parametrize(
    "give",
    [
        list,
        tuple,
        np.array,
        lambda pairs: np.array(pairs, dtype=object),
        lambda pairs: Frame(a=[a for a, _ in pairs], b=[b for _, b in pairs]),
        lambda pairs: [[np.str_(a), b] for a, b in pairs],
    ],
    ids=["list", "tuple", "array", "object array", "frame", "lists"],
)
def test_kinds_of_pairs(give: Callable[[Any], Any], small: dict[str, Any]) -> None:
    model = BertRegressor(**small).fit(give(PAIRS), [1.0, 2.0, 3.0, 4.0])
    expected = [answer.value for answer in bertsmith.Predictor(model.bundle_).predict(list(PAIRS))]
    assert_array_equal(model.predict(give(PAIRS)), expected)
    assert len({*expected}) > 1


@pytest.mark.parametrize("give", [tuple, np.array, lambda texts: np.array(texts, dtype=object)])
def test_kinds_of_texts(give: Callable[[Any], Any], small: dict[str, Any]) -> None:
    model = BertClassifier(**small).fit(EIGHT, LABELS)
    assert_array_equal(model.predict_proba(give(EIGHT)), model.predict_proba(EIGHT))
    assert_array_equal(BertClassifier(**small).fit(give(EIGHT), LABELS).predict(EIGHT), model.predict(EIGHT))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (["a", None], r"^X\[1\]: must be a text or a pair of texts, got None$"),
        (["a", float("nan")], r"^X\[1\]: .*, got nan$"),
        (np.array(["a", np.nan], dtype=object), r"^X\[1\]: .*, got nan$"),
        (np.zeros(2), r"^X\[0\]: .*, got 0\.0$"),
        (np.zeros((2, 2)), r"^X\[0\]: .*, got \[0\.0, 0\.0\]$"),
        (np.array([["a"], ["b"]]), r"^X\[0\]: .*, got \['a'\]$"),
        ([("a", "b"), ("a", "b", "c")], r"^X\[1\]: .*, got \('a', 'b', 'c'\)$"),
        ([("a", None), ("a", "b")], r"^X\[0\]: .*, got \['a', None\]$"),
        ([b"a", b"b"], r"^X\[0\]: .*, got b'a'$"),
        (["a", ("a", "b")], r"^X\[1\]: found a pair of texts, wanted a single text"),
        ("a text", "^X must be a list, an array, a Series or a frame, got 'a text'$"),
        ({"text": ["a"]}, "^X must be a list"),
        (None, "^X must be a list, .*, got None$"),
        ([], "^X must hold one row or more, got none$"),
        (np.array([], dtype=str), "^X must hold one row or more, got none$"),
    ],
)
def test_wrong_texts(X: Any, message: str, small: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=message):
        BertClassifier(**small).fit(X, ["a", "b"])
    with pytest.raises(InputError, match=message):
        BertRegressor(**small).fit(X, [1.0, 2.0])


def test_wrong_texts_in_prediction(small: dict[str, Any]) -> None:
    model = BertClassifier(**small).fit(EIGHT, LABELS)
    with pytest.raises(DataError, match=r"^X\[8\]: must be a text or a pair of texts, got None$"):
        model.predict([*EIGHT, None])
    with pytest.raises(DataError, match=r"^X\[0\]: found a pair of texts, wanted a single text like those of training"):
        model.predict_proba(PAIRS)
    with pytest.raises(DataError, match=r"^X must hold one row or more, got none$"):
        model.predict([])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_lengths_must_agree(estimator: Any, small: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[8, 7\]"):
        estimator(**small).fit(EIGHT, [1, 0, 1, 0, 1, 0, 1])


def test_a_cut_text_is_told(small: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match=r"^train: 8 rows, .*; \d rows are longer: \d+ tokens .* are cut off$"):
        model = BertClassifier(**small, max_length=8).fit(EIGHT, LABELS)
    with pytest.warns(UserWarning, match=r"^1 of 2 rows are longer than 8 tokens and were not read whole$"):
        model.predict(["No.", EIGHT[0]])
    BertClassifier(**small, max_length=16, overlap=4, long_texts="windows").fit(EIGHT, LABELS).predict(EIGHT)


# Classes


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (["b", "a", "c", "b", "a", "c", "a", "b"], ("a", "b", "c")),
        ([10, 9, 10, 9, 2, 2, 9, 10], ("2", "9", "10")),
        ([np.int64(1), np.int64(0)] * 4, ("0", "1")),
        ([True, False] * 4, ("false", "true")),
        (np.array(["10", "9"] * 4), ("10", "9")),
        (np.array(["a", "b"] * 4, dtype=object), ("a", "b")),
        (np.array([1, 0] * 4, dtype=np.int8), ("0", "1")),
        (np.array([1.0, 0.0] * 4), ("0", "1")),
        (np.array([True, False] * 4), ("false", "true")),
    ],
)
def test_labels_come_back_as_they_were(y: Any, names: tuple[str, ...], small: dict[str, Any]) -> None:
    model = BertClassifier(**{**small, "max_steps": 1}).fit(EIGHT, y)
    assert_array_equal(model.classes_, np.unique(y))
    assert labels_of(model) == names
    predicted, proba = model.predict(EIGHT), model.predict_proba(EIGHT)
    assert predicted.dtype == model.classes_.dtype == np.asarray(y).dtype
    assert_array_equal(predicted, model.classes_[proba.argmax(1)])
    assert_allclose(proba.sum(1), 1)
    assert model.score(EIGHT, y) == np.mean(predicted == np.asarray(y))


def test_learns_the_right_way_round(small: dict[str, Any]) -> None:
    texts, y = ["a fine film"] * 4 + ["the jokes are old"] * 4, np.array([10, 10, 10, 10, 9, 9, 9, 9])
    model = BertClassifier(**{**small, "max_steps": 15, "batch_size": 8, "learning_rate": 3e-3}).fit(texts, y)
    assert_array_equal(model.predict(texts), y)
    assert model.score(texts, y) == 1


def test_class_weights_are_by_class(small: dict[str, Any]) -> None:
    y = [1, 0] * 4
    weights: Any = {np.int64(1): np.int64(9)}
    by_class = BertClassifier(**small, class_weights=weights).fit(EIGHT, y)
    plain = BertClassifier(**small).fit(EIGHT, y)
    assert by_class.predict_proba(EIGHT)[:, 1].mean() > plain.predict_proba(EIGHT)[:, 1].mean()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, "1"] * 4, r"^y must hold labels of one type, got a number \(y\[0\] is 1\) and a string \(y\[1\] is '1'\)"),
        ([1, True] * 4, r"got a number \(y\[0\] is 1\) and a bool \(y\[1\] is True\)$"),
        (np.array(["0", 0] * 4, dtype=object), "^y must hold labels of one type"),
        (["a", "a "] * 4, "^classes of y must differ in name, got 'a' and 'a ', both 'a'$"),
        (["a", None] * 4, r"^y\[1\]: the label must be .*, got None$"),
        ([1.0, float("nan")] * 4, r"^y\[1\]: the label must be .*, got nan$"),
        ([0.0, 0.5] * 4, r"^y\[1\]: the label must be a name or a whole number, got 0\.5$"),
        (["a", ""] * 4, r"^y\[1\]: the label is empty$"),
        (["a"] * 8, "^y must hold two classes or more, got one class, 'a', in all 8 rows$"),
        ([], "^y must hold one row or more, got none$"),
        (None, "^y must be a list, an array, a Series or a frame, got None$"),
        (np.ones((8, 1)), r"^y\[0\]: must be one label, or two or more columns of 0 and 1, got \[1\.0\]$"),
        ([[0, 1]] * 7 + [[0, 2]], r"^y\[7\]: .*, got \[0, 2\]$"),
        ([["a"], ["a", "b"]] * 4, r"^y\[0\]: .*, got \['a'\]$"),
        ([[0, 1]] * 7 + [1], r"^y\[7\]: .*, got 1$"),
    ],
)
def test_wrong_labels(y: Any, message: str, small: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=message):
        BertClassifier(**small).fit(EIGHT, y)


# Several labels each


@pytest.mark.parametrize("dtype", [int, bool, float])
def test_an_indicator_array_asks_for_several_labels(dtype: Any, small: dict[str, Any]) -> None:
    y = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1], [1, 1, 1]] * 2, dtype=dtype)
    model = BertClassifier(**small).fit(EIGHT, y)
    predicted, proba = model.predict(EIGHT), model.predict_proba(EIGHT)
    assert_array_equal(model.classes_, [0, 1, 2])
    assert model.multilabel_
    assert predicted.shape == proba.shape == (8, 3)
    assert_array_equal(predicted, proba >= 0.5)
    assert model.score(EIGHT, y) == np.mean((predicted == y).all(1))
    assert_array_equal(BertClassifier(**small, threshold=0.999).fit(EIGHT, y).predict(EIGHT), np.zeros((8, 3)))


def test_a_frames_columns_name_the_labels(small: dict[str, Any]) -> None:
    y = Frame(dull=[0, 1] * 4, long=[1, 1, 0, 0] * 2)
    model = BertClassifier(**small, class_weights={"long": 2.0}).fit(EIGHT, y)
    assert model.classes_.tolist() == ["dull", "long"]
    assert labels_of(model) == ("dull", "long")
    (answer,) = bertsmith.Predictor(model.bundle_).predict(["No."])
    assert set(answer.labels) <= {"dull", "long"}


# Numbers


def test_numbers_are_in_ys_units(small: dict[str, Any]) -> None:
    y = np.array([1000, 1010, 1020, 1030, 1000, 1010, 1020, 1030], dtype=np.float32)
    model = BertRegressor(**{**small, "learning_rate": 1e-4}).fit(EIGHT, y)
    predicted = model.predict(EIGHT)
    assert predicted.dtype == np.float64
    assert np.abs(predicted - 1015).max() < 60
    truth = y.astype(float)
    assert model.score(EIGHT, truth) == pytest.approx(
        1 - np.square(truth - predicted).sum() / np.square(truth - truth.mean()).sum()
    )


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0, None] * 4, r"^y\[1\]: label None is not a finite number"),
        ([1.0, float("inf")] * 4, r"^y\[1\]: label inf is not a finite number"),
        (["one", "two"] * 4, r"^y\[0\]: label 'one' is not a finite number"),
        (np.ones((8, 2)), r"^y\[0\]: label \[1\.0, 1\.0\] is not a finite number"),
        ([3, 3.0] * 4, "^y must hold different numbers, got 3 in all 8 rows$"),
    ],
)
def test_wrong_numbers(y: Any, message: str, small: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=message):
        BertRegressor(**small).fit(EIGHT, y)


@pytest.mark.slow
def test_with_the_packaged_encoder() -> None:
    texts = [f"a {word} film" for word in ("fine", "lovely", "superb", "great", "dull", "bad", "awful", "boring")] * 2
    y = (["pos"] * 4 + ["neg"] * 4) * 2
    model = BertClassifier(max_steps=6, batch_size=16, learning_rate=1e-3).fit(texts, y)
    assert model.score(texts, y) == 1
    assert model.predict(["an excellent film", "a terrible film"]).tolist() == ["pos", "neg"]
