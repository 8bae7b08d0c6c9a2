"""Exact match and F1 of answers, beside the definitions of SQuAD's two scripts written down a second time."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith import squad_scores as squad

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = ("the", "a", "an", "The", "1066", "Norman", "norman", "Normandy,", "U.S.", "—", "é", "of", "!", "in-law")
ANSWERS = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


def reference_words(text: str) -> list[str]:
    """Lower case, no punctuation of ASCII, no articles, split at blanks: in the order of the scripts."""
    plain = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def reference_f1(given: str, gold: str, *, version: int) -> float:
    ours, theirs = reference_words(given), reference_words(gold)
    if version == 2 and not (ours and theirs):
        return float(ours == theirs)
    common = sum(min(ours.count(word), theirs.count(word)) for word in set(ours))
    if common == 0:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)


def reference(given: str, golds: Sequence[str], *, version: int) -> tuple[float, float]:
    if version == 2:
        golds = [gold for gold in golds if reference_words(gold)] or [""]
    exact = max(float(reference_words(given) == reference_words(gold)) for gold in golds)
    return exact, max(reference_f1(given, gold, version=version) for gold in golds)


@given(given_answer=ANSWERS, golds=st.lists(ANSWERS, min_size=1, max_size=3), version=st.sampled_from([1, 2]))
def test_scores_are_those_of_the_scripts(given_answer: str, golds: list[str], version: int) -> None:
    found = [
        squad.best(measure, given_answer, golds, unanswerable=version == 2) for measure in (squad.exact_match, squad.f1)
    ]
    assert found == pytest.approx(reference(given_answer, golds, version=version), abs=1e-12)


@given(given_answer=ANSWERS)
def test_a_question_without_an_answer(given_answer: str) -> None:
    right = float(not squad.normalized(given_answer))
    assert squad.best(squad.f1, given_answer, [], unanswerable=True) == right
    assert squad.best(squad.exact_match, given_answer, [], unanswerable=True) == right


@pytest.mark.parametrize(
    ("answer", "gold", "exact", "f1"),
    [
        ("the Norman conquest", "Norman Conquest.", 1.0, 1.0),
        ("Norman conquest of England", "The Norman conquest", 0.0, 2 / 3),
        ("in 1066", "1066", 0.0, 2 / 3),
        ("U.S.", "us", 1.0, 1.0),
        ("café", "cafe", 0.0, 0.0),
        ("", "1066", 0.0, 0.0),
    ],
)
def test_by_hand(answer: str, gold: str, exact: float, f1: float) -> None:
    assert squad.exact_match(answer, gold) == exact
    assert squad.f1(answer, gold) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many people live there?", "how many"),
        ("how much did it cost", "how many"),
        ("How long is it?", "how long"),
        ("How is it made?", "how"),
        ("In what year did it open?", "what"),
        ("Whose house is it?", "who"),
        ("To whom was it sold?", "who"),
        ("The show begins when?", "when"),
        ("Name the river.", "other"),
        ("A whatever?", "other"),
    ],
)
def test_types_of_questions(question: str, kind: str) -> None:
    assert squad.question_type(question) == kind
