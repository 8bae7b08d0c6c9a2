"""Scores of a model on examples: with intervals, beside what one would score without a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bertsmith.errors import DataError
from bertsmith.metrics import bootstrap
from bertsmith.records import Scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bertsmith.tasks import Task


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found.

    details: scores of every part, and `part` says what that is (label, question type). warnings: what looks wrong.
    rows_cut, tokens_cut: how many rows exceed the limit, and how many of their tokens were left out.
    """

    scores: Scores
    details: Mapping[str, Mapping[str, float]]
    examples: Sequence[Any]
    predictions: Sequence[Any]
    warnings: tuple[str, ...] = ()
    part: str = "label"
    rows_cut: int = 0
    tokens_cut: int = 0

    def record(self) -> dict[str, Any]:
        """As one JSON object: ``{"scores": {"accuracy": {"value", "low", "high"}}, "baseline", "rows", …}``."""
        return {
            "main": self.scores.main,
            "scores": {name: asdict(score) for name, score in self.scores.values.items()},
            "baseline": {name: asdict(score) for name, score in self.scores.baseline.items()},
            "rows": self.scores.rows,
            "details": {name: dict(values) for name, values in self.details.items()},
            "cut": {"rows": self.rows_cut, "tokens": self.tokens_cut},
            "warnings": list(self.warnings),
        }


def score(
    task: Task[Any, Any], examples: Sequence[Any], predictions: Sequence[Any], *, resamples: int = 1000
) -> Evaluation:
    """The scores of these predictions, with 95 % bootstrap intervals from so many resamples.

    Raises DataError if there are no rows, or one lacks its target.
    """
    if not examples:
        raise DataError("there are no rows to score")
    for example in examples:
        if example.target is None:
            raise DataError("this row has no label, and scoring needs one", place=example.place)
    task.check(examples)
    without_model = task.baseline(examples)
    baseline = (
        {} if without_model is None else bootstrap(task.scorer(examples, without_model), len(examples), resamples=0)
    )
    scores = Scores(
        main=task.main_score(),
        values=bootstrap(task.scorer(examples, predictions), len(examples), resamples=resamples),
        baseline=baseline,
        rows=len(examples),
    )
    return Evaluation(
        scores=scores,
        details=task.details(examples, predictions),
        examples=examples,
        predictions=predictions,
        warnings=tuple(_warnings(task, scores, examples, predictions)),
        part=task.part,
    )


def _warnings(task: Task[Any, Any], scores: Scores, examples: Sequence[Any], predictions: Sequence[Any]) -> list[str]:
    warnings = []
    collapsed = task.collapsed(examples, predictions)
    if collapsed:
        warnings.append(collapsed)
    high, baseline = scores.values[scores.main].high, scores.baseline.get(scores.main)
    # a correlation has no baseline: the same answer for all gives none, so chance is 0
    chance = 0.0 if baseline is None or baseline.value is None else baseline.value
    if not collapsed and high is not None and high < chance:
        warnings.append(
            f"{scores.main} is below that of always giving the same answer ({chance:.3f}): {task.below_baseline}"
        )
    return warnings
