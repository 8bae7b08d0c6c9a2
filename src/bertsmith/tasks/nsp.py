"""`nsp`: does the second text follow the first, and which words are hidden in them: BERT's own pretraining
(Devlin et al. 2019, §3.1, Tasks #1 and #2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bertsmith.data import text_of
from bertsmith.errors import DataError
from bertsmith.records import IS_NEXT, IS_RANDOM, Input
from bertsmith.sequences import Sequences
from bertsmith.tasks import Chosen, Loss
from bertsmith.tasks._masking import (
    Filled,
    MaskingTask,
    Recovered,
    recovered,
    with_blanks,
    with_masks_chosen,
)
from bertsmith.tasks._texts import TEXT, TEXT_B

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from bertsmith.batching import Batch
    from bertsmith.nn.heads import Head, PretrainingHead
    from bertsmith.records import Encoded, Place, Row
    from bertsmith.tasks import Output, Scorer
    from bertsmith.tokenizer import Tokenizer

_LABELS = {"1": True, "true": True, "yes": True, "next": True, "0": False, "false": False, "no": False, "random": False}


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Two texts, whether the second follows the first (None where the row does not say), and where they were read."""

    text: str
    text_b: str
    target: bool | None
    place: Place


class Nsp(MaskingTask[Neighbours]):
    """Next sentences, together with masked words."""

    name = "nsp"
    summary = "whether one text follows another, and the words hidden in both: BERT's pretraining"
    example = "bertsmith train nsp --train train.tsv --dev dev.tsv --out runs/pretrained"
    head_kind = "pretraining"
    inputs = (
        TEXT,
        replace(TEXT_B, required=True),
        Input(
            "is_next",
            names=("is_next", "follows", "label"),
            required=False,
            help="the column that says whether the second text follows the first: 1 or 0",
        ),
    )
    asked = ("text", "text_b")
    scores = (*MaskingTask.scores, "next_accuracy")

    @classmethod
    def head_class(cls) -> type[PretrainingHead]:
        from bertsmith.nn.heads import PretrainingHead

        return PretrainingHead

    def read(self, row: Row) -> Neighbours:
        target = _follows(row) if "is_next" in row.values else None
        return Neighbours(text_of(row, "text"), text_of(row, "text_b"), target, row.place)

    def classes(self, example: Neighbours) -> Sequence[str]:
        return () if example.target is None else (("next" if example.target else "random"),)

    def encode(self, examples: Sequence[Neighbours], tokenizer: Tokenizer, *, max_length: int) -> list[list[Encoded]]:
        encoded = tokenizer.encode(
            [with_blanks(example.text, tokenizer) for example in examples],
            [with_blanks(example.text_b, tokenizer) for example in examples],
            max_length=max_length,
        )
        return [[with_masks_chosen(sequence, tokenizer, first=True)] for sequence in encoded]

    def for_training(self, examples: Sequence[Neighbours], encoded: Sequence[Sequence[Encoded]]) -> Chosen:
        first = np.zeros(1, dtype=np.int32)
        known = Sequences(
            [
                replace(each, chosen=first, truth=first + (IS_NEXT if example.target else IS_RANDOM))
                for each in sequences
            ]
            for example, sequences in zip(examples, encoded, strict=True)
        )
        return super().for_training(examples, known)

    def for_scoring(self, encoded: Sequence[Sequence[Encoded]], tokenizer: Tokenizer) -> Sequence[Sequence[Encoded]]:
        first = np.zeros(1, dtype=np.int32)
        alone = Sequences([replace(each, chosen=first, truth=None) for each in sequences] for sequences in encoded)
        return super().for_scoring(alone, tokenizer)

    def loss(self, head: Head, hidden: Tensor, batch: Batch) -> Loss:
        """Cross-entropy at the masked pieces and, weighted, at the first token; see `balanced`."""
        import torch.nn.functional as F

        from bertsmith.nn.heads import first_of_each

        assert batch.truth_C is not None, "training masks what it knows"
        output = head(hidden, batch.layout)
        is_first_C = first_of_each(batch.layout.chosen_counts, device=hidden.device)
        masked = F.cross_entropy(output["logits"].float(), batch.truth_C[~is_first_C], reduction="sum")
        next_S = F.cross_entropy(output["next"].float(), batch.truth_C[is_first_C], reduction="none")
        weight_S = next_S.new_tensor([each.weight for each in batch.encoded])
        return Loss(masked + (next_S * weight_S).sum(), targets=int((~is_first_C).sum()))

    def decode(self, example: Neighbours, encoded: Sequence[Encoded], outputs: Sequence[Output]) -> Filled | Recovered:
        ((sequence,), (output,)) = encoded, outputs
        is_next, is_random = output["next"][0].astype(np.float64)[[IS_NEXT, IS_RANDOM]]
        follows = float(1 / (1 + np.exp(is_random - is_next)))
        if sequence.truth is not None:
            return Recovered(*recovered(sequence.truth[1:], output["logits"]), follows=follows)
        return Filled(self.candidates(output["logits"]), follows=follows)

    def baseline(self, examples: Sequence[Neighbours]) -> Sequence[Recovered] | None:
        """Every piece as often as it is in the training data, and every text follows."""
        if self.unigram_loss is None or self.unigram_accuracy is None:
            return None
        return [Recovered(1, self.unigram_loss, self.unigram_accuracy, follows=1.0)] * len(examples)

    def collapsed(self, examples: Sequence[Neighbours], predictions: Sequence[Filled | Recovered]) -> str | None:
        given = {(each.follows or 0.0) >= 0.5 for each in predictions}
        if len(given) == 1 and len({example.target for example in examples}) == 2:
            return f"collapsed: every second text is said to {'follow' if given.pop() else 'be a random one'}"
        return None

    def scorer(self, examples: Sequence[Neighbours], predictions: Sequence[Filled | Recovered]) -> Scorer:
        of_masks = super().scorer(examples, predictions)
        right_R = np.array(
            [
                ((prediction.follows or 0.0) >= 0.5) == example.target
                for example, prediction in zip(examples, predictions, strict=True)
            ]
        )

        def scores(rows: NDArray[np.int64]) -> Mapping[str, float | None]:
            return {**of_masks(rows), "next_accuracy": float(right_R[rows].mean())}

        return scores

    @classmethod
    def from_transformers(cls, config: Mapping[str, Any]) -> Self | None:
        return cls()


TASK = Nsp


def _follows(row: Row) -> bool:
    value = row.values["is_next"]
    if isinstance(value, bool):
        return value
    found = _LABELS.get(str(value).strip().lower())
    if found is None:
        raise DataError(f"is_next must be 1 (it follows) or 0 (it does not), got {value!r}", place=row.place)
    return found
