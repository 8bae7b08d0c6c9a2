"""What models of masked words and next sentences tell by themselves, beside transformers doing it the long way."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    pipeline,
)

import bertsmith
from bertsmith.checkpoint import load_pretrained
from bertsmith.errors import BundleError, InputError, SettingsError
from bertsmith.families import families
from bertsmith.infer import Predictor, engine, language
from bertsmith.records import Place
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.mlm import Mlm, Passage
from bertsmith.tasks.nsp import Nsp
from tiny import PAIRS, TEXTS, Case, bundle_of, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LONG = " ".join(TEXTS * 3)
BLANKS = ("A fine ____, and not a ___ too long.", "The plot is [MASK]; the jokes are old.", "____")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random checkpoints as transformers saves them, by the heads that they have."""
    made = {}
    for name, family, auto in (
        ("both", "bert", AutoModelForPreTraining),
        ("masked", "bert", AutoModelForMaskedLM),
        ("roberta", "roberta", AutoModelForMaskedLM),
        ("none", "bert", AutoModel),
        ("labels", "bert", AutoModelForSequenceClassification),
    ):
        made[name] = tmp_path_factory.mktemp(name)
        write_checkpoint(Case(families()[family]), made[name], auto=auto)
    return made


@pytest.fixture(scope="module")
def both(checkpoints: dict[str, Path]) -> Predictor:
    return language.opened(checkpoints["both"], device="cpu")


@pytest.fixture(scope="module")
def masked(checkpoints: dict[str, Path]) -> Predictor:
    return language.opened(checkpoints["masked"], device="cpu")


# Blanks


@pytest.mark.parametrize("name", ["masked", "both", "roberta"])
def test_blanks_are_filled_as_the_pipeline_of_transformers_fills_them(name: str, checkpoints: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoints[name])
    model = AutoModelForMaskedLM.from_pretrained(checkpoints[name])
    theirs: Any = pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=4, device="cpu")
    texts = [text.replace("[MASK]", tokenizer.mask_token) for text in BLANKS]
    for text, filled in zip(texts, bertsmith.fill(checkpoints[name], texts, top=4), strict=True):
        found = theirs(text.replace("____", tokenizer.mask_token).replace("___", tokenizer.mask_token))
        wanted = found if isinstance(found[0], list) else [found]
        assert [[each.id for each in blank] for blank in filled.blanks] == [
            [each["token"] for each in blank] for blank in wanted
        ]
        ours = [each.probability for blank in filled.blanks for each in blank]
        assert ours == pytest.approx([each["score"] for blank in wanted for each in blank], rel=1e-4)
        words = iter([blank[0].word for blank in filled.blanks])
        assert filled.text == "".join(
            part if number % 2 == 0 else next(words)
            for number, part in enumerate(around_blanks(text, tokenizer.mask_token))
        )


def around_blanks(text: str, mask: str) -> list[str]:
    """The text cut at its blanks, these at the odd places."""
    for blank in ("____", "___"):
        text = text.replace(blank, mask)
    return list(itertools.chain.from_iterable((part, mask) for part in text.split(mask)))[:-1]


def test_filling_does_not_depend_on_company(both: Predictor) -> None:
    together = bertsmith.fill(both, [*BLANKS, *BLANKS[::-1]])
    alone = [bertsmith.fill(both, [text])[0] for text in BLANKS]
    for ours, theirs in zip(together, [*alone, *alone[::-1]], strict=True):
        for blank, other in zip(ours.blanks, theirs.blanks, strict=True):
            assert [each.word for each in blank] == [each.word for each in other]
            assert [each.probability for each in blank] == pytest.approx([each.probability for each in other], rel=1e-4)


@pytest.mark.parametrize("name", ["masked", "both"])
def test_every_blank_of_a_long_text_is_filled_from_what_is_around_it(name: str, checkpoints: dict[str, Path]) -> None:
    predictor = language.opened(checkpoints[name], device="cpu")
    text = f"____ {LONG} ____ {LONG} ____"
    (filled,) = bertsmith.fill(predictor, [text], top=3)
    tokenizer, room = predictor.bundle.tokenizer, predictor.bundle.max_length - 2
    (pieces,) = tokenizer.pieces([text.replace("____", "[MASK]")])
    blanks = [index for index, piece in enumerate(pieces) if piece == tokenizer.mask_id]
    assert len(pieces) > 2 * room
    model = AutoModelForMaskedLM.from_pretrained(checkpoints[name])
    for blank, at in zip(filled.blanks, blanks, strict=True):
        start = max(0, min(at - room // 2, len(pieces) - room))
        ids = [2, *pieces[start : start + room], 3]
        with torch.inference_mode():
            probability_V = model(torch.tensor([ids])).logits[0, 1 + at - start].softmax(0)
        assert [each.probability for each in blank] == pytest.approx(probability_V.topk(3).values.tolist(), rel=1e-4)


def test_a_text_without_a_blank_is_named(both: Predictor) -> None:
    with pytest.raises(InputError, match=r"text 2: there is no blank to fill in 'nothing _ here'; write ____"):
        bertsmith.fill(both, ["a ____", "nothing _ here"])
    with pytest.raises(InputError, match="fill takes a list of texts, got one text"):
        bertsmith.fill(both, "a ____")
    with pytest.raises(InputError, match="text 1: must be a text, got None"):
        bertsmith.fill(both, [None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="text 1: is no valid Unicode"):
        bertsmith.fill(both, ["\ud800 ____"])
    for top in (0, 1001):
        with pytest.raises(SettingsError, match=f"top must be from 1 to 1000, got {top}"):
            bertsmith.fill(both, ["a ____"], top=top)
    assert bertsmith.fill(both, []) == []


# Next sentences


def reference_of_next(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[float]:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForPreTraining.from_pretrained(folder)
    found = []
    for a, b in pairs:
        with torch.inference_mode():
            output = model(**tokenizer(a, b, truncation=True, max_length=92, return_tensors="pt"))
        found.append(output.seq_relationship_logits[0].softmax(0)[0].item())
    return found


def test_next_sentence_is_that_of_transformers(both: Predictor, checkpoints: dict[str, Path]) -> None:
    pairs = [*PAIRS, (LONG, "No."), *PAIRS[::-1]]
    wanted = reference_of_next(checkpoints["both"], pairs)
    assert bertsmith.next_sentence(both, pairs) == pytest.approx(wanted, rel=1e-4)
    assert bertsmith.next_sentence(checkpoints["both"], pairs[:1]) == pytest.approx(wanted[:1], rel=1e-4)
    assert [joint.cut > 0 for joint in language.joints(both, pairs)] == [pair[0] == LONG for pair in pairs]
    assert bertsmith.next_sentence(both, []) == []
    # as `predict` gives it
    assert [each.follows for each in both.predict(PAIRS)] == pytest.approx(wanted[: len(PAIRS)], rel=1e-4)


def test_next_sentence_says_which_pair_is_none_and_which_models_can(both: Predictor, masked: Predictor) -> None:
    for wrong in ("ab", ["one"], ("a", "b", "c"), None):
        with pytest.raises(InputError, match="pair 2: must be two texts"):
            bertsmith.next_sentence(both, [("a", "b"), wrong])  # type: ignore[list-item]
    with pytest.raises(InputError, match="pair 1: must be a text, got 1"):
        bertsmith.next_sentence(both, [("a", 1)])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"\(mlm\) has no next-sentence head.*BertForPreTraining.*pretrain.*--next"):
        bertsmith.next_sentence(masked, [("a", "b")])


# The order of sentences

# log-probabilities that the column's sentence follows the row's
TABLE = {(0, 1): -0.1, (1, 2): -0.5, (0, 2): -2.0, (2, 0): -3.0, (1, 0): -1.0, (2, 1): -0.2}


def test_an_order_is_compared_with_all_others() -> None:
    orders = language.other_orders((0, 1, 2), most=20, seed=1)
    assert sorted(orders) == sorted(set(itertools.permutations(range(3))) - {(0, 1, 2)})
    found = language.compared((0, 1, 2), orders, TABLE)
    assert found.score == pytest.approx(-0.3)
    by_order = dict(zip(orders, found.shuffled, strict=True))
    wanted = {(0, 2, 1): -1.1, (1, 0, 2): -1.5, (1, 2, 0): -1.75, (2, 0, 1): -1.55, (2, 1, 0): -0.6}
    assert by_order == pytest.approx(wanted)
    assert (found.share, found.weakest, found.joints) == (1.0, 1, (-0.1, -0.5))
    # the second best order beats all but the best
    others = language.other_orders((2, 1, 0), most=20, seed=1)
    assert language.compared((2, 1, 0), others, TABLE).share == pytest.approx(4 / 5)


def test_a_tie_counts_half() -> None:
    alike = dict.fromkeys(itertools.permutations(range(4), 2), math.log(0.3))
    orders = language.other_orders((0, 1, 2, 3), most=7, seed=3)
    found = language.compared((0, 1, 2, 3), orders, alike)
    assert (found.share, found.beaten, found.weakest) == (0.5, 3.5, 0)


def test_orders_are_drawn_by_the_seed_and_all_differ() -> None:
    own = tuple(range(6))
    drawn = language.other_orders(own, most=50, seed=1)
    assert drawn == language.other_orders(own, most=50, seed=1)
    assert drawn != language.other_orders(own, most=50, seed=2)
    assert len(set(drawn)) == 50
    assert own not in drawn
    assert all(sorted(order) == list(own) for order in drawn)
    # a sentence that comes twice makes no new order with itself
    assert sorted(language.other_orders((0, 1, 0), most=20, seed=1)) == [(0, 0, 1), (1, 0, 0)]
    assert language.other_orders((0, 1), most=20, seed=1) == [(1, 0)]


def test_coherence_computes_each_pair_once(both: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    real = language.joints

    def counted(predictor: Predictor, pairs: Sequence[tuple[str, str]]) -> list[language.Joint]:
        asked.extend(pairs)
        return real(predictor, pairs)

    monkeypatch.setattr(language, "joints", counted)
    sentences = [*TEXTS[:4], TEXTS[0]]
    found = bertsmith.coherence(both, sentences, shuffles=1000)
    assert len(asked) == len(set(asked)) <= 4 * 3 + 1
    assert len(found.shuffled) == math.factorial(5) // 2 - 1
    wanted = np.log(bertsmith.next_sentence(both, list(itertools.pairwise(sentences))))
    assert found.joints == pytest.approx(wanted.tolist(), rel=1e-4)
    assert found.score == pytest.approx(wanted.mean(), rel=1e-4)
    assert found.weakest == wanted.argmin()
    assert 0 <= found.share <= 1
    assert bertsmith.coherence(both, [LONG, *TEXTS[:2]]).cut == 1


def test_coherence_wants_sentences_that_can_change_places(both: Predictor) -> None:
    for wrong, said in (([], "got 0"), (["a"], "got 1"), (["a", "a"], "got 2 that are all the same")):
        with pytest.raises(InputError, match=f"at least two different ones, {said}"):
            bertsmith.coherence(both, wrong)
    with pytest.raises(InputError, match="got one text"):
        bertsmith.coherence(both, "a. b.")
    with pytest.raises(InputError, match="sentence 2: must be a text, got 7"):
        bertsmith.coherence(both, ["a", 7])  # type: ignore[list-item]
    with pytest.raises(SettingsError, match="shuffles must be at least 1, got 0"):
        bertsmith.coherence(both, ["a", "b"], shuffles=0)
    with pytest.raises(SettingsError, match="seed must be at least 0, got -1"):
        bertsmith.coherence(both, ["a", "b"], seed=-1)


# How likely a text is


def reference_of_pll(folder: Path, text: str) -> list[float]:
    """Each piece masked in turn, one sequence at a time."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForMaskedLM.from_pretrained(folder)
    (ids,) = tokenizer(text, return_tensors="pt").input_ids
    found = []
    for at in range(1, len(ids) - 1):
        hidden = ids.clone()
        hidden[at] = tokenizer.mask_token_id
        with torch.inference_mode():
            found.append(model(hidden[None]).logits[0, at].log_softmax(0)[ids[at]].item())
    return found


@pytest.mark.parametrize("name", ["masked", "both", "roberta"])
def test_pll_is_the_sum_over_masks(name: str, checkpoints: dict[str, Path]) -> None:
    found = bertsmith.pseudo_log_likelihood(checkpoints[name], TEXTS[:5])
    for text, score in zip(TEXTS[:5], found, strict=True):
        wanted = reference_of_pll(checkpoints[name], text)
        assert [value for _, value in score.words] == pytest.approx(wanted, rel=1e-4)
        assert score.log_likelihood == pytest.approx(sum(wanted), rel=1e-5)
        assert score.pieces == len(wanted)
        assert score.per_piece == pytest.approx(sum(wanted) / len(wanted), rel=1e-5)
        assert (score.whole, score.unknown) == (True, 0)


def values_of(scores: Sequence[language.TextScore]) -> list[float]:
    return [score.log_likelihood for score in scores]


def test_pll_does_not_depend_on_company(both: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = values_of(bertsmith.pseudo_log_likelihood(both, TEXTS))
    backwards = values_of(bertsmith.pseudo_log_likelihood(both, TEXTS[::-1]))
    assert backwards[::-1] == pytest.approx(wanted, rel=1e-5)
    assert values_of([bertsmith.pseudo_log_likelihood(both, [text])[0] for text in TEXTS]) == pytest.approx(wanted)
    # nor on how much is computed at a time: here a batch or two, so that texts end within them
    monkeypatch.setitem(engine.BATCH_TOKENS, "cpu", 64)
    monkeypatch.setattr(language, "BATCHES_AT_ONCE", 1)
    assert values_of(bertsmith.pseudo_log_likelihood(both, TEXTS)) == pytest.approx(wanted, rel=1e-5)


def test_texts_are_scored_as_they_come(both: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "BATCHES_AT_ONCE", 1)
    monkeypatch.setitem(engine.BATCH_TOKENS, "cpu", 64)
    taken, told = 0, list[tuple[int, int | None]]()

    def given() -> Iterator[Passage]:
        nonlocal taken
        for text in TEXTS * 20:
            taken += 1
            yield Passage(text, Place("here", taken))

    stream = language.scored(both, given(), progress=lambda done, of: told.append((done, of)))
    passage, score = next(stream)
    assert (passage.text, passage.place.line) == (TEXTS[0], 1)
    assert taken < 5
    done = [(passage, score), *stream]
    assert [passage.text for passage, _ in done] == list(TEXTS * 20)
    pieces = sum(score.pieces for _, score in done)
    assert [count for count, _ in told] == sorted(count for count, _ in told)
    assert told[-1] == (pieces, None)
    told.clear()
    list(language.scored(both, [passage for passage, _ in done], progress=lambda done, of: told.append((done, of))))
    assert {of for _, of in told} == {pieces}, "of texts that are all there the end is known"


@pytest.mark.parametrize("name", ["masked", "both"])
def test_nothing_of_a_long_text_is_cut(name: str, checkpoints: dict[str, Path]) -> None:
    predictor = language.opened(checkpoints[name], device="cpu")
    (score,) = bertsmith.pseudo_log_likelihood(predictor, [LONG])
    tokenizer, room = predictor.bundle.tokenizer, predictor.bundle.max_length - 2
    (pieces,) = tokenizer.pieces([LONG])
    assert not score.whole
    assert score.pieces == len(pieces) > room
    assert tokenizer.mask_id is not None
    assert score.record()["whole"] is False
    model = AutoModelForMaskedLM.from_pretrained(checkpoints[name])
    for at in (0, 10, room // 2, len(pieces) // 2, len(pieces) - room // 2, len(pieces) - 1):
        start = max(0, min(at - room // 2, len(pieces) - room))
        ids = torch.tensor([2, *pieces[start : start + room], 3])
        ids[1 + at - start] = tokenizer.mask_id
        with torch.inference_mode():
            wanted = model(ids[None]).logits[0, 1 + at - start].log_softmax(0)[pieces[at]].item()
        assert score.words[at][1] == pytest.approx(wanted, rel=1e-4)


def test_texts_that_are_hard_to_score(both: Predictor) -> None:
    empty, strange = bertsmith.pseudo_log_likelihood(both, [" ", "film 猫"])
    assert (empty.words, empty.log_likelihood, empty.pieces, empty.per_piece) == ((), 0.0, 0, None)
    assert (strange.unknown, strange.words[-1][0]) == (1, "[UNK]")
    assert strange.record()["unknown"] == 1
    assert [each["word"] for each in strange.record(words=True)["words"]] == [word for word, _ in strange.words]
    assert bertsmith.pseudo_log_likelihood(both, []) == []
    with pytest.raises(InputError, match=r"text 2: holds the mask token \[MASK\]"):
        bertsmith.pseudo_log_likelihood(both, ["a", "a [MASK] film"])
    with pytest.raises(InputError, match="takes a list of texts, got one text"):
        bertsmith.pseudo_log_likelihood(both, "a film")


def test_the_model_is_left_in_the_mode_it_was_in(both: Predictor) -> None:
    both.bundle.model.train()
    bertsmith.pseudo_log_likelihood(both, TEXTS[:2])
    assert both.bundle.model.training
    both.bundle.model.eval()


# Which models


def test_models_that_open(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    tasks = {name: language.opened(checkpoints[name]).bundle.task for name in ("both", "masked", "roberta")}
    assert [type(task) for task in tasks.values()] == [Nsp, Mlm, Mlm]
    pretrained = load_pretrained(checkpoints["none"])
    for task in (Mlm(), Nsp()):
        bundle = bundle_of(task, pretrained)
        bundle.save(tmp_path / task.name)
        saved, ours = (
            bertsmith.fill(model, ["a ____ film"])[0].blanks[0] for model in (tmp_path / task.name, Predictor(bundle))
        )
        assert [each.word for each in saved] == [each.word for each in ours]
        assert [each.probability for each in saved] == pytest.approx([each.probability for each in ours], rel=1e-4)


def test_models_that_do_not(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    for name in ("none", "labels"):
        with pytest.raises(BundleError, match=r"has no masked-word head.*bertsmith adapt texts\.txt --encoder"):
            bertsmith.fill(checkpoints[name], ["a ____"])
    bundle = bundle_of(Classify(labels=("a", "b")), load_pretrained(checkpoints["none"]))
    for model in (Predictor(bundle), tmp_path / "labels"):
        bundle.save(tmp_path / "labels", overwrite=True)
        with pytest.raises(InputError, match="is a classify model, which has no masked-word head"):
            bertsmith.fill(model, ["a ____"])
    (tmp_path / "mine.partial").mkdir()
    with pytest.raises(BundleError, match="a run that has not ended"):
        bertsmith.fill(tmp_path / "mine", ["a ____"])
    with pytest.raises(InputError, match="no such folder"):
        bertsmith.fill("nowhere", ["a ____"])
    without: Any = load_pretrained(checkpoints["none"])
    without.tokenizer.mask_id = None
    with pytest.raises(InputError, match="no mask token"):
        bertsmith.fill(Predictor(bundle_of(Mlm(), without)), ["a ____"])
