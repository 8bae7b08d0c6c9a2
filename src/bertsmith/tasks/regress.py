"""`regress`: one text, or a pair of texts, to a number (STS-B's similarity of 0 to 5; Devlin et al. 2019, §4.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bertsmith import metrics
from bertsmith.errors import DataError
from bertsmith.records import Finding, Input
from bertsmith.tasks import Loss, label_names, learned
from bertsmith.tasks._texts import TEXT, TEXT_B, TextExample, TextTask, pooled_logits, pooled_output, was_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from bertsmith.batching import Batch
    from bertsmith.families import HeadForm
    from bertsmith.nn.encoder import EncoderConfig
    from bertsmith.nn.heads import Head, SequenceHead
    from bertsmith.records import Encoded, Row
    from bertsmith.tasks import Output, Scorer


@dataclass(frozen=True, slots=True)
class Estimate:
    """The answer for one text, in the units of the training data. truncated: part of the text was not read."""

    value: float
    truncated: bool = False

    def record(self) -> dict[str, Any]:
        """As one JSON object."""
        return {"value": self.value, "truncated": True} if self.truncated else {"value": self.value}


# Squares and sums of targets must stay within float32.
LARGEST = 1e15
# A target so many standard deviations from the mean is said to be an outlier.
OUTLIER = 6
# Two estimates are the same answer if they are so near to each other, as a share of the range of the right ones.
SAME_NUMBER = 0.02
# Whole numbers of no more values than this may be names of classes. (Stars from 1 to 5 are amounts.)
MOST_CLASSES = 4


class Regress(TextTask[float, Estimate]):
    """One text or a pair → a number: squared error on standardised targets, answers in the data's units."""

    name = "regress"
    decides = "numbers"
    summary = "one text, or a pair of texts, to a number"
    example = "bertsmith train regress --train train.tsv --dev dev.tsv --out runs/ratings"
    inputs = (
        TEXT,
        TEXT_B,
        Input(
            "label",
            names=("label", "score", "target", "value", "similarity", "rating"),
            required=False,
            help="the column of the number",
        ),
    )

    scores = ("pearson", "spearman", "mse")

    mean: float = learned(0.0)
    deviation: float = learned(1.0)

    def read_target(self, row: Row) -> float:
        value = row.values["label"]
        try:
            # Python would read 1_000 as a number
            number = math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            comma = "; a decimal comma? write a point" if isinstance(value, str) and "," in value else ""
            raise DataError(f"label {value!r} is not a finite number, as 'regress' needs{comma}", place=row.place)
        if abs(number) > LARGEST:
            raise DataError(f"label {value!r} is too large: at most {LARGEST:g} either way", place=row.place)
        return number

    def learn(self, examples: Sequence[TextExample[float]]) -> Self:
        targets = np.array([example.target for example in examples], dtype=np.float64)
        deviation = float(targets.std())
        if np.ptp(targets) == 0:  # the deviation of equal fractions may not be quite 0
            raise DataError(
                f"{examples[0].place.source}: all {len(targets)} targets are {targets[0]:g}; there is nothing to learn"
            )
        return self.model_copy(
            update={
                "pairs": examples[0].text_b is not None,
                "mean": float(targets.mean()),
                "deviation": deviation,
            }
        )

    def check(self, examples: Sequence[TextExample[float]]) -> None:
        """Any finite number is a target."""

    def contradicts(self, examples: Sequence[TextExample[float]]) -> Callable[[Any, Any], bool]:
        """Numbers contradict each other if a tenth of these rows' range does not hold both."""
        targets = [example.target for example in examples if example.target is not None]
        tolerance = 0.1 * (max(targets) - min(targets)) if targets else 0.0
        return lambda number, other: abs(number - other) > tolerance

    def findings(self, examples: Sequence[TextExample[float]]) -> Sequence[Finding]:
        """The range of the targets; outliers, and numbers that may be classes."""
        rows = [example for example in examples if example.target is not None]
        if not rows:
            return ()
        target_R = np.array([example.target for example in rows], dtype=np.float64)
        mean, deviation = float(target_R.mean()), float(target_R.std())
        numbers = {"low": float(target_R.min()), "high": float(target_R.max()), "mean": mean, "deviation": deviation}
        if np.ptp(target_R) == 0:
            text = f"all {len(rows):,} targets are {mean:g}: there is no correlation to score"
            return (Finding("warn", "numbers", text, numbers=numbers),)
        text = f"{numbers['low']:g} to {numbers['high']:g}, mean {mean:.4g}, standard deviation {deviation:.4g}"
        return (Finding("good", "numbers", text, numbers=numbers), *_suspicious(rows, target_R))

    def outputs(self) -> int:
        return 1

    def head(self, config: EncoderConfig, form: HeadForm, *, dropout: float) -> SequenceHead:
        head = super().head(config, form, dropout=dropout)
        head.answer_in(scale=self.deviation, shift=self.mean)
        return head

    def loss(self, head: Head, hidden: Tensor, batch: Batch) -> Loss:
        """Squared error in deviations of the training targets, so that the rates suit data of any unit."""
        import torch

        estimate_R = pooled_logits(head, hidden, batch).squeeze(1)
        target_R = torch.tensor([example.target for example in batch.examples], device=estimate_R.device)
        return Loss(((estimate_R - target_R) / self.deviation).square().sum(), targets=len(target_R))

    def decode(self, example: TextExample[float], encoded: Sequence[Encoded], outputs: Sequence[Output]) -> Estimate:
        return Estimate(value=float(pooled_output(outputs)[0]), truncated=was_cut(encoded))

    def baseline(self, examples: Sequence[TextExample[float]]) -> Sequence[Estimate] | None:
        if self.pairs is None:  # nothing was learned here
            return None
        return [Estimate(self.mean)] * len(examples)

    def agreeing(self, examples: Sequence[TextExample[float]]) -> Callable[[Estimate, Estimate], Sequence[bool]]:
        """Numbers are the same within a share of these rows' range, or of training's deviation where that is more: few
        rows, or equal ones, do not tell the scale."""
        targets = [example.target for example in examples if example.target is not None]
        most = SAME_NUMBER * max(max(targets) - min(targets) if targets else 0.0, self.deviation)
        return lambda one, other: [abs(one.value - other.value) <= most]

    def collapsed(self, examples: Sequence[TextExample[float]], predictions: Sequence[Estimate]) -> str | None:
        spread = float(np.std([prediction.value for prediction in predictions]))
        truth = float(np.std([example.target or 0.0 for example in examples]))
        if truth == 0 or spread > 0.01 * truth:
            return None
        return f"collapsed: every text is answered with about {predictions[0].value:.3g}"

    def main_score(self) -> str:
        return "pearson"

    def scorer(self, examples: Sequence[TextExample[float]], predictions: Sequence[Estimate]) -> Scorer:
        truth = np.array([example.target for example in examples], dtype=np.float64)
        given = np.array([prediction.value for prediction in predictions], dtype=np.float64)

        def scores(rows: NDArray[np.int64]) -> Mapping[str, float | None]:
            return {
                "pearson": metrics.pearson(truth[rows], given[rows]),
                "spearman": metrics.spearman(truth[rows], given[rows]),
                "mse": float(np.square(truth[rows] - given[rows]).mean()),
            }

        return scores

    @classmethod
    def from_transformers(cls, config: Mapping[str, Any]) -> Self | None:
        single = len(label_names(config)) == 1
        return cls() if single and config.get("problem_type") in (None, "regression") else None

    def to_transformers(self) -> Mapping[str, Any]:
        return {"id2label": {"0": "value"}, "label2id": {"value": 0}, "problem_type": "regression"}


TASK = Regress


def _suspicious(rows: Sequence[TextExample[float]], target_R: NDArray[np.float64]) -> Iterator[Finding]:
    far_R = np.abs(target_R - target_R.mean()) > OUTLIER * target_R.std()
    if far_R.any():
        first = np.flatnonzero(far_R)[:5]
        text = f"{far_R.sum():,} targets are more than {OUTLIER} standard deviations from the mean"
        places = tuple(f"{rows[row].place} {target_R[row]:g}" for row in first)
        yield Finding("warn", "outliers", text, places, {"rows": int(far_R.sum())})
    values = np.unique(target_R)
    if len(values) <= MOST_CLASSES and np.array_equal(values, values.round()) and len(rows) > 2 * len(values):
        text = f"only {len(values)} different whole numbers ({', '.join(f'{value:g}' for value in values)})"
        hint = "if they are names of classes, and not amounts, the task is classify"
        yield Finding("warn", "class-like-numbers", f"{text}: {hint}", numbers={"values": len(values)})
