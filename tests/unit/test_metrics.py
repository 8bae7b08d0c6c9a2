"""Scores against scikit-learn and scipy, and what the bootstrap promises."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CLASSES = 4
# true and predicted class of every row; few rows, so that classes are often absent on one side or both
SIDES = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=30)
# whole numbers among few, so that there are ties
TIED = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=30)
NUMBERS = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=30)


def sides(pairs: list[tuple[Any, Any]], kind: type) -> tuple[NDArray[Any], NDArray[Any]]:
    truth, predicted = np.array(pairs, dtype=kind).T
    return truth, predicted


@given(SIDES)
@settings(max_examples=40)
def test_scores_of_a_confusion_matrix_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = sides(pairs, np.int64)
    matrix = metrics.confusion(truth, predicted, CLASSES)
    labels = list(range(CLASSES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of absent classes
        f1_by_class = sklearn.metrics.f1_score(truth, predicted, labels=labels, average=None, zero_division=0)
        macro_f1 = sklearn.metrics.f1_score(truth, predicted, average="macro", zero_division=0)
        matthews = sklearn.metrics.matthews_corrcoef(truth, predicted)

    np.testing.assert_array_equal(matrix, sklearn.metrics.confusion_matrix(truth, predicted, labels=labels))
    assert metrics.accuracy(matrix) == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted))
    np.testing.assert_allclose(metrics.f1_by_class(matrix), f1_by_class)
    assert metrics.macro_f1(matrix) == pytest.approx(macro_f1)
    assert metrics.matthews(matrix) == pytest.approx(matthews, abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_matthews_of_two_classes(pairs: list[tuple[bool, bool]]) -> None:
    truth, predicted = sides(pairs, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where all are of one class
        expected = sklearn.metrics.matthews_corrcoef(truth, predicted)
    assert metrics.matthews(metrics.confusion(truth, predicted, 2)) == pytest.approx(expected, abs=1e-12)


@given(PAIRS)
def test_pearson_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    truth, predicted = sides(pairs, np.float64)
    found = metrics.pearson(truth, predicted)
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        assert found is None
    else:
        assert found == pytest.approx(scipy.stats.pearsonr(truth, predicted).statistic, abs=1e-6)
        assert found is not None
        assert -1 <= found <= 1


@given(TIED)
def test_spearman_is_that_of_scipy_ties_and_all(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = sides(pairs, np.float64)
    found = metrics.spearman(truth, predicted)
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        assert found is None
    else:
        assert found == pytest.approx(scipy.stats.spearmanr(truth, predicted).statistic, abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, 1e9 + 0.1, -1e-9])
def test_a_constant_side_has_no_correlation(constant: float) -> None:
    varied = np.array([0.3, 2.0, 1.0, 5.5, 4.0, 0.7])
    assert metrics.pearson(varied, np.full(6, constant)) is None
    assert metrics.pearson(np.full(6, constant), varied) is None
    assert metrics.spearman(varied, np.full(6, constant)) is None


def test_pearson_of_numbers_far_from_zero() -> None:
    # seconds since 1970: their spread is small beside their size, and yet known well
    seconds = 1.7e9 + np.array([0.0, 60.0, 500.0, 900.0, 1000.0])
    expected = scipy.stats.pearsonr(seconds, seconds[::-1] + 100.0).statistic
    assert metrics.pearson(seconds, seconds[::-1] + 100.0) == pytest.approx(expected, abs=1e-9)


def right_share(right: NDArray[np.bool_]) -> Any:
    def scorer(rows: NDArray[np.int64]) -> Mapping[str, float | None]:
        return {"accuracy": float(right[rows].mean())}

    return scorer


@given(st.lists(st.booleans(), min_size=1, max_size=60))
@settings(max_examples=30)
def test_the_interval_holds_the_score(right: list[bool]) -> None:
    score = metrics.bootstrap(right_share(np.array(right)), len(right), resamples=200)["accuracy"]
    assert score.value == np.mean(right)
    assert score.value is not None
    assert score.low is not None
    assert score.high is not None
    assert 0 <= score.low <= score.value <= score.high <= 1


def test_the_same_interval_every_time() -> None:
    right = np.arange(50) % 3 > 0
    first = metrics.bootstrap(right_share(right), 50)
    np.random.seed(1)  # the global state must not matter
    assert metrics.bootstrap(right_share(right), 50) == first
    assert metrics.bootstrap(right_share(right), 50, seed=1) != first


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_the_interval_is_about_as_wide_as_the_analytic_one(share: float) -> None:
    rows = 1000
    right = np.arange(rows) < share * rows
    score = metrics.bootstrap(right_share(right), rows, resamples=2000)["accuracy"]
    low, high = scipy.stats.binom.ppf([0.025, 0.975], rows, share) / rows
    assert score.low == pytest.approx(low, abs=0.004)
    assert score.high == pytest.approx(high, abs=0.004)


def test_no_resamples_no_interval() -> None:
    score = metrics.bootstrap(right_share(np.array([True, False])), 2, resamples=0)["accuracy"]
    assert (score.value, score.low, score.high) == (0.5, None, None)


def test_resamples_without_a_score_are_left_out_of_the_interval() -> None:
    truth = np.array([1.0, 2.0, 3.0])

    def scorer(rows: NDArray[np.int64]) -> Mapping[str, float | None]:
        return {"pearson": metrics.pearson(truth[rows], truth[rows])}

    score = metrics.bootstrap(scorer, 3)["pearson"]  # a ninth of the draws are three times one row
    assert score.value == pytest.approx(1)
    assert [score.low, score.high] == pytest.approx([1, 1])


def test_an_undefined_score_has_no_interval() -> None:
    score = metrics.bootstrap(lambda rows: {"pearson": None}, 5)["pearson"]
    assert (score.value, score.low, score.high) == (None, None, None)


def test_precision_recall_and_f1_are_those_that_conlleval_publishes() -> None:
    """459 phrases, 539 found, 371 of them right: the example of its page."""
    found = metrics.Found.of(371, 539, 459)
    shares = (found.precision, found.recall, found.f1)
    assert [round(100 * share, 2) for share in shares if share is not None] == [68.83, 80.83, 74.35]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0, 0, 6), (0.0, 0.0, 0.0)),
        ((0, 3, 0), (0.0, 0.0, 0.0)),
        ((0, 0, 0), (None, None, None)),
        ((2, 2, 2), (1, 1, 1)),
    ],
)
def test_where_nothing_is_found_or_wanted(counts: tuple[int, int, int], expected: tuple[float | None, ...]) -> None:
    found = metrics.Found.of(*counts)
    assert (found.precision, found.recall, found.f1) == expected
