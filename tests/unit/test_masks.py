"""Masks: how many, where, by what they are hidden, and that the same are drawn again."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import chisquare

from bertsmith.api import Run, train
from bertsmith.checkpoint import load_pretrained
from bertsmith.errors import SettingsError, TrainingError
from bertsmith.families import families
from bertsmith.records import Encoded, Place
from bertsmith.tasks._masking import balanced
from bertsmith.tasks._masks import Masks, piece_counts
from bertsmith.tasks.mlm import Mlm, Passage
from bertsmith.tasks.nsp import Neighbours, Nsp
from bertsmith.tokenizer import Tokenizer
from small_runs import changed, labelled, settings_of, weights, write_tsv
from tiny import PAIRS, TEXTS, write_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from bertsmith.config import Settings

KINDS = {"WordPiece": "bert", "byte-level BPE": "roberta", "SentencePiece": "xlm-roberta"}
# seeds are fixed, so a test that passes once passes always; of a right sampler one in ten thousand fails here
LEAST_P = 1e-4
LONG = " ".join(TEXTS)


@pytest.fixture(scope="module", params=[*KINDS.values()], ids=[*KINDS])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp(request.param)
    write_tokenizer(families()[request.param], folder)
    return Tokenizer.from_folder(folder)


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("wordpiece")
    write_tokenizer(families()["bert"], folder)
    return Tokenizer.from_folder(folder)


def encoded(tokenizer: Tokenizer, text: str = LONG, text_b: str | None = None) -> Encoded:
    (sequence,) = tokenizer.encode([text], None if text_b is None else [text_b], max_length=400)
    return sequence


def masks_of(
    tokenizer: Tokenizer,
    *,
    share: float = 0.15,
    whole_words: bool = False,
    counts_V: NDArray[np.int64] | None = None,
) -> Masks:
    return Masks.of(tokenizer, share=share, whole_words=whole_words, counts_V=counts_V)


def many(masks: Masks, sequence: Encoded, times: int) -> Iterator[Encoded]:
    return (masks.drawn(sequence, seed=7, epoch=0, row=row) for row in range(times))


def maskable(tokenizer: Tokenizer, sequence: Encoded) -> NDArray[np.int64]:
    return np.flatnonzero(~np.isin(sequence.ids, sorted(tokenizer.special_ids)))


def chosen_of(sequence: Encoded) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    assert sequence.chosen is not None
    assert sequence.truth is not None
    return sequence.chosen, sequence.truth


@pytest.mark.parametrize("share", [0.01, 0.15, 0.3, 0.99])
@pytest.mark.parametrize("texts", [(LONG,), ("No.",), PAIRS[0]], ids=["long", "short", "pair"])
def test_the_share_is_exact_and_the_truth_is_what_was_there(
    tokenizer: Tokenizer, share: float, texts: tuple[str, ...]
) -> None:
    sequence = encoded(tokenizer, *texts)
    before, open_M = sequence.ids.copy(), maskable(tokenizer, sequence)
    for masked in many(masks_of(tokenizer, share=share), sequence, 50):
        chosen_C, truth_C = chosen_of(masked)
        assert len(chosen_C) == max(1, round(share * len(open_M)))
        assert chosen_C.tolist() == sorted(set(chosen_C.tolist()) & set(open_M.tolist()))
        assert {each.dtype.name for each in (chosen_C, truth_C, masked.ids)} == {"int32"}
        assert truth_C.tolist() == before[chosen_C].tolist()
        others = np.delete(np.arange(len(before)), chosen_C)
        assert masked.ids[others].tolist() == before[others].tolist()
        for name in ("second", "owner", "cut", "body", "offset", "windows", "weight"):
            assert getattr(masked, name) == getattr(sequence, name)
    assert sequence.ids.tolist() == before.tolist(), "the sequence that was given stays as it was"


@pytest.mark.parametrize("whole_words", [False, True], ids=["pieces", "whole words"])
def test_special_tokens_are_neither_chosen_nor_drawn(tokenizer: Tokenizer, whole_words: bool) -> None:
    mask = tokenizer.mask()
    sequence = encoded(tokenizer, f"It is {mask} a film {mask}", f"No. {mask}{mask} it is not 漢")
    special = np.isin(sequence.ids, sorted(tokenizer.special_ids))
    assert special.sum() >= 7
    masks = masks_of(tokenizer, share=0.9, whole_words=whole_words, counts_V=piece_counts([sequence], tokenizer))
    seen = set[int]()
    for masked in many(masks, sequence, 300):
        chosen_C, _ = chosen_of(masked)
        assert not special[chosen_C].any()
        seen |= set(masked.ids[chosen_C].tolist())
    assert seen & tokenizer.special_ids == {tokenizer.mask_id}


def test_fates(wordpiece: Tokenizer) -> None:
    """80 % masks, 10 % random pieces, 10 % as they were: with 40 of 100 pieces chosen, 2000 times."""
    sequence = encoded(wordpiece)
    fates = Counter[str]()
    for masked in many(masks_of(wordpiece, share=0.4), sequence, 2_000):
        chosen_C, truth_C = chosen_of(masked)
        now_C = masked.ids[chosen_C]
        fates["masked"] += int((now_C == wordpiece.mask_id).sum())
        fates["kept"] += int((now_C == truth_C).sum())
        fates["replaced"] += int(((now_C != wordpiece.mask_id) & (now_C != truth_C)).sum())
    count = sum(fates.values())
    # now and then a random piece is the very one that was there
    open_pieces = wordpiece.vocab_size - len(wordpiece.special_ids)
    other = 0.1 * (1 - 1 / open_pieces)
    expected = [0.8 * count, other * count, (0.2 - other) * count]
    assert chisquare([fates["masked"], fates["replaced"], fates["kept"]], expected).pvalue > LEAST_P


def replacements(masks: Masks, sequence: Encoded, times: int) -> NDArray[np.int64]:
    """How often each piece was put in the place of another, where the truth is of one kind that is never drawn."""
    drawn = np.zeros(len(masks.open_V), np.int64)
    for masked in many(masks, sequence, times):
        chosen_C, truth_C = chosen_of(masked)
        now_C = masked.ids[chosen_C]
        np.add.at(drawn, now_C[(now_C != masks.mask_id) & (now_C != truth_C)], 1)
    return drawn


@pytest.mark.parametrize("random_words", ["unigram", "uniform"])
def test_random_pieces_follow_the_counts(wordpiece: Tokenizer, random_words: str) -> None:
    counts_V = piece_counts([encoded(wordpiece)], wordpiece)
    pieces = np.flatnonzero(counts_V)
    rare = int(pieces[counts_V[pieces].argmin()])
    # a text of one word, which the counts do not know: whatever else stands there was drawn
    counts_V[rare] = 0
    given = counts_V if random_words == "unigram" else None
    masks = masks_of(wordpiece, share=0.99, counts_V=given)
    sequence = encoded(wordpiece)
    sequence = replace(sequence, ids=np.where(masks.open_V[sequence.ids], rare, sequence.ids).astype(np.int32))
    drawn = replacements(masks, sequence, 2_000)
    weight_V = counts_V.astype(float) if random_words == "unigram" else masks.open_V.astype(float)
    weight_V[rare] = 0
    assert drawn[weight_V == 0].sum() == 0, "a piece that is not in the data is never drawn"
    assert drawn.sum() > 10_000
    open_V = weight_V > 0
    expected = weight_V[open_V] / weight_V.sum() * drawn.sum()
    assert chisquare(drawn[open_V], expected).pvalue > LEAST_P


def test_counts_are_of_the_pieces_but_special_tokens(tokenizer: Tokenizer) -> None:
    sequences = [encoded(tokenizer, text) for text in TEXTS]
    expected = Counter(piece for sequence in sequences for piece in sequence.ids.tolist())
    counts_V = piece_counts(iter(sequences), tokenizer)
    assert len(counts_V) == tokenizer.vocab_size
    assert {piece: count for piece, count in enumerate(counts_V.tolist()) if count} == {
        piece: count for piece, count in expected.items() if piece not in tokenizer.special_ids
    }


@pytest.mark.parametrize("text_b", [None, PAIRS[3][1]], ids=["text", "pair"])
def test_each_position_is_as_likely_as_any_other(tokenizer: Tokenizer, text_b: str | None) -> None:
    sequence = encoded(tokenizer, TEXTS[1], text_b)
    open_M = maskable(tokenizer, sequence)
    times_N = np.zeros(len(sequence), np.int64)
    for masked in many(masks_of(tokenizer), sequence, 3_000):
        times_N[chosen_of(masked)[0]] += 1
    assert times_N.sum() == times_N[open_M].sum()
    # drawn without putting back, the counts vary less than chisquare takes them to
    left = 1 - times_N.sum() / 3_000 / len(open_M)
    statistic = chisquare(times_N[open_M])
    assert statistic.pvalue > LEAST_P
    assert statistic.statistic < left * (len(open_M) + 5 * (2 * len(open_M)) ** 0.5)


# The same masks again, or others.


def bits(sequence: Encoded) -> tuple[bytes, bytes, bytes]:
    chosen_C, truth_C = chosen_of(sequence)
    return sequence.ids.tobytes(), chosen_C.tobytes(), truth_C.tobytes()


@pytest.mark.parametrize("whole_words", [False, True], ids=["pieces", "whole words"])
def test_masks_are_a_function_of_seed_epoch_row_and_window(tokenizer: Tokenizer, whole_words: bool) -> None:
    masks, sequence = masks_of(tokenizer, whole_words=whole_words), encoded(tokenizer)
    as_drawn = masks.drawn(sequence, seed=1, epoch=2, row=3)
    np.random.seed(5)  # nobody else's random numbers are used
    again = masks_of(tokenizer, whole_words=whole_words).drawn(replace(sequence, owner=9), seed=1, epoch=2, row=3)
    assert bits(again) == bits(as_drawn)
    others = [
        masks.drawn(sequence, seed=2, epoch=2, row=3),
        masks.drawn(sequence, seed=1, epoch=3, row=3),
        masks.drawn(sequence, seed=1, epoch=2, row=4),
        masks.drawn(sequence, seed=1, epoch=3, row=2),
        masks.drawn(replace(sequence, offset=7), seed=1, epoch=2, row=3),
    ]
    assert len({bits(each) for each in [as_drawn, *others]}) == 6


def test_fixed_masks_depend_on_the_pieces_alone(tokenizer: Tokenizer) -> None:
    masks, sequence = masks_of(tokenizer), encoded(tokenizer)
    fixed = masks.fixed(sequence)
    same = replace(sequence, ids=sequence.ids.astype(np.int32, copy=True), owner=5, offset=40, windows=3, weight=2.0)
    assert bits(masks.fixed(same)) == bits(fixed)
    assert bits(masks.fixed(encoded(tokenizer, LONG[:-1]))) != bits(fixed)


def test_rows_are_scored_with_the_same_masks_whatever_stands_beside_them(tokenizer: Tokenizer) -> None:
    task = Mlm()
    passages = [Passage(text, Place("here", line)) for line, text in enumerate([*TEXTS, LONG])]
    together = task.for_scoring(task.encode(passages, tokenizer, max_length=40), tokenizer)
    assert len(together[-1]) > 1
    for passage, expected in zip(passages, together, strict=True):
        (alone,) = task.for_scoring(task.encode([passage], tokenizer, max_length=40), tokenizer)
        assert [bits(each) for each in alone] == [bits(each) for each in expected]


@pytest.mark.parametrize("task", [Mlm(), Nsp()], ids=["mlm", "nsp"])
def test_blanks_that_are_written_are_not_asked_for(task: Any, tokenizer: Tokenizer) -> None:
    """What belongs there is not known, in training as in scoring: only pieces of the text are hidden."""
    place = Place("here", 1)
    text, text_b = "It is ____ what ___ it is", f"It is not {tokenizer.mask()} what it was"
    example = Passage(text, place) if task.name == "mlm" else Neighbours(text, text_b, True, place)
    sequences = task.encode([example], tokenizer, max_length=90)
    blanks = np.flatnonzero(sequences[0][0].ids == tokenizer.mask_id)
    assert len(blanks) == (2 if task.name == "mlm" else 3)
    assert {*blanks.tolist()} <= {*sequences[0][0].chosen.tolist()}
    draw = task.drawing(task.for_training([example], sequences).encoded, tokenizer)
    in_training = [draw([0], 1, epoch)[0][0] for epoch in range(50)]
    for sequence in (*in_training, *task.for_scoring(sequences, tokenizer)[0]):
        chosen_C, truth_C = chosen_of(sequence)
        assert not {*blanks.tolist()} & {*chosen_C.tolist()}
        assert (sequence.ids[blanks] == tokenizer.mask_id).all()
        if task.name == "nsp":
            assert chosen_C[0] == 0
            chosen_C, truth_C = chosen_C[1:], truth_C[1:]
        assert truth_C.tolist() == sequences[0][0].ids[chosen_C].tolist()


# Whole words.

WORDY = (
    "Nobody plays friendly guitars tomorrow; evening critics gladly say so, minutely and unfriendly, of the filmy jokes"
)


def words_of(tokenizer: Tokenizer, text: str, sequence: Encoded) -> list[list[int]]:
    """The positions of each word's pieces, found by their characters.

    A word stands between blanks; for WordPiece a sign of punctuation is a word of its own.
    """
    (spanned,) = tokenizer.encode([text], max_length=400, spans=True)
    assert spanned.ids.tolist() == sequence.ids.tolist()
    assert spanned.spans is not None
    pattern = r"\w+|[^\w\s]" if tokenizer.mask() == "[MASK]" else r"\S+"
    spans = [match.span() for match in re.finditer(pattern, text)]
    words: list[list[int]] = [[] for _ in spans]
    for position, (start, stop) in enumerate(spanned.spans.tolist()):
        if start >= 0:
            # a piece of a blank alone belongs to the word behind it
            behind = (number for number, (_, end) in enumerate(spans) if end > start and (end >= stop))
            words[next(behind)].append(position)
    return words


def test_words_are_chosen_whole(tokenizer: Tokenizer) -> None:
    sequence = encoded(tokenizer, WORDY)
    words = words_of(tokenizer, WORDY, sequence)
    assert max(map(len, words)) > 3
    assert sorted(position for word in words for position in word) == maskable(tokenizer, sequence).tolist()
    chosen_words = Counter[int]()
    for masked in many(masks_of(tokenizer, whole_words=True), sequence, 300):
        chosen = {*chosen_of(masked)[0].tolist()}
        for number, word in enumerate(words):
            assert not chosen & {*word} or {*word} <= chosen, "a word is hidden whole or not at all"
            chosen_words[number] += {*word} <= chosen
    assert len(+chosen_words) == len(words), "every word has its turn"


def test_a_word_ends_at_a_special_token_and_at_the_sequences_start(tokenizer: Tokenizer) -> None:
    """Pieces that continue a word are no part of what stands before a special token, or in another window."""
    sequence = encoded(tokenizer, WORDY)
    inside = [piece for piece in sequence.ids.tolist() if tokenizer.continues[piece]][:3]
    mask = tokenizer.mask_id
    assert mask is not None
    # [CLS] a [MASK] b c [SEP], all of a, b and c going on with a word that is not there
    ids = [int(sequence.ids[0]), inside[0], mask, inside[1], inside[2], int(sequence.ids[-1])]
    parted = replace(sequence, ids=np.array(ids, np.int32), second=6, body=(1, 5))
    found = {tuple(chosen_of(each)[0].tolist()) for each in many(masks_of(tokenizer, whole_words=True), parted, 100)}
    assert found == {(1,), (3, 4)}


@pytest.mark.parametrize("share", [0.15, 0.3])
def test_whole_words_keep_the_share_on_the_average(tokenizer: Tokenizer, share: float) -> None:
    text = f"{WORDY}. {LONG}"
    sequence = encoded(tokenizer, text)
    wanted = round(share * len(maskable(tokenizer, sequence)))
    masks = masks_of(tokenizer, share=share, whole_words=True)
    found = np.array([len(chosen_of(each)[0]) for each in many(masks, sequence, 4_000)])
    assert abs(found.mean() - wanted) < 4 * found.std() / len(found) ** 0.5
    words = words_of(tokenizer, text, sequence)
    assert found.max() < wanted + max(map(len, words))
    assert found.min() > wanted - max(map(len, words))


def test_words_of_one_length_are_as_likely_as_each_other(wordpiece: Tokenizer) -> None:
    sequence = encoded(wordpiece, WORDY)
    words = words_of(wordpiece, WORDY, sequence)
    times = Counter[int]()
    for masked in many(masks_of(wordpiece, whole_words=True, share=0.3), sequence, 4_000):
        times.update(chosen_of(masked)[0].tolist())
    for length in {*map(len, words)}:
        alike = [times[word[0]] for word in words if len(word) == length]
        assert len(alike) == 1 or chisquare(alike).pvalue > LEAST_P


# Rows with nothing to hide.


@pytest.mark.parametrize("whole_words", [False, True], ids=["pieces", "whole words"])
@pytest.mark.parametrize("text", ["", "漢 語 漢", "[MASK]"], ids=["empty", "unknown", "mask"])
def test_a_row_without_pieces_to_hide(wordpiece: Tokenizer, text: str, whole_words: bool) -> None:
    sequence = encoded(wordpiece, text)
    assert not len(maskable(wordpiece, sequence))
    masks = masks_of(wordpiece, whole_words=whole_words)
    for masked in (masks.drawn(sequence, seed=1, epoch=0, row=0), masks.fixed(sequence)):
        chosen_C, truth_C = chosen_of(masked)
        assert len(chosen_C) == len(truth_C) == 0
        assert masked.ids.tolist() == sequence.ids.tolist()


def test_a_vocabulary_without_random_words_is_refused(wordpiece: Tokenizer) -> None:
    with pytest.raises(SettingsError, match="there is no piece to draw random words from, but special tokens"):
        masks_of(wordpiece, counts_V=np.zeros(wordpiece.vocab_size, np.int64))


# Steps of pairs.


def test_pairs_count_as_much_as_pieces(wordpiece: Tokenizer) -> None:
    """Divided by the step's masked pieces, the weighted sum over pairs is their mean."""
    task, place = Nsp(), Place("here", 1)
    examples = [Neighbours(text, text_b, True, place) for text, text_b in PAIRS]
    chosen = task.for_training(examples, task.encode(examples, wordpiece, max_length=60))
    rows = task.drawing(chosen.encoded, wordpiece)([2, 0, 3], 1, 0)
    pieces = sum(len(chosen_of(each)[0]) - 1 for row in rows for each in row)
    assert {each.weight for row in rows for each in row} == {pieces / 3}
    # texts alone have no loss of their own beside their pieces'
    alone = [Mlm().for_scoring([[encoded(wordpiece)]], wordpiece)[0]]
    assert [[each.weight for each in row] for row in balanced(alone)] == [[1.0]]


# Runs.


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a run of 12 steps in three epochs."""
    rows = [(text, "-") for text, _ in labelled(20)]
    return settings_of(
        train=write_tsv(tmp_path / "train.tsv", rows),
        out=tmp_path / "out",
        max_steps=12,
        batch_size=5,
        save_every=2,
        evals_per_epoch=2,
        dev_fraction=0.2,
    )


def after(steps: int) -> Callable[[], bool]:
    left = iter(range(steps - 1, -1, -1))
    return lambda: next(left) == 0


def assert_same(one: Run, other: Run) -> None:
    assert changed(weights(one.bundle.model), weights(other.bundle.model)) == set()
    assert (one.folder / "model.safetensors").read_bytes() == (other.folder / "model.safetensors").read_bytes()
    assert one.bundle.task == other.bundle.task
    assert one.evaluation is not None
    assert other.evaluation is not None
    assert one.evaluation.record() == other.evaluation.record()


@pytest.mark.parametrize("steps", [1, 6, 11])
@pytest.mark.parametrize("task", [Mlm(mask_share=0.3), Mlm(mask_share=0.3, whole_words=True)], ids=["pieces", "words"])
def test_a_resumed_run_draws_the_masks_of_the_whole_one(settings: Settings, task: Mlm, steps: int) -> None:
    assert settings.out is not None
    with pytest.raises(TrainingError, match=rf"^stopped after step {steps}"):
        train(task, settings, stop=after(steps))
    whole = train(task, settings.model_copy(update={"out": settings.out.with_name("whole")}))
    assert_same(train(task, settings, resume=True), whole)


def test_another_seed_draws_other_masks(settings: Settings) -> None:
    assert settings.out is not None
    fixed = {"head_seed": 1, "order_seed": 1, "dropout_seed": 1, "dev_fraction": 0.0, "dropout": 0.0}
    one, two = (
        train(Mlm(), settings.model_copy(update={**fixed, "seed": seed, "out": settings.out.with_name(f"out{seed}")}))
        for seed in (1, 2)
    )
    assert changed(weights(one.bundle.model), weights(two.bundle.model))


def test_what_was_learned_of_the_pieces_is_their_entropy(settings: Settings) -> None:
    """… of training's pieces, so that the baseline is what one knows without a model."""
    run = train(Mlm(), settings.model_copy(update={"max_steps": 1}))
    task = run.bundle.task
    assert isinstance(task, Mlm)
    assert task.unigram_loss is not None
    assert task.unigram_accuracy is not None
    assert 0 < task.unigram_loss <= np.log(22)
    assert 1 / 22 <= task.unigram_accuracy < 0.5
    assert run.evaluation is not None
    baseline = run.evaluation.scores.baseline
    assert baseline["loss"].value == pytest.approx(task.unigram_loss)
    assert baseline["perplexity"].value == pytest.approx(np.exp(task.unigram_loss))
    assert load_pretrained(run.folder).tokenizer.mask_id is not None
