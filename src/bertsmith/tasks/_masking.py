"""What the tasks that hide words share: how masks are drawn, what is predicted, and how that is scored."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

import numpy as np

from bertsmith.errors import DataError
from bertsmith.sequences import Sequences
from bertsmith.tasks import Chosen, ExampleT, Task, learned, option
from bertsmith.tasks._masks import Masks, RandomWords, piece_counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from bertsmith.families import HeadForm
    from bertsmith.nn.encoder import EncoderConfig
    from bertsmith.nn.heads import Head, MaskedWordHead
    from bertsmith.records import Encoded, Place
    from bertsmith.tasks import Draw, Scorer
    from bertsmith.tokenizer import Tokenizer

# A blank in a text, as people write it; the tokenizer's own mask token is one, too.
BLANK = re.compile(r"_{3,}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A piece that may stand in a blank. word: as it is read, empty until it is spelled."""

    id: int
    probability: float
    word: str = ""


@dataclass(frozen=True, slots=True)
class Filled:
    """What may stand in the blanks of a text, the likeliest first; each blank as if the others stayed blank.

    text: with the likeliest in their places; empty where some of them were cut off. follows: the probability that the
    second text of a pair follows the first; None where that is not asked.
    """

    blanks: tuple[tuple[Candidate, ...], ...]
    text: str = ""
    follows: float | None = None

    def record(self) -> dict[str, Any]:
        """As one JSON object."""
        blanks = [[{"word": each.word, "probability": each.probability} for each in blank] for blank in self.blanks]
        found: dict[str, Any] = {} if self.follows is None else {"follows": self.follows}
        return {**found, "blanks": blanks, "filled": self.text} if blanks else found


@dataclass(frozen=True, slots=True)
class Recovered:
    """How well the masked pieces of a text were found. loss: the sum of their negative log-probabilities, in nats.
    hits: how many were the likeliest. follows: as in `Filled`."""

    pieces: int
    loss: float
    hits: float
    follows: float | None = None

    def record(self) -> dict[str, Any]:
        """As one JSON object."""
        found: dict[str, Any] = {} if self.follows is None else {"follows": self.follows}
        return {**found, "pieces": self.pieces, "loss": self.loss, "hits": self.hits}


class MaskingTask(Task[ExampleT, Filled | Recovered], Generic[ExampleT]):
    """A task that hides words of a text and finds them again."""

    scores: ClassVar[tuple[str, ...]] = ("mean_probability", "loss", "perplexity", "masked_accuracy")

    below_baseline = "it has not yet learned more than how often each piece comes"

    mask_share: float = option(0.15, "share of the word pieces that are to be found; .3 learns faster", gt=0, lt=1)
    random_words: RandomWords = option(
        "unigram", "what replaces a tenth of them: pieces as often as in the data (unigram), or all alike (uniform)"
    )
    whole_words: bool = option(False, "choose whole words, all their pieces together")
    top: int = option(5, "how many words to give for a blank", at_use=True, ge=1, le=1000)

    unigram_loss: float | None = learned(None)
    unigram_accuracy: float | None = learned(None)

    def learn(self, examples: Sequence[ExampleT]) -> Self:
        return self

    def check(self, examples: Sequence[ExampleT]) -> None:
        """Any text has its own words for targets."""

    def masks(self, tokenizer: Tokenizer, *, counts_V: NDArray[np.int64] | None) -> Masks:
        """How pieces are hidden; counts_V: of the corpus, None where it is not known."""
        return Masks.of(
            tokenizer,
            share=self.mask_share,
            whole_words=self.whole_words,
            counts_V=counts_V if self.random_words == "unigram" else None,
        )

    def learn_counts(self, counts_V: NDArray[np.int64]) -> Self:
        """This task with what one would know of the pieces without a model: how often each is in the corpus."""
        share_V = counts_V[counts_V > 0] / max(1, counts_V.sum())
        entropy = float(-(share_V * np.log(share_V)).sum())
        return self.model_copy(
            update={"unigram_loss": entropy, "unigram_accuracy": float(share_V.max()) if len(share_V) else 0.0}
        )

    def learn_pieces(self, encoded: Sequence[Sequence[Encoded]], tokenizer: Tokenizer) -> Self:
        return self.learn_counts(piece_counts((each for sequences in encoded for each in sequences), tokenizer))

    def for_training(self, examples: Sequence[ExampleT], encoded: Sequence[Sequence[Encoded]]) -> Chosen:
        """All with more than special tokens."""
        kept = Sequences([each for each in sequences if each.body[0] < each.body[1]] for sequences in encoded)
        blank = int((kept.counts() == 0).sum())
        return Chosen(kept, (f"{blank:,} rows hold no word piece, and teach nothing",) if blank else ())

    def drawing(self, encoded: Sequence[Sequence[Encoded]], tokenizer: Tokenizer) -> Draw:
        counts_V = piece_counts((each for sequences in encoded for each in sequences), tokenizer)
        masks = self.masks(tokenizer, counts_V=counts_V)

        def draw(rows: Sequence[int], seed: int, epoch: int) -> Sequence[Sequence[Encoded]]:
            return balanced(
                [[masks.drawn(each, seed=seed, epoch=epoch, row=row) for each in encoded[row]] for row in rows]
            )

        return draw

    def for_scoring(self, encoded: Sequence[Sequence[Encoded]], tokenizer: Tokenizer) -> Sequence[Sequence[Encoded]]:
        """Random words are drawn all alike here, so that they depend on no other row."""
        masks = self.masks(tokenizer, counts_V=None)
        return Sequences([masks.fixed(each) for each in sequences] for sequences in encoded)

    @classmethod
    def head_class(cls) -> type[MaskedWordHead]:
        """The class of its heads."""
        raise NotImplementedError

    def head(self, config: EncoderConfig, form: HeadForm, *, dropout: float) -> MaskedWordHead:
        return self.head_class()(
            width=config.width,
            embedding_width=config.embedding_width,
            vocabulary=config.vocabulary,
            activation=form.activation or config.activation,
            norm_epsilon=config.norm_epsilon,
        )

    def start_head(self, head: Head, *, deviation: float, generator: torch.Generator) -> None:
        from bertsmith.nn.encoder import initialize

        initialize(head, deviation=deviation, generator=generator)

    def spelled(self, prediction: Filled | Recovered, example: ExampleT, tokenizer: Tokenizer) -> Filled | Recovered:
        if not isinstance(prediction, Filled) or not prediction.blanks:
            return prediction
        blanks = tuple(
            tuple(replace(each, word=tokenizer.written(each.id)) for each in blank) for blank in prediction.blanks
        )
        words = iter([blank[0].word for blank in blanks])
        pattern = re.compile(f"{BLANK.pattern}|{re.escape(tokenizer.mask())}")
        text = " / ".join(self.content(example))
        if len(pattern.findall(text)) != len(blanks):  # which of a pair's are left is not known here
            return replace(prediction, blanks=blanks)
        return replace(prediction, blanks=blanks, text=pattern.sub(lambda _: next(words), text))

    def candidates(self, logits_CV: NDArray[np.float32]) -> tuple[tuple[Candidate, ...], ...]:
        """The likeliest pieces for each row of logits."""
        log_CV = logits_CV - _log_sum(logits_CV)[:, None]
        best_CK = np.argsort(-logits_CV, axis=1, kind="stable")[:, : self.top]
        return tuple(
            tuple(Candidate(int(piece), float(np.exp(log_V[piece]))) for piece in best_K)
            for best_K, log_V in zip(best_CK, log_CV, strict=True)
        )

    def main_score(self) -> str:
        return "mean_probability"

    def scorer(self, examples: Sequence[ExampleT], predictions: Sequence[Filled | Recovered]) -> Scorer:
        recovered = [each for each in predictions if isinstance(each, Recovered)]
        assert len(recovered) == len(predictions), "to be scored, sequences are masked by for_scoring"
        table_R3 = np.array([(each.pieces, each.loss, each.hits) for each in recovered], dtype=np.float64)

        def scores(rows: NDArray[np.int64]) -> Mapping[str, float | None]:
            pieces, total, hits = table_R3[rows].sum(axis=0)
            if not pieces:
                return dict.fromkeys(("mean_probability", "loss", "perplexity", "masked_accuracy"))
            loss = float(total / pieces)
            return {
                "mean_probability": math.exp(-loss),
                "loss": loss,
                "perplexity": math.exp(min(loss, 700.0)),
                "masked_accuracy": float(hits / pieces),
            }

        return scores


def recovered(truth_C: NDArray[np.int32], logits_CV: NDArray[np.float32]) -> tuple[int, float, int]:
    """How many pieces, the sum of their negative log-probabilities, and how many are the likeliest."""
    at_C = logits_CV[np.arange(len(truth_C)), truth_C]
    loss = float((_log_sum(logits_CV) - at_C).sum(dtype=np.float64))
    return len(truth_C), loss, int((logits_CV.argmax(axis=1) == truth_C).sum())


def _log_sum(logits_CV: NDArray[np.float32]) -> NDArray[np.float32]:
    """log Σ exp of each row."""
    highest_C = logits_CV.max(axis=1)
    sums: NDArray[np.float32] = highest_C + np.log(np.exp(logits_CV - highest_C[:, None]).sum(axis=1))
    return sums


def balanced(sequences: Sequence[Sequence[Encoded]]) -> list[list[Encoded]]:
    """The sequences of a step with weights for their own losses, so that the mean over all sequences counts as much as
    the mean over all masked pieces (Devlin et al. 2019, A.2: the sum of the two means).

    The step divides by its masked pieces, in however many parts it is computed.
    """
    chosen = [each.chosen for row in sequences for each in row if each.chosen is not None]
    firsts = sum(len(each) > 0 and each[0] == 0 for each in chosen)
    if not firsts:
        return [list(row) for row in sequences]
    weight = (sum(map(len, chosen)) - firsts) / firsts
    return [[replace(each, weight=weight) for each in row] for row in sequences]


def with_blanks(text: str, tokenizer: Tokenizer) -> str:
    """The text with the tokenizer's mask token for every blank that is written as ``____``."""
    return BLANK.sub(lambda _: tokenizer.mask(), text) if "___" in text else text


def with_masks_chosen(sequence: Encoded, tokenizer: Tokenizer, *, first: bool) -> Encoded:
    """The sequence with its masks for the chosen positions, behind the first token if that is read, too."""
    at_C = np.flatnonzero(sequence.ids == tokenizer.mask_id)
    return replace(sequence, chosen=np.append([0] if first else [], at_C).astype(np.int32))


def no_blank(place: Place) -> DataError:
    return DataError("there is no blank to fill; write ____ or the mask token where a word is wanted", place=place)
