"""`mlm`: words hidden in a text are found again from those around them (Devlin et al. 2019, §3.1, Task #1).

In training and scoring the words of the texts themselves are hidden; a trained model fills the blanks of a text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from bertsmith.data import text_of
from bertsmith.sequences import Sequences
from bertsmith.tasks import Chosen, Loss
from bertsmith.tasks._masking import Filled, MaskingTask, Recovered, no_blank, recovered, with_blanks, with_masks_chosen
from bertsmith.tasks._texts import TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from bertsmith.batching import Batch
    from bertsmith.nn.heads import Head, MaskedWordHead
    from bertsmith.records import Encoded, Place, Row
    from bertsmith.tasks import Output
    from bertsmith.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, its own target, and where it was read."""

    text: str
    place: Place

    @property
    def target(self) -> str:
        """The text itself: its words are what is to be found."""
        return self.text


class Mlm(MaskingTask[Passage]):
    """Masked words. A long text is read in windows that share nothing, so that each of its words counts once."""

    name = "mlm"
    summary = "words hidden in a text, found from those around them"
    example = "bertsmith train mlm --train train.txt --dev dev.txt --out runs/words"
    head_kind = "masked"
    sums_sequences = True
    inputs = (TEXT,)
    asked = ("text",)

    @classmethod
    def head_class(cls) -> type[MaskedWordHead]:
        from bertsmith.nn.heads import MaskedWordHead

        return MaskedWordHead

    def read(self, row: Row) -> Passage:
        return Passage(text_of(row, "text"), row.place)

    def encode(self, examples: Sequence[Passage], tokenizer: Tokenizer, *, max_length: int) -> list[list[Encoded]]:
        texts = [with_blanks(example.text, tokenizer) for example in examples]
        encoded = tokenizer.windows(texts, max_length=max_length, overlap=0)
        return [[with_masks_chosen(each, tokenizer, first=False) for each in sequences] for sequences in encoded]

    def for_training(self, examples: Sequence[Passage], encoded: Sequence[Sequence[Encoded]]) -> Chosen:
        return super().for_training(examples, _unasked(encoded))

    def for_scoring(self, encoded: Sequence[Sequence[Encoded]], tokenizer: Tokenizer) -> Sequence[Sequence[Encoded]]:
        return super().for_scoring(_unasked(encoded), tokenizer)

    def loss(self, head: Head, hidden: Tensor, batch: Batch) -> Loss:
        """Cross-entropy at the masked pieces alone."""
        import torch.nn.functional as F

        assert batch.truth_C is not None, "training masks what it knows"
        logits_CV = head(hidden, batch.layout)["logits"].float()
        return Loss(F.cross_entropy(logits_CV, batch.truth_C, reduction="sum"), targets=len(batch.truth_C))

    def decode(self, example: Passage, encoded: Sequence[Encoded], outputs: Sequence[Output]) -> Filled | Recovered:
        found = [
            recovered(sequence.truth, output["logits"])
            for sequence, output in zip(encoded, outputs, strict=True)
            if sequence.truth is not None
        ]
        if found:
            pieces, loss, hits = (sum(column) for column in zip(*found, strict=True))
            return Recovered(int(pieces), float(loss), int(hits))
        blanks = tuple(blank for output in outputs for blank in self.candidates(output["logits"]))
        if not blanks:
            raise no_blank(example.place)
        return Filled(blanks)

    def baseline(self, examples: Sequence[Passage]) -> Sequence[Recovered] | None:
        """Every piece as often as it is in the training data, whatever stands around it."""
        if self.unigram_loss is None or self.unigram_accuracy is None:
            return None
        return [Recovered(1, self.unigram_loss, self.unigram_accuracy)] * len(examples)

    def collapsed(self, examples: Sequence[Passage], predictions: Sequence[Filled | Recovered]) -> str | None:
        return None

    @classmethod
    def from_transformers(cls, config: Mapping[str, Any]) -> Self | None:
        return cls()


TASK = Mlm


def _unasked(encoded: Sequence[Sequence[Encoded]]) -> Sequences:
    """The sequences without the blanks that are written in them: what belongs there is not known."""
    return Sequences([replace(each, chosen=None) for each in sequences] for sequences in encoded)
