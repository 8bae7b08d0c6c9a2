"""`classify`: one text, or a pair of texts, to a class (Devlin et al. 2019, §4.1), or to any number of labels."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import field_validator

from bertsmith import metrics
from bertsmith.errors import DataError, SettingsError, listed, nearest
from bertsmith.records import Input
from bertsmith.tasks import Loss, label_names, learned, option
from bertsmith.tasks._texts import TEXT, TEXT_B, TextExample, TextTask, pooled_logits, pooled_output, was_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from bertsmith.batching import Batch
    from bertsmith.nn.heads import Head
    from bertsmith.records import Encoded, Row
    from bertsmith.tasks import Output, Scorer

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Classification:
    """The answer for one text.

    labels: the one label, or in multi-label classification all (perhaps none) that reach their threshold.
    probabilities: of every label, in the bundle's order. truncated: part of the text was not read.
    """

    labels: Labels
    probabilities: Mapping[str, float]
    truncated: bool = False
    multi_label: bool = False

    @property
    def label(self) -> str:
        """The label of a single-label answer; several ones joined by ``|``."""
        return "|".join(self.labels)

    def record(self) -> dict[str, Any]:
        """As one JSON object: ``label``, or in multi-label classification the list ``labels``."""
        answer = {"labels": list(self.labels)} if self.multi_label else {"label": self.label}
        record: dict[str, Any] = {**answer, "probabilities": dict(self.probabilities)}
        return {**record, "truncated": True} if self.truncated else record


class Classify(TextTask[Labels, Classification]):
    """One text or a pair → a class, by name; or several labels each (``multi_label``)."""

    name = "classify"
    summary = "one text, or a pair of texts, to a class or to several labels"
    example = "bertsmith train classify --train train.tsv --dev dev.tsv --out runs/topics"
    inputs = (
        TEXT,
        TEXT_B,
        Input(
            "label",
            names=(
                "label",
                "labels",
                "class",
                "category",
                "target",
                "gold_label",
                "intent",
                "sentiment",
                "quality",
            ),
            required=False,
            help="the column of the class; of several labels with --multi-label",
        ),
    )

    scores = ("accuracy", "macro_f1", "mcc", "f1 of the second of two labels", "micro_f1 (multi-label)")
    tuned_on_dev = ("tune_thresholds",)

    multi_label: bool = option(False, "each text may have several labels, or none")
    separator: str = option("|", "what stands between the labels of a multi-label column", min_length=1)
    labels: Labels = option((), "the labels and their order; left out, those of the training data, sorted")
    class_weights: Literal["none", "balanced"] | dict[str, float] = option(
        "none", "weights of the classes in the loss: none, balanced, or label=weight,label=weight"
    )
    label_smoothing: float = option(0.0, "the share of the target spread over all classes", ge=0, lt=1)
    threshold: float = option(0.5, "the least probability of a label in multi-label classification", gt=0, lt=1)
    tune_thresholds: bool = option(False, "tune a threshold for every label on the dev set, for the best F1")
    metric: Literal["accuracy", "macro_f1", "mcc"] | None = option(
        None, "the score that picks the best state: accuracy, macro_f1 or mcc; macro_f1 for multi-label"
    )

    counts: tuple[int, ...] = learned(())
    rows: int = learned(0)
    thresholds: tuple[float, ...] = learned(())

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_of_a_flag(cls, value: Any) -> Any:
        """``neg,pos`` from the command line, a list from run.toml."""
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        return tuple(value) if isinstance(value, list) else value

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights_of_a_flag(cls, value: Any) -> Any:
        """``neg=1,pos=2.5`` from the command line, a table from run.toml."""
        if isinstance(value, str) and value not in ("none", "balanced"):
            pairs = value.split(",")
            try:
                value = {label.strip(): float(weight) for label, weight in (pair.rsplit("=", 1) for pair in pairs)}
            except ValueError:
                raise ValueError("must be none, balanced, or label=weight,label=weight") from None
            if len(value) < len(pairs):
                raise ValueError("must be one weight a label")
        if isinstance(value, dict) and not all(isinstance(w, int | float) and 0 < w < math.inf for w in value.values()):
            raise ValueError("must be weights above 0")
        return value

    def read_target(self, row: Row) -> Labels:
        value = row.values["label"]
        if not self.multi_label:
            return (_label_name(value, row),)
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"label {value!r} begins like a JSON list but is none: {error}", place=row.place
                ) from None
        if isinstance(value, str):
            value = value.split(self.separator)
        parts = value if isinstance(value, list | tuple) else [value]
        # an empty column is a text without any label, which multi-label data may hold
        found = [_label_name(part, row) for part in parts if not (isinstance(part, str) and not part.strip())]
        if len(set(found)) < len(found):
            raise DataError(f"label {row.values['label']!r} names a label twice", place=row.place)
        return tuple(found)

    def learn(self, examples: Sequence[TextExample[Labels]]) -> Self:
        self._check_options()
        counts = Counter(label for example in examples for label in example.target or ())
        if self.labels:
            names = self.labels
            if len(set(names)) < len(names):
                raise SettingsError(f"labels must differ, got {listed(names)}")
        else:
            names = tuple(sorted(counts, key=_in_order))
        wanted = 1 if self.multi_label else 2
        if len(names) < wanted:
            raise DataError(
                f"{examples[0].place.source}: the rows hold {f'only the label {names[0]!r}' if names else 'no label'}; "
                f"a classifier needs {wanted} or more"
            )
        if isinstance(self.class_weights, dict):
            unknown = [label for label in self.class_weights if label not in names]
            if unknown:
                raise SettingsError(
                    f"class_weights: {unknown[0]!r} is not one of {listed(names)}{nearest(unknown[0], names)}"
                )
        return self.model_copy(
            update={
                "pairs": examples[0].text_b is not None,
                "labels": names,
                "counts": tuple(counts[name] for name in names),
                "rows": len(examples),
                "thresholds": (self.threshold,) * len(names),
            }
        )

    def _check_options(self) -> None:
        """Raises SettingsError for options that do not go together, rather than pass over one of them."""
        if self.multi_label and self.metric == "mcc":
            raise SettingsError("metric must be accuracy or macro_f1 with multi_label, got 'mcc'")
        if self.multi_label and self.label_smoothing:
            raise SettingsError(f"label_smoothing must be 0 with multi_label, got {self.label_smoothing}")
        if self.tune_thresholds and not self.multi_label:
            raise SettingsError("tune_thresholds must be false without multi_label, got True")

    def check(self, examples: Sequence[TextExample[Labels]]) -> None:
        known = set(self.labels)
        for example in examples:
            for label in example.target or ():
                if label not in known:
                    raise DataError(
                        f"label {label!r} is not one of {listed(self.labels)}{nearest(label, known)}",
                        place=example.place,
                    )

    def classes(self, example: TextExample[Labels]) -> Sequence[str]:
        return example.target or ()

    def contradicts(self, examples: Sequence[TextExample[Labels]]) -> Callable[[Any, Any], bool]:
        return lambda labels, others: set(labels) != set(others)

    def outputs(self) -> int:
        return len(self.labels)

    def loss(self, head: Head, hidden: Tensor, batch: Batch) -> Loss:
        """Cross-entropy, or binary cross-entropy of every label, weighted; the mean is over the weights."""
        import torch
        import torch.nn.functional as F

        logits_RC = pooled_logits(head, hidden, batch)
        number_of = {label: number for number, label in enumerate(self.labels)}
        if self.multi_label:
            target_RC = torch.zeros_like(logits_RC)
            for row, example in enumerate(batch.examples):
                target_RC[row, [number_of[label] for label in example.target]] = 1.0
            weight_C = self._weights().to(logits_RC.device)
            total = F.binary_cross_entropy_with_logits(logits_RC, target_RC, pos_weight=weight_C, reduction="sum")
            return Loss(total, targets=target_RC.numel())
        target_R = torch.tensor([number_of[example.target[0]] for example in batch.examples], device=logits_RC.device)
        if self.class_weights == "none":
            total = F.cross_entropy(logits_RC, target_R, reduction="sum", label_smoothing=self.label_smoothing)
            return Loss(total, targets=len(target_R))
        weight_C = self._weights().to(logits_RC.device)
        total = F.cross_entropy(
            logits_RC, target_R, weight=weight_C, reduction="sum", label_smoothing=self.label_smoothing
        )
        return Loss(total, targets=float(weight_C[target_R].sum()))

    def _weights(self) -> Tensor:
        """The weight of every class, ``[C]``; of every label's presence in multi-label classification."""
        import torch

        if isinstance(self.class_weights, dict):
            return torch.tensor([self.class_weights.get(label, 1.0) for label in self.labels])
        if self.class_weights == "none":
            return torch.ones(len(self.labels))
        count_C = torch.tensor(self.counts, dtype=torch.float32).clamp(min=1)
        if self.multi_label:
            return (self.rows - count_C).clamp(min=1) / count_C
        return count_C.sum() / (len(count_C) * count_C)

    def decode(
        self, example: TextExample[Labels], encoded: Sequence[Encoded], outputs: Sequence[Output]
    ) -> Classification:
        logit_C = pooled_output(outputs)
        if self.multi_label:
            probability_C = 1 / (1 + np.exp(-logit_C))
            chosen = self._reached(probability_C)
        else:
            exponential_C = np.exp(logit_C - logit_C.max())
            probability_C = exponential_C / exponential_C.sum()
            chosen = [self.labels[int(probability_C.argmax())]]
        return Classification(
            labels=tuple(chosen),
            probabilities=dict(zip(self.labels, probability_C.tolist(), strict=True)),
            truncated=was_cut(encoded),
            multi_label=self.multi_label,
        )

    def _reached(self, probability_C: Iterable[float]) -> list[str]:
        """The labels that reach their threshold."""
        triples = zip(self.labels, probability_C, self.thresholds, strict=True)
        return [label for label, probability, least in triples if probability >= least]

    def decide(self, prediction: Classification) -> Classification:
        if not self.multi_label:
            return prediction
        return replace(prediction, labels=tuple(self._reached(prediction.probabilities.values())))

    def calibrate(self, examples: Sequence[TextExample[Labels]], predictions: Sequence[Classification]) -> Self:
        """For every label the threshold with the best F1 on these rows, halfway to the next probability below."""
        if not (self.multi_label and self.tune_thresholds):
            return self
        thresholds = []
        for label, given in zip(self.labels, self.thresholds, strict=True):
            truth_R = np.array([label in (example.target or ()) for example in examples])
            probability_R = np.array([prediction.probabilities[label] for prediction in predictions])
            thresholds.append(_best_threshold(truth_R, probability_R, otherwise=given))
        return self.model_copy(update={"thresholds": tuple(thresholds)})

    def baseline(self, examples: Sequence[TextExample[Labels]]) -> Sequence[Classification] | None:
        """The commonest label of the training data; in multi-label data those that most texts have."""
        if not self.counts:
            return None
        if self.multi_label:
            common = [label for label, count in zip(self.labels, self.counts, strict=True) if 2 * count > self.rows]
        else:
            common = [self.labels[int(np.argmax(self.counts))]]
        answer = Classification(
            labels=tuple(common), probabilities={label: float(label in common) for label in self.labels}
        )
        return [answer] * len(examples)

    def agreeing(
        self, examples: Sequence[TextExample[Labels]]
    ) -> Callable[[Classification, Classification], Sequence[bool]]:
        """All labels of a row are one decision."""
        return lambda one, other: [one.labels == other.labels]

    def collapsed(self, examples: Sequence[TextExample[Labels]], predictions: Sequence[Classification]) -> str | None:
        given = {prediction.labels for prediction in predictions}
        if len(given) > 1 or len({example.target for example in examples}) == 1:
            return None
        return f"collapsed: every text is answered with {' and '.join(map(repr, *given)) or 'no label'}"

    def main_score(self) -> str:
        return self.metric or ("macro_f1" if self.multi_label else "accuracy")

    def scorer(self, examples: Sequence[TextExample[Labels]], predictions: Sequence[Classification]) -> Scorer:
        truth_RC = self._presence([example.target or () for example in examples])
        given_RC = self._presence([prediction.labels for prediction in predictions])
        if self.multi_label:
            return lambda rows: _multi_label_scores(truth_RC[rows], given_RC[rows])
        truth_R, given_R = truth_RC.argmax(1), given_RC.argmax(1)
        classes = len(self.labels)

        def scores(rows: NDArray[np.int64]) -> Mapping[str, float | None]:
            matrix_CC = metrics.confusion(truth_R[rows], given_R[rows], classes)
            values: dict[str, float | None] = {
                "accuracy": metrics.accuracy(matrix_CC),
                "macro_f1": metrics.macro_f1(matrix_CC),
                "mcc": metrics.matthews(matrix_CC),
            }
            if classes == 2:
                # of the second label, which is '1', 'yes' or 'true' where labels are sorted (MRPC's F1)
                values[f"f1[{self.labels[1]}]"] = float(metrics.f1_by_class(matrix_CC)[1])
            return values

        return scores

    def target_record(self, target: Labels) -> Any:
        return list(target) if self.multi_label else target[0]

    def details(
        self, examples: Sequence[TextExample[Labels]], predictions: Sequence[Classification]
    ) -> Mapping[str, Mapping[str, float]]:
        truth_RC = self._presence([example.target or () for example in examples])
        given_RC = self._presence([prediction.labels for prediction in predictions])
        right_C = (truth_RC & given_RC).sum(0)
        return {
            label: {
                "precision": float(right_C[c] / max(1, given_RC[:, c].sum())),
                "recall": float(right_C[c] / max(1, truth_RC[:, c].sum())),
                "f1": float(2 * right_C[c] / max(1, truth_RC[:, c].sum() + given_RC[:, c].sum())),
                "support": int(truth_RC[:, c].sum()),
            }
            for c, label in enumerate(self.labels)
        }

    def _presence(self, labels_R: Sequence[Labels]) -> NDArray[np.bool_]:
        """Which labels every row has, ``[rows, C]``."""
        number_of = {label: number for number, label in enumerate(self.labels)}
        presence_RC = np.zeros((len(labels_R), len(self.labels)), dtype=bool)
        for row, labels in enumerate(labels_R):
            presence_RC[row, [number_of[label] for label in labels]] = True
        return presence_RC

    @classmethod
    def from_transformers(cls, config: Mapping[str, Any]) -> Self | None:
        labels = label_names(config)
        multi_label = config.get("problem_type") == "multi_label_classification"
        if config.get("problem_type") == "regression" or (len(labels) < 2 and not multi_label):
            return None
        return cls(labels=labels, multi_label=multi_label, thresholds=(0.5,) * len(labels))

    def to_transformers(self) -> Mapping[str, Any]:
        return {
            "id2label": {str(number): label for number, label in enumerate(self.labels)},
            "label2id": {label: number for number, label in enumerate(self.labels)},
            "problem_type": "multi_label_classification" if self.multi_label else "single_label_classification",
        }


TASK = Classify


def _label_name(value: Any, row: Row) -> str:
    """A label as its name: text as it stands without blanks around it, whole numbers without a decimal point."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str | int):
        label = str(value).strip()
        if label:
            return label
        raise DataError("the label is empty", place=row.place)
    hint = "; several labels a text want --multi-label" if isinstance(value, list) else ""
    raise DataError(f"the label must be a name or a whole number, got {value!r}{hint}", place=row.place)


def _in_order(label: str) -> tuple[int, int, str]:
    """Numbers in their order, '2' before '10', then names in theirs: never the order in which the data has them."""
    try:
        return (0, int(label), label)
    except ValueError:
        return (1, 0, label)


def _best_threshold(truth_R: NDArray[np.bool_], probability_R: NDArray[np.float64], *, otherwise: float) -> float:
    if not truth_R.any():
        return otherwise
    order = np.argsort(-probability_R, kind="stable")
    right, given = np.cumsum(truth_R[order]), np.arange(1, len(order) + 1)
    f1 = 2 * right / (given + truth_R.sum())
    sorted_R = probability_R[order]
    # cutting between two equal probabilities is impossible
    f1[:-1][sorted_R[:-1] == sorted_R[1:]] = -1
    best = int(f1.argmax())
    least, below = sorted_R[best], sorted_R[best + 1] if best + 1 < len(sorted_R) else 0.0
    halfway = (least + below) / 2
    return float(halfway if halfway > below else least)  # the mean of two neighbouring floats is one of them


def _multi_label_scores(truth_RC: NDArray[np.bool_], given_RC: NDArray[np.bool_]) -> Mapping[str, float | None]:
    right_C, sides_C = (truth_RC & given_RC).sum(0), truth_RC.sum(0) + given_RC.sum(0)
    f1_C = np.divide(2 * right_C, sides_C, out=np.zeros(len(sides_C)), where=sides_C > 0)
    return {
        "macro_f1": float(f1_C.mean()),
        "micro_f1": float(2 * right_C.sum() / max(1, sides_C.sum())),
        "accuracy": float((truth_RC == given_RC).all(1).mean()),
    }
