"""Schemes of tags: strict entities as seqeval's strict mode finds them, conlleval's, legal sequences, detection."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith import schemes
from bertsmith.schemes import Entity, Scheme

seqeval_scheme = pytest.importorskip("seqeval.scheme", reason="seqeval is the reference")
from seqeval.metrics.sequence_labeling import get_entities  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

REFERENCES = {
    Scheme.IOB1: seqeval_scheme.IOB1,
    Scheme.IOB2: seqeval_scheme.IOB2,
    Scheme.BIOES: seqeval_scheme.IOBES,
    Scheme.BILOU: seqeval_scheme.BILOU,
    Scheme.BMES: seqeval_scheme.IOBES,  # with I for M
}
WITH_ENTITIES = pytest.mark.parametrize("scheme", REFERENCES, ids=str)


def labels_of(scheme: Scheme) -> tuple[str, ...]:
    letters = {Scheme.BIOES: "BIES", Scheme.BILOU: "BILU", Scheme.BMES: "BMES"}.get(scheme, "BI")
    return schemes.closed([f"{letter}-{kind}" for letter in letters for kind in ("PER", "LOC")], scheme)


def any_tags(scheme: Scheme) -> Any:
    return st.lists(st.sampled_from(labels_of(scheme)), max_size=9)


def legal_tags(scheme: Scheme) -> Any:
    return any_tags(scheme).filter(lambda tags: not schemes.broken(tags, scheme))


@WITH_ENTITIES
@settings(max_examples=1000)
@given(data=st.data())
def test_strict_entities_are_those_of_seqeval(scheme: Scheme, data: Any) -> None:
    tags = data.draw(any_tags(scheme))
    expected = [
        Entity(entity.tag, entity.start, entity.end)
        for entity in seqeval_scheme.Tokens([tag.replace("M-", "I-") for tag in tags], REFERENCES[scheme]).entities
    ]
    assert schemes.entities(tags, scheme) == expected


@WITH_ENTITIES
@settings(max_examples=600)
@given(data=st.data())
def test_lenient_entities_are_those_of_conlleval(scheme: Scheme, data: Any) -> None:
    """As seqeval's default counts them, which was made after conlleval."""
    tags = data.draw(any_tags(scheme))
    theirs = {"L-": "E-", "U-": "S-", "M-": "I-"}
    as_bioes = [theirs.get(tag[:2], tag[:2]) + tag[2:] for tag in tags]
    expected = [Entity(kind, start, last + 1) for kind, start, last in get_entities(as_bioes)]
    assert schemes.entities_conlleval(tags) == expected


def test_the_example_of_conlleval() -> None:
    """The sentence that introduces chunking in CoNLL-2000's shared task, and tags that only look alike."""
    sentence = "He reckons the current account deficit will narrow to only # 1.8 billion in September ."
    chunks = "B-NP B-VP B-NP I-NP I-NP I-NP B-VP I-VP B-PP B-NP I-NP I-NP I-NP B-PP B-NP O"
    words, tags = sentence.split(), chunks.split()
    expected = [
        "He",
        "reckons",
        "the current account deficit",
        "will narrow",
        "to",
        "only # 1.8 billion",
        "in",
        "September",
    ]
    for found in (schemes.entities(tags, Scheme.IOB2), schemes.entities_conlleval(tags)):
        assert [" ".join(words[each.start : each.stop]) for each in found] == expected
    iob1 = [tag.replace("B-", "I-") for tag in tags]
    assert schemes.entities_conlleval(iob1) == schemes.entities_conlleval(tags)
    assert schemes.entities(iob1, Scheme.IOB2) == []


def test_the_example_of_conlleval_itself() -> None:
    """From the page that explains its output, with the IOB1 guesses that it showed first: all five chunks are right."""
    words = ["Boeing", "'s", "747", "jetliners", ".", "Rockwell", "said", "the", "agreement"]
    gold = ["B-NP", "B-NP", "I-NP", "I-NP", "O"], ["B-NP", "B-VP", "B-NP", "I-NP"]
    guessed = ["I-NP", "B-NP", "I-NP", "I-NP", "O"], ["I-NP", "B-VP", "B-NP", "I-NP"]
    chunks = [Entity("NP", 0, 1), Entity("NP", 1, 4)], [Entity("NP", 0, 1), Entity("VP", 1, 2), Entity("NP", 2, 4)]
    assert sum(map(len, gold)) == len(words)
    for tags, other, expected in zip(gold, guessed, chunks, strict=True):
        assert schemes.entities_conlleval(tags) == schemes.entities_conlleval(other) == expected
        assert schemes.entities(tags, Scheme.IOB2) == expected
    assert schemes.entities(guessed[0], Scheme.IOB2) == [Entity("NP", 1, 4)]  # strictly, I begins nothing


@WITH_ENTITIES
@given(data=st.data())
def test_legal_sequences_mean_the_same_to_all(scheme: Scheme, data: Any) -> None:
    tags = data.draw(legal_tags(scheme))
    assert schemes.entities(tags, scheme) == schemes.entities_conlleval(tags)


@pytest.mark.parametrize("scheme", [*REFERENCES, Scheme.PLAIN], ids=str)
@settings(max_examples=300)
@given(seed=st.integers(0, 10**6), words=st.integers(0, 4))
def test_viterbi_finds_the_best_legal_sequence(scheme: Scheme, seed: int, words: int) -> None:
    labels = labels_of(scheme) if scheme is not Scheme.PLAIN else ("ADJ", "NOUN", "VERB")
    score_WC = np.random.default_rng(seed).normal(size=(words, len(labels)))
    path = schemes.viterbi(score_WC, schemes.transitions(labels, scheme))
    assert len(path) == words

    def total(numbers: Sequence[int]) -> float:
        return float(sum(score_WC[word, number] for word, number in enumerate(numbers)))

    every = itertools.product(range(len(labels)), repeat=words)
    legal = [numbers for numbers in every if not schemes.broken([labels[number] for number in numbers], scheme)]
    assert total(path.tolist()) == pytest.approx(max(map(total, legal)))
    assert tuple(path.tolist()) in legal


@WITH_ENTITIES
@settings(max_examples=100)
@given(seed=st.integers(0, 10**6), words=st.integers(1, 60))
def test_nothing_illegal_comes_out(scheme: Scheme, seed: int, words: int) -> None:
    labels = labels_of(scheme)
    score_WC = 20 * np.random.default_rng(seed).normal(size=(words, len(labels)))
    path = schemes.viterbi(score_WC, schemes.transitions(labels, scheme))
    assert schemes.broken([labels[number] for number in path], scheme) == []


@WITH_ENTITIES
@given(data=st.data())
def test_broken_is_what_may_not_follow(scheme: Scheme, data: Any) -> None:
    tags = data.draw(any_tags(scheme))
    legal, labels = schemes.transitions(labels_of(scheme), scheme), labels_of(scheme)
    if tags:
        path = [labels.index(tag) for tag in tags]
        follows = all(legal.allowed_CC[before, after] for before, after in itertools.pairwise(path))
        allowed = bool(legal.start_C[path[0]] and legal.stop_C[path[-1]] and follows)
        assert allowed == (schemes.broken(tags, scheme) == [])


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        ([["DET", "NOUN"]], Scheme.PLAIN),
        ([["O", "O"]], Scheme.PLAIN),
        ([["B-PER", "NOUN"]], Scheme.PLAIN),
        ([["B-PER", "I-PER", "O"]], Scheme.IOB2),
        ([["I-PER", "I-PER", "O", "I-LOC"]], Scheme.IOB1),
        ([["I-PER", "B-PER", "O", "I-LOC"]], Scheme.IOB1),
        ([["B-PER", "B-PER", "O", "B-LOC"], ["O", "I-PER"]], Scheme.IOB2),
        ([["I-PER", "O", "I-LOC"], ["O", "B-PER"]], Scheme.IOB1),
        ([["B-PER", "E-PER", "S-LOC"]], Scheme.BIOES),
        ([["S-LOC"]], Scheme.BIOES),
        ([["B-PER", "L-PER", "U-LOC"]], Scheme.BILOU),
        ([["B-PER", "M-PER", "E-PER", "O", "S-LOC"]], Scheme.BMES),
        ([["B-PER", "M-PER", "O"], *[["B-PER", "I-PER", "O"]] * 3], Scheme.IOB2),
        # a few tags of another scheme do not make it that one
        ([["B-PER", "O", "E-LOC"], *[["B-PER", "I-PER", "O"]] * 3], Scheme.IOB2),
        ([["S-PER", "O"], *[["I-PER", "I-PER", "O"]] * 3], Scheme.IOB1),
        ([["B-PER", "O"], ["B-LOC", "I-LOC"], *[["B-PER", "E-PER", "S-LOC"]] * 3], Scheme.BIOES),
        ([["S-PER"], *[["B-PER", "L-PER"], ["U-LOC"]] * 3], Scheme.BILOU),
        # equally many broken
        ([["B-PER", "O", "I-LOC"]], Scheme.IOB2),
        ([["B-PER-SON", "I-PER-SON"]], Scheme.IOB2),
        ([["X-PER", "O"]], Scheme.PLAIN),
        ([["B-", "O"]], Scheme.PLAIN),
        ([["SCONJ", "PUNCT", "-LRB-", "B-LINE"]], Scheme.PLAIN),
    ],
    ids=str,
)
def test_the_scheme_is_read_from_the_tags(sentences: list[list[str]], scheme: Scheme) -> None:
    assert schemes.detect(sentences) is scheme


@WITH_ENTITIES
@settings(max_examples=200)
@given(data=st.data())
def test_a_scheme_is_told_by_its_own_sentences(scheme: Scheme, data: Any) -> None:
    sentences = [data.draw(legal_tags(scheme)) for _ in range(3)]
    found = schemes.detect(sentences)
    if any(tag != "O" for tags in sentences for tag in tags) and found is not scheme:
        # a word tagged I- or B- alone may be of another scheme just as well, with the same entities
        for tags in sentences:
            assert schemes.entities_conlleval(tags) == schemes.entities(tags, scheme)


@given(st.lists(st.lists(st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIESLUM" for kind in "XY")]))))
def test_the_scheme_is_that_with_fewest_broken_tags(sentences: list[list[str]]) -> None:
    found = schemes.detect(sentences)
    if all(tag == "O" for tags in sentences for tag in tags):
        assert found is Scheme.PLAIN
        return
    wrong = {scheme: sum(len(schemes.broken(tags, scheme)) for tags in sentences) for scheme in REFERENCES}
    assert wrong[found] == min(wrong.values())
    in_order = (Scheme.IOB2, Scheme.IOB1, Scheme.BIOES, Scheme.BILOU, Scheme.BMES)
    assert found is next(scheme for scheme in in_order if wrong[scheme] == wrong[found])


def test_many_words_are_no_matter() -> None:
    sentences = [["O", "B-PER", "I-PER", "O", "B-LOC"] * 4] * 10_000
    began = time.process_time()
    assert schemes.detect(sentences) is Scheme.IOB2
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("labels", "fitting"),
    [
        (["O", "B-X", "I-X"], ["iob1", "iob2", "plain"]),
        (["O", "I-X"], ["iob1", "iob2", "plain"]),
        (["O", "B-X", "I-X", "E-X", "S-X"], ["bioes", "plain"]),
        (["O", "B-X", "M-X", "E-X", "S-X"], ["bmes", "plain"]),
        (["O", "B-X", "M-X"], ["plain"]),
        (["O", "S-X"], ["bioes", "bmes", "plain"]),
        (["O", "B-X", "I-X", "L-X", "U-X"], ["bilou", "plain"]),
        (["O", "B-X", "E-X", "U-X"], ["plain"]),
        (["B-X", "I-X"], ["plain"]),
        (["O"], ["plain"]),
        (["DET", "O"], ["plain"]),
    ],
    ids=str,
)
def test_labels_that_fit_a_scheme(labels: list[str], fitting: list[str]) -> None:
    assert [str(scheme.value) for scheme in Scheme if schemes.fits(labels, scheme)] == fitting


@WITH_ENTITIES
@given(data=st.data())
def test_entities_to_tags_and_back(scheme: Scheme, data: Any) -> None:
    tags = data.draw(legal_tags(scheme))
    assert schemes.spelled(schemes.entities(tags, scheme), len(tags), scheme) == tags
