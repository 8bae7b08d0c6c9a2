"""What the tasks on one text or a pair of texts share: how rows are read, encoded and pooled over windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import numpy as np

from bertsmith.data import text_of
from bertsmith.errors import DataError
from bertsmith.records import Input
from bertsmith.tasks import PredictionT, Task, learned, option
from bertsmith.tokenizer import Truncation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from bertsmith.batching import Batch
    from bertsmith.families import HeadForm
    from bertsmith.nn.encoder import EncoderConfig
    from bertsmith.nn.heads import Head, SequenceHead
    from bertsmith.records import Encoded, Place, Row
    from bertsmith.tasks import Output
    from bertsmith.tokenizer import Tokenizer

TargetT = TypeVar("TargetT")

TEXT = Input(
    "text",
    names=("text", "sentence", "sentence1", "sentence_1", "text_a", "text1", "premise", "question1", "review",
           "content", "message", "document", "#1 string"),
    help="the column of the text (a name, or a number from 1)",
)  # fmt: skip
TEXT_B = Input(
    "text_b",
    names=("text_b", "sentence2", "sentence_2", "text2", "hypothesis", "question2", "#2 string"),
    required=False,
    needed_to_train=False,
    help="the column of the second text of a pair",
)


@dataclass(frozen=True, slots=True)
class TextExample(Generic[TargetT]):
    """One text or a pair, with its target (None where the row has none) and where it was read."""

    text: str
    text_b: str | None
    target: TargetT | None
    place: Place


class TextTask(Task[TextExample[TargetT], PredictionT], Generic[TargetT, PredictionT]):
    """A task that answers for a whole text or pair of texts.

    A text in windows is answered by the mean of its windows' outputs, in training as in prediction.
    """

    head_kind = "sequence"
    asked = ("text", "text_b")

    long_texts: Literal["head", "tail", "head+tail", "windows"] = option(
        "head",
        "what is kept of a text beyond max_length: its head, tail, head+tail, or all of it in windows",
        at_use=True,
    )
    overlap: int = option(64, "how many pieces neighbouring windows of a long text share", at_use=True, ge=0)

    pairs: bool | None = learned(None)

    def read_target(self, row: Row) -> TargetT:
        """The target of a row that has one. May raise DataError."""
        raise NotImplementedError

    def outputs(self) -> int:
        """How many numbers the head gives."""
        raise NotImplementedError

    def wanted_inputs(self) -> tuple[Input, ...]:
        if self.pairs is None:
            return self.inputs
        second = (replace(TEXT_B, required=True),) if self.pairs else ()
        return (TEXT, *second, *(each for each in self.inputs if each not in (TEXT, TEXT_B)))

    def read(self, row: Row) -> TextExample[TargetT]:
        return TextExample(
            text=text_of(row, "text"),
            text_b=text_of(row, "text_b") if "text_b" in row.values else None,
            target=self.read_target(row) if "label" in row.values else None,
            place=row.place,
        )

    def remarks(self, examples: Sequence[TextExample[TargetT]]) -> Sequence[str]:
        blank = [
            each for each in examples if not each.text.strip() or (each.text_b is not None and not each.text_b.strip())
        ]
        if not blank:
            return ()
        return (f"{len(blank):,} rows hold an empty text, the first of them {blank[0].place}",)

    def encode(
        self, examples: Sequence[TextExample[TargetT]], tokenizer: Tokenizer, *, max_length: int
    ) -> list[list[Encoded]]:
        pairs = self._are_pairs(examples)
        texts = [example.text for example in examples]
        texts_b = [example.text_b or "" for example in examples] if pairs else None
        if self.long_texts == "windows":
            return tokenizer.windows(texts, texts_b, max_length=max_length, overlap=self.overlap)
        truncation = Truncation(self.long_texts)
        encoded = tokenizer.encode(texts, texts_b, max_length=max_length, truncation=truncation)
        return [[sequence] for sequence in encoded]

    def _are_pairs(self, examples: Sequence[TextExample[TargetT]]) -> bool:
        """Whether these are pairs of texts; as in training, where that is known."""
        pairs = examples[0].text_b is not None if self.pairs is None else self.pairs
        for example in examples:
            if (example.text_b is not None) != pairs:
                found, wanted = ("a single text", "a pair") if pairs else ("a pair of texts", "a single text")
                before = "the others" if self.pairs is None else "those of training"
                raise DataError(f"found {found}, wanted {wanted} like {before}", place=example.place)
        return pairs

    def head(self, config: EncoderConfig, form: HeadForm, *, dropout: float) -> SequenceHead:
        from bertsmith.nn.heads import SequenceHead

        return SequenceHead(
            width=config.width,
            outputs=self.outputs(),
            activation=form.activation or config.activation,
            dropout=dropout,
            dropout_before=form.dropout_before,
        )

    def start_head(self, head: Head, *, deviation: float, generator: torch.Generator) -> None:
        from bertsmith.nn.encoder import initialize

        initialize(head, deviation=deviation, generator=generator)


def pooled_logits(head: Head, hidden_SD: Tensor, batch: Batch) -> Tensor:
    """The head's logits of every example, ``[rows, O]``: the mean over its windows where it has several."""
    import torch

    logits_SO: Tensor = head(hidden_SD, batch.layout)["logits"].float()
    rows = len(batch.examples)
    if len(logits_SO) == rows:  # one sequence an example, and a batch names its examples in that order
        return logits_SO
    sums_RO = logits_SO.new_zeros(rows, logits_SO.shape[1]).index_add(0, batch.row_S, logits_SO)
    return sums_RO / torch.bincount(batch.row_S, minlength=rows)[:, None]


def pooled_output(outputs: Sequence[Output]) -> NDArray[np.float64]:
    """The same pooling for prediction: ``[O]`` in double precision."""
    pooled: NDArray[np.float64] = np.mean([output["logits"] for output in outputs], axis=0, dtype=np.float64)
    return pooled


def was_cut(encoded: Sequence[Encoded]) -> bool:
    """Whether any of a text was left out to keep within the limit."""
    return any(sequence.cut for sequence in encoded)
