"""Scores from confusion matrices, and the bootstrap: what scikit-learn and scipy do not do for many resamples.

Letters: C classes. A matrix counts rows of true class i that were predicted as class j at ``[i, j]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bertsmith.records import Score

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The ``[C, C]`` confusion matrix of two lists of class numbers."""
    counted: NDArray[np.float64] = np.bincount(truth * classes + predicted, minlength=classes**2).astype(np.float64)
    matrix_CC: NDArray[np.float64] = counted.reshape(classes, classes)
    return matrix_CC


def accuracy(matrix_CC: NDArray[np.float64]) -> float:
    """The share of rows on the diagonal."""
    return float(np.trace(matrix_CC) / matrix_CC.sum())


def f1_by_class(matrix_CC: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of every class, ``[C]``; 0 for a class that is neither true nor predicted anywhere (as in scikit-learn)."""
    wanted_and_given_C = matrix_CC.sum(0) + matrix_CC.sum(1)
    f1_C: NDArray[np.float64] = np.divide(
        2 * np.diagonal(matrix_CC),
        wanted_and_given_C,
        out=np.zeros(len(matrix_CC)),
        where=wanted_and_given_C > 0,
    )
    return f1_C


def macro_f1(matrix_CC: NDArray[np.float64]) -> float:
    """The mean F1 of the classes that are true or predicted somewhere."""
    present_C = (matrix_CC.sum(0) + matrix_CC.sum(1)) > 0
    return float(f1_by_class(matrix_CC)[present_C].mean())


@dataclass(frozen=True, slots=True)
class Found:
    """How well things were found: precision, recall, and F1, their harmonic mean."""

    precision: float | None
    recall: float | None
    f1: float | None

    @classmethod
    def of(cls, right: float, given: float, wanted: float) -> Found:
        """From counts: how many were right of those given, and how many were wanted.

        Where some were wanted or given, but none right, all three are 0, as conlleval has it; where there were
        neither, nothing is defined.
        """
        if not given and not wanted:
            return cls(None, None, None)
        return cls(
            precision=right / given if given else 0.0,
            recall=right / wanted if wanted else 0.0,
            f1=2 * right / (given + wanted),
        )


def matthews(matrix_CC: NDArray[np.float64]) -> float:
    """Matthews' correlation, for two classes or more (Gorodkin 2004); 0 where one side holds a single class."""
    true_C, given_C, rows = matrix_CC.sum(1), matrix_CC.sum(0), matrix_CC.sum()
    covariance = np.trace(matrix_CC) * rows - true_C @ given_C
    spread = (rows**2 - true_C @ true_C) * (rows**2 - given_C @ given_C)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def pearson(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float | None:
    """The linear correlation; None where one side is constant."""
    truth_1, predicted_1 = _standardised(truth), _standardised(predicted)
    if truth_1 is None or predicted_1 is None:
        return None
    return float(np.clip(truth_1 @ predicted_1, -1, 1))


def spearman(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float | None:
    """The correlation of the ranks, ties sharing their mean rank; None where one side is constant."""
    from scipy.stats import rankdata

    return pearson(rankdata(truth), rankdata(predicted))


def _standardised(numbers: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The numbers with mean 0 and length 1; None if they are equal, but for the rounding of their mean."""
    off = numbers - numbers.mean()
    length = np.linalg.norm(off)
    return off / length if length > 1e-13 * np.linalg.norm(numbers) else None


def bootstrap(
    scorer: Callable[[NDArray[np.int64]], Mapping[str, float | None]],
    rows: int,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Score]:
    """Scores of all rows with 95 % percentile intervals over rows drawn with replacement (Efron 1979).

    resamples: how often the rows are drawn; 0 leaves the intervals out.
    """
    whole = scorer(np.arange(rows))
    generator = np.random.default_rng(seed)
    drawn = [scorer(generator.integers(0, rows, rows)) for _ in range(resamples)]
    scores = {}
    for name, value in whole.items():
        values = [sample for draw in drawn if (sample := draw[name]) is not None]
        low, high = np.percentile(values, [2.5, 97.5]) if values and value is not None else (None, None)
        scores[name] = Score(value, None if low is None else float(low), None if high is None else float(high))
    return scores
