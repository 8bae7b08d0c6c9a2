"""What a model of masked words and next sentences tells by itself: words for blanks, whether a text follows another,
whether sentences stand in order, how likely a text is.

Everything takes a Predictor, or the name of a model: a bundle, or an encoder with a masked-word head.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from bertsmith.bundle import MANIFEST, Bundle, new_model
from bertsmith.checkpoint import load_pretrained
from bertsmith.errors import BundleError, InputError, SettingsError
from bertsmith.infer import Predictor
from bertsmith.infer.engine import BATCH_TOKENS, BATCH_TOKENS_ELSEWHERE, batches, pick_device, predict_encoded
from bertsmith.nn.heads import first_of_each
from bertsmith.records import IS_NEXT, Place
from bertsmith.tasks._masking import Filled, MaskingTask, with_blanks
from bertsmith.tasks.mlm import Mlm, Passage
from bertsmith.tasks.nsp import Nsp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from bertsmith.records import Encoded
    from bertsmith.tokenizer import Tokenizer

# Texts that are filled at a time, so that sequences of like length can share a batch.
TEXTS_AT_ONCE = 256
# As many batches' tokens are laid out at a time where a text is scored piece by piece: a sequence for each piece.
BATCHES_AT_ONCE = 8

MASKED_WORDS = (
    "models that have one: transformers' …ForMaskedLM and BertForPreTraining, and those that 'bertsmith adapt' and "
    "'bertsmith pretrain' write"
)
NEXT_SENTENCE = (
    "models that have one: BERT checkpoints with a next-sentence head (transformers' BertForPreTraining), and those "
    "that 'bertsmith pretrain' and 'bertsmith adapt --next-sentence' write"
)


def opened(model: Predictor | str | Path, *, device: str = "auto") -> Predictor:
    """A model with a masked-word head: a bundle of task mlm or nsp, or an encoder as `checkpoint.find` finds it.

    An encoder that has both of BERT's own heads opens with both.
    Raises InputError for a model without a masked-word head, and what `load` raises for one that cannot be opened.
    """
    if isinstance(model, Predictor):
        return _checked(model)
    folder, place = Path(model), Place(str(model))
    if (folder / MANIFEST).is_file() or (folder.parent / f"{folder.name}.partial").is_dir():
        # float32, since what is asked here compares small differences; of a run that has not ended, says so
        return _checked(Predictor.load(folder, device=pick_device(device), precision="fp32"), place)
    return _checked(Predictor(_pretrained(model), device=pick_device(device)), place)


def fill(model: Predictor | str | Path, texts: Sequence[str], *, top: int = 5) -> list[Filled]:
    """For every text its blanks, written ``____`` or as the mask token, each with the `top` likeliest pieces and their
    probabilities; several blanks are filled each as if the others stayed blank (Devlin et al. 2019, §3.1, Task #1).

    A blank holds one piece of the vocabulary. Of a text longer than the model reads at once, each blank is filled from
    the pieces nearest to it.
    Raises InputError, naming the text, for one without a blank.
    """
    return [filled for _, filled in fills(opened(model), _passages(texts, "fill"), top=top)]


def fills(predictor: Predictor, passages: Iterable[Passage], *, top: int = 5) -> Iterator[tuple[Passage, Filled]]:
    """`fill` for a stream of texts, in their order, each with what it is filled with."""
    if not 1 <= top <= 1000:
        raise SettingsError(f"top must be from 1 to 1000, got {top}")
    bundle, task = predictor.bundle, Mlm(top=top)
    passages = iter(passages)
    while chunk := list(islice(passages, TEXTS_AT_ONCE)):
        encoded = [list(_blanked(passage, bundle)) for passage in chunk]
        for passage, found in zip(chunk, predict_encoded(task, bundle.model, chunk, encoded), strict=True):
            filled = task.spelled(found, passage, bundle.tokenizer)
            assert isinstance(filled, Filled), "what is not masked by chance is filled, not scored"
            yield passage, filled


def next_sentence(model: Predictor | str | Path, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """For every pair of texts the probability that the second follows the first (Devlin et al. 2019, §3.1, Task #2).

    It was learned from true pairs and from pairs with a text of another document, half and half. A pair longer than
    the model reads loses the end of its longer text.
    Raises InputError, naming the pair, for what is no pair of texts; for a model without a next-sentence head.
    """
    for number, pair in enumerate(pairs, start=1):
        place = Place(f"pair {number}")
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InputError(f"must be two texts, as in ('a text', 'the next one'), got {pair!r}", place=place)
        for text in pair:
            _check_text(text, place)
    return [math.exp(joint.log_probability) for joint in joints(opened(model), pairs)]


@dataclass(frozen=True, slots=True)
class Joint:
    """Where two texts meet. log_probability: that the second follows the first, in nats. cut: how many of their pieces
    the model did not read, to keep within its limit."""

    log_probability: float
    cut: int


def joints(predictor: Predictor, pairs: Sequence[tuple[str, str]]) -> list[Joint]:
    """`next_sentence` in logarithms, which tell near-certain pairs apart. Raises as it does."""
    bundle = predictor.bundle
    if not isinstance(bundle.task, Nsp):
        raise InputError(f"this model ({bundle.task.name}) has no next-sentence head; {NEXT_SENTENCE}")
    encoded = bundle.tokenizer.encode([a for a, _ in pairs], [b for _, b in pairs], max_length=bundle.max_length)
    first = np.zeros(1, dtype=np.int32)
    sequences = [replace(each, owner=0, chosen=first) for each in encoded]
    found = np.empty(len(sequences))
    for group, _, output in batches(bundle.model, sequences, (None,)):
        found[group] = F.log_softmax(output["next"].double(), dim=1)[:, IS_NEXT].cpu().numpy()
    return [Joint(float(value), each.cut) for value, each in zip(found, encoded, strict=True)]


@dataclass(frozen=True, slots=True)
class Coherence:
    """How well the order of a text's sentences reads beside other orders of them.

    score: the mean log-probability, in nats, that a sentence follows the one before it; 0 is certainty.
    shuffled: the same for each of the other orders. share: of those, how many the text's own order beats, ties half;
    0.5 is chance. joints: the log-probability of each pair of neighbours, joint i between sentences i and i + 1.
    weakest: the index of the least of them. cut: how many neighbouring pairs were too long to be read whole.
    """

    score: float
    shuffled: tuple[float, ...]
    share: float
    joints: tuple[float, ...]
    weakest: int
    cut: int = 0

    @property
    def beaten(self) -> float:
        """How many of the other orders the text's own beats, ties half."""
        return self.share * len(self.shuffled)

    def record(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "score": self.score,
            "share": self.share,
            "shuffles": len(self.shuffled),
            "shuffled": list(self.shuffled),
            "joints": list(self.joints),
            "weakest": self.weakest,
            **({"cut": self.cut} if self.cut else {}),
        }


def coherence(
    model: Predictor | str | Path, sentences: Sequence[str], *, shuffles: int = 20, seed: int = 1
) -> Coherence:
    """Does this order of sentences read better than others? The sentence-ordering test of Barzilay & Lapata (2008, §4),
    with the next-sentence probabilities of neighbours for the measure of an order.

    shuffles: how many other orders are drawn, all different; all there are, where these are fewer. A sentence that
    comes twice makes no new order by changing places with itself. Every pair is computed once: time grows with the
    square of the number of sentences at most, and not with `shuffles` beyond that.
    Raises InputError for fewer than two different sentences; for a model without a next-sentence head.
    """
    if isinstance(sentences, str):
        raise InputError("coherence takes a list of sentences, got one text")
    for number, sentence in enumerate(sentences, start=1):
        _check_text(sentence, Place(f"sentence {number}"))
    if shuffles < 1:
        raise SettingsError(f"shuffles must be at least 1, got {shuffles}")
    if seed < 0:
        raise SettingsError(f"seed must be at least 0, got {seed}")
    if len(set(sentences)) < 2:
        found = f"{len(sentences)}" if len(sentences) < 2 else f"{len(sentences)} that are all the same"
        raise InputError(f"the order of sentences needs at least two different ones, got {found}")
    known = {sentence: number for number, sentence in reversed(list(enumerate(sentences)))}
    own = tuple(known[sentence] for sentence in sentences)
    orders = other_orders(own, most=shuffles, seed=seed)
    needed = sorted({pair for order in (own, *orders) for pair in pairwise(order)})
    found_of = dict(zip(needed, joints(opened(model), [(sentences[a], sentences[b]) for a, b in needed]), strict=True))
    log_of = {pair: joint.log_probability for pair, joint in found_of.items()}
    return replace(compared(own, orders, log_of), cut=sum(found_of[pair].cut > 0 for pair in pairwise(own)))


def compared(own: Sequence[int], orders: Sequence[Sequence[int]], log_of: Mapping[tuple[int, int], float]) -> Coherence:
    """An order beside others. log_of: the log-probability of each pair that is somewhere a pair of neighbours."""

    def mean(order: Sequence[int]) -> float:
        # fsum: orders with the same pairs at other places tie exactly
        return math.fsum(log_of[pair] for pair in pairwise(order)) / (len(order) - 1)

    score, shuffled = mean(own), tuple(map(mean, orders))
    here = tuple(log_of[pair] for pair in pairwise(own))
    won = sum(score > other for other in shuffled) + sum(score == other for other in shuffled) / 2
    return Coherence(score, shuffled, won / len(shuffled), here, here.index(min(here)))


def other_orders(own: tuple[int, ...], *, most: int, seed: int) -> list[tuple[int, ...]]:
    """At most so many orders of these numbers, different from each other and from `own`, at random; all, if fewer."""
    every = math.factorial(len(own)) // math.prod(map(math.factorial, Counter(own).values()))
    generator = np.random.default_rng(seed)
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < min(most, every - 1):
        order = tuple(generator.permutation(own).tolist())
        if order != own:
            drawn[order] = None
    return list(drawn)


@dataclass(frozen=True, slots=True)
class TextScore:
    """The pseudo-log-likelihood of a text.

    words: its pieces as they are read, each with the log-probability, in nats, that it has in its place.
    whole: whether each piece was seen among all the others, and not only the nearest, in a text too long for the model.
    unknown: how many pieces are words that the vocabulary lacks; their numbers are those of the token for such words.
    """

    words: tuple[tuple[str, float], ...]
    whole: bool = True
    unknown: int = 0

    @property
    def log_likelihood(self) -> float:
        """The sum over all pieces, in nats: the PLL. Higher is likelier; a longer text has a lower one."""
        return math.fsum(value for _, value in self.words)

    @property
    def pieces(self) -> int:
        """How many pieces the text has."""
        return len(self.words)

    @property
    def per_piece(self) -> float | None:
        """The mean over the pieces, in nats, by which texts of different lengths compare; None of an empty text.

        ``exp(-mean)`` over a corpus is its pseudo-perplexity.
        """
        return self.log_likelihood / self.pieces if self.words else None

    def record(self, *, words: bool = False) -> dict[str, Any]:
        """As one JSON object. words: with every piece."""
        return {
            "log_likelihood": self.log_likelihood,
            "pieces": self.pieces,
            "per_piece": self.per_piece,
            **({"unknown": self.unknown} if self.unknown else {}),
            **({} if self.whole else {"whole": False}),
            **({"words": [{"word": word, "log_probability": value} for word, value in self.words]} if words else {}),
        }


def pseudo_log_likelihood(model: Predictor | str | Path, texts: Sequence[str]) -> list[TextScore]:
    """How likely each text is: each of its pieces is masked in turn, and the log-probabilities of the true pieces are
    summed (Salazar et al. 2020, "Masked Language Model Scoring", §2).

    A text of n pieces costs n sequences. Of a text longer than the model reads at once, nothing is cut: each piece is
    found from those nearest to it, half on either side where there are so many, and the score says so (`whole`).
    Raises InputError, naming the text, for one that holds the mask token.
    """
    return [score for _, score in scored(opened(model), _passages(texts, "pseudo_log_likelihood"))]


@dataclass(slots=True)
class _Scoring:
    """A text that is being scored. missing: how many of its pieces have no value yet."""

    passage: Passage
    piece_N: NDArray[np.int32]
    value_N: NDArray[np.float64] = field(init=False)
    missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.value_N, self.missing = np.zeros(len(self.piece_N)), len(self.piece_N)


def scored(
    predictor: Predictor, passages: Iterable[Passage], *, progress: Callable[[int, int | None], None] | None = None
) -> Iterator[tuple[Passage, TextScore]]:
    """`pseudo_log_likelihood` for a stream of texts, in their order, each with its score.

    progress: told, as they are computed, how many pieces have their numbers, and of how many: None where the passages
    are no sequence, as those of a file may not be known to their end.
    The memory does not grow with a text's length: a few batches of sequences are laid out at a time.
    """
    bundle = predictor.bundle
    every: int | None = None
    if progress is not None and isinstance(passages, Sequence):
        every = sum(len(_pieces_to_score(passage, bundle.tokenizer)) for passage in passages)
    open_texts: deque[_Scoring] = deque()
    waiting: list[tuple[_Scoring, int, Encoded]] = []
    room = BATCHES_AT_ONCE * BATCH_TOKENS.get(bundle.model.device.type, BATCH_TOKENS_ELSEWHERE)
    tokens = pieces = 0

    def compute() -> Iterator[tuple[Passage, TextScore]]:
        nonlocal tokens, pieces
        for group, values in _true_log_probabilities(bundle, [sequence for *_, sequence in waiting]):
            for index, value in zip(group, values, strict=True):
                scoring, position, _ = waiting[index]
                scoring.value_N[position] = value
                scoring.missing -= 1
            pieces += len(group)
            if progress is not None:
                progress(pieces, every)
        waiting.clear()
        tokens = 0
        while open_texts and not open_texts[0].missing:
            done = open_texts.popleft()
            yield done.passage, _text_score(done.piece_N, done.value_N, bundle)

    for passage in passages:
        scoring = _Scoring(passage, _pieces_to_score(passage, bundle.tokenizer))
        open_texts.append(scoring)
        for position, sequence in enumerate(_each_hidden(scoring.piece_N, bundle)):
            waiting.append((scoring, position, sequence))
            tokens += len(sequence)
            if tokens >= room:
                yield from compute()
    yield from compute()


def _text_score(piece_N: NDArray[np.int32], value_N: NDArray[np.float64], bundle: Bundle) -> TextScore:
    words = [bundle.tokenizer.written(piece) for piece in piece_N.tolist()]
    return TextScore(
        words=tuple(zip(words, value_N.tolist(), strict=True)),
        whole=len(words) <= _room(bundle),
        unknown=int((piece_N == bundle.tokenizer.unk_id).sum()),
    )


def _true_log_probabilities(bundle: Bundle, sequences: Sequence[Encoded]) -> Iterator[tuple[list[int], list[float]]]:
    """For sequences with one masked piece each, batch by batch: where they stand, the log-probability of the truth."""
    for group, batch, output in batches(bundle.model, sequences, (None,)):
        assert batch.truth_C is not None, "what is masked here is known"
        truth_S = batch.truth_C
        if _reads_first(bundle):
            truth_S = truth_S[~first_of_each(batch.layout.chosen_counts, device=truth_S.device)]
        loss_S: Tensor = F.cross_entropy(output["logits"].float(), truth_S, reduction="none")
        yield group, (-loss_S).to(torch.float64).cpu().tolist()


def _each_hidden(piece_N: NDArray[np.int32], bundle: Bundle) -> Iterator[Encoded]:
    """A sequence for each piece, in which that piece is masked; of a long text the part around it."""
    mask_id = bundle.tokenizer.mask_id
    assert mask_id is not None, "an opened model has a mask token"
    frame, framed = None, -1
    for position in range(len(piece_N)):
        start = _start_around(position, len(piece_N), _room(bundle))
        if frame is None or start != framed:
            frame, framed = bundle.tokenizer.frame(piece_N[start : start + _room(bundle)]), start
        at = frame.body[0] + position - start
        ids = frame.ids.copy()
        ids[at] = mask_id
        yield _asked(replace(frame, ids=ids), [at], [int(piece_N[position])], bundle)


def _blanked(passage: Passage, bundle: Bundle) -> Iterator[Encoded]:
    """The text with its blanks masked, or, if it is too long, the part around each blank."""
    tokenizer = bundle.tokenizer
    piece_N = _pieces(replace(passage, text=with_blanks(passage.text, tokenizer)), tokenizer)
    blanks = np.flatnonzero(piece_N == tokenizer.mask_id).tolist()
    if not blanks:
        raise InputError(
            f"there is no blank to fill in {_short(passage.text)}; write ____ (or {tokenizer.mask()}) where a word is "
            "wanted",
            place=passage.place,
        )
    room = _room(bundle)
    for together in [blanks] if len(piece_N) <= room else [[blank] for blank in blanks]:
        start = _start_around(together[0], len(piece_N), room)
        frame = tokenizer.frame(piece_N[start : start + room])
        yield _asked(frame, [frame.body[0] + blank - start for blank in together], None, bundle)


def _asked(sequence: Encoded, at: Sequence[int], truth: Sequence[int] | None, bundle: Bundle) -> Encoded:
    """The sequence with these positions for the head to read, behind the first token where it reads that, too."""
    first = [0] if _reads_first(bundle) else []
    return replace(
        sequence,
        chosen=np.array([*first, *at], dtype=np.int32),
        truth=None if truth is None else np.array([*(-1 for _ in first), *truth], dtype=np.int32),
    )


def _start_around(position: int, count: int, room: int) -> int:
    """Where the `room` pieces begin that are nearest to a position: half on either side, but for the text's ends."""
    return max(0, min(position - room // 2, count - room))


def _room(bundle: Bundle) -> int:
    """How many pieces of a text the model reads at once."""
    return bundle.max_length - bundle.tokenizer.overhead(pair=False)


def _reads_first(bundle: Bundle) -> bool:
    return isinstance(bundle.task, Nsp)


def _pieces(passage: Passage, tokenizer: Tokenizer) -> NDArray[np.int32]:
    _check_text(passage.text, passage.place)
    return np.array(next(tokenizer.pieces([passage.text])), dtype=np.int32)


def _pieces_to_score(passage: Passage, tokenizer: Tokenizer) -> NDArray[np.int32]:
    piece_N = _pieces(passage, tokenizer)
    if (piece_N == tokenizer.mask_id).any():
        raise InputError(
            f"holds the mask token {tokenizer.mask()}, and only a text without blanks has a likelihood: "
            f"{_short(passage.text)}",
            place=passage.place,
        )
    return piece_N


def _passages(texts: Sequence[str], function: str) -> list[Passage]:
    if isinstance(texts, str):
        raise InputError(f"{function} takes a list of texts, got one text; write [text]")
    passages = [Passage(text, Place(f"text {number}")) for number, text in enumerate(texts, start=1)]
    for passage in passages:
        _check_text(passage.text, passage.place)
    return passages


def _check_text(text: object, place: Place) -> None:
    if not isinstance(text, str):
        raise InputError(f"must be a text, got {text!r}", place=place)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"is no valid Unicode: {_short(text)}", place=place) from None


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")


def _checked(predictor: Predictor, place: Place | None = None) -> Predictor:
    """The predictor. place: the model's name, if it has one."""
    task = predictor.bundle.task
    if not isinstance(task, MaskingTask):
        raise InputError(f"this is a {task.name} model, which has no masked-word head; {MASKED_WORDS}")
    if predictor.bundle.tokenizer.mask_id is None:
        raise InputError("the tokenizer has no mask token, which masked words need", place=place)
    return predictor


def _pretrained(name: str | Path) -> Bundle:
    """An encoder with those of the heads of its pretraining that are whole: both, or that for masked words."""
    pretrained = load_pretrained(name)
    for task in (Nsp(), Mlm()):
        if task.head_kind not in pretrained.family.heads:
            continue
        model, fresh = new_model(task, pretrained, generator=torch.Generator())
        if not fresh:
            return Bundle(
                task=task,
                model=model.eval(),
                tokenizer=pretrained.tokenizer,
                family=pretrained.family,
                max_length=pretrained.max_length,
                raw_config=pretrained.raw_config,
            )
    raise BundleError(
        f"{name}: this encoder has no masked-word head, so it cannot say which word fits; train one on your texts "
        f"with: bertsmith adapt texts.txt --encoder {name} --out runs/adapted"
    )
