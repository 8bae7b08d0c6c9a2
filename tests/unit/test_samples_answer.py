"""The packaged question answering sample keeps what its README promises: counts, offsets, no copies, mixed kinds."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations, groupby, pairwise
from typing import Any

import pytest

SAMPLES = files("bertsmith") / "data" / "samples"
COUNTS = {"train": (63, 341), "dev": (20, 98)}
SPLITS = tuple(COUNTS)
KINDS = ("how many", "how long", "how", "what", "when", "where", "which", "who", "why")


@dataclass(frozen=True)
class Question:
    id: str
    title: str
    context: str
    question: str
    answers: tuple[tuple[str, int], ...]


def content(split: str) -> str:
    return (SAMPLES / "answer" / f"{split}.json").read_bytes().decode("utf-8")


def articles(split: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = json.loads(content(split))["data"]
    return data


def questions(split: str) -> list[Question]:
    return [
        Question(
            id=asked["id"],
            title=article["title"],
            context=paragraph["context"],
            question=asked["question"],
            answers=tuple((answer["text"], answer["answer_start"]) for answer in asked["answers"]),
        )
        for article in articles(split)
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]


def passages(split: str) -> list[str]:
    return [paragraph["context"] for article in articles(split) for paragraph in article["paragraphs"]]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def kind(question: str) -> str:
    """The first of the KINDS that the question contains; "how many" and "how long" go before "how"."""
    return next((kind for kind in KINDS if re.search(rf"\b{kind}(?:se|m)?\b", question.lower())), "other")


def five_grams(text: str) -> set[str]:
    text = text.lower()
    return {text[start : start + 5] for start in range(max(1, len(text) - 4))}


def jaccard(a: set[str], b: set[str]) -> float:
    common = len(a & b)
    return common / (len(a) + len(b) - common)


def closer_than(limit: float, texts: list[str]) -> list[tuple[str, str]]:
    known = [(text, five_grams(text)) for text in texts]
    return [(one, other) for (one, a), (other, b) in combinations(known, 2) if jaccard(a, b) >= limit]


@pytest.mark.parametrize("split", SPLITS)
def test_form_is_that_of_squad(split: str) -> None:
    text = content(split)
    whole = json.loads(text)

    assert "\r" not in text
    assert text == json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    assert list(whole) == ["version", "data"]
    assert whole["version"] == "1.1"
    for article in whole["data"]:
        assert list(article) == ["title", "paragraphs"]
        for paragraph in article["paragraphs"]:
            assert list(paragraph) == ["context", "qas"]
            for asked in paragraph["qas"]:
                assert list(asked) == ["id", "question", "answers"]
                assert all(list(answer) == ["text", "answer_start"] for answer in asked["answers"])


@pytest.mark.parametrize("split", SPLITS)
def test_readme_gives_the_counts(split: str) -> None:
    of_passages, of_questions = COUNTS[split]
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")
    asked = questions(split)
    several = sum(len(one.answers) > 1 for one in asked)

    assert (len(passages(split)), len(asked)) == COUNTS[split]
    assert f"| `answer/{split}.json` | `context`, `question`, `answers` | {of_questions} |" in readme
    assert f"| {split} | {len(articles(split))} | {of_passages} | {of_questions} | {several} |" in readme


@pytest.mark.parametrize("split", SPLITS)
def test_every_answer_is_at_its_offset(split: str) -> None:
    for one in questions(split):
        assert one.answers, one.question
        for text, start in one.answers:
            end = start + len(text)
            assert text == text.strip() != "", one.question
            assert one.context[start:end] == text, one.question
            assert re.match(r"\W|$", one.context[end:]), f"{text!r} ends within a word"
            assert not one.context[:start] or re.search(r"\W$", one.context[:start]), f"{text!r} starts within a word"


def test_answers_are_short() -> None:
    lengths = [len(text.split()) for split in SPLITS for one in questions(split) for text, _ in one.answers]

    assert max(lengths) <= 13
    assert sum(length <= 8 for length in lengths) > 0.95 * len(lengths)


def test_only_dev_has_several_answers_and_they_differ() -> None:
    assert {len(one.answers) for one in questions("train")} == {1}
    assert {len(one.answers) for one in questions("dev")} == {1, 2, 3}
    for one in questions("dev"):
        assert len(set(one.answers)) == len(one.answers), one.question


@pytest.mark.parametrize("split", SPLITS)
def test_passages_have_50_to_130_words_and_4_to_6_questions(split: str) -> None:
    for context, asked in groupby(questions(split), key=lambda one: one.context):
        assert 50 <= len(context.split()) <= 130, context
        assert context == " ".join(context.split())
        assert 4 <= len(list(asked)) <= 6, context


def test_ids_questions_and_passages_are_unique() -> None:
    asked = [one for split in SPLITS for one in questions(split)]
    texts = [text for split in SPLITS for text in passages(split)]

    assert len({one.id for one in asked}) == len(asked)
    assert len({one.question.lower() for one in asked}) == len(asked)
    assert len({text.lower() for text in texts}) == len(texts)


def test_train_and_dev_share_no_title() -> None:
    train, dev = ({article["title"] for article in articles(split)} for split in SPLITS)

    assert not train & dev


def test_no_near_copies() -> None:
    assert closer_than(0.15, [text for split in SPLITS for text in passages(split)]) == []
    assert closer_than(0.5, [one.question for split in SPLITS for one in questions(split)]) == []


@pytest.mark.parametrize("split", SPLITS)
def test_questions_are_not_copied_from_the_passage(split: str) -> None:
    for one in questions(split):
        asked, given = words(one.question), f" {' '.join(words(one.context))} "
        runs = [" ".join(asked[start : start + 5]) for start in range(len(asked) - 4)]
        assert [run for run in runs if f" {run} " in given] == [], one.question


@pytest.mark.parametrize("split", SPLITS)
def test_kinds_of_questions_are_mixed(split: str) -> None:
    asked = questions(split)
    shares = Counter(kind(one.question) for one in asked)

    assert set(shares) == set(KINDS)
    assert all(one.question.endswith("?") for one in asked)
    assert max(shares.values()) < 0.35 * len(asked)
    assert min(shares.values()) >= 0.03 * len(asked)


def test_answers_are_spread_over_the_passage() -> None:
    for split in SPLITS:
        quarters = Counter(4 * one.answers[0][1] // len(one.context) for one in questions(split))
        assert all(0.2 < quarters[quarter] / quarters.total() < 0.3 for quarter in range(4)), quarters


def test_readme_gives_how_far_common_words_lead() -> None:
    asked = questions("dev")
    found = 0
    for one in asked:
        starts = [0, *(match.end() for match in re.finditer(r'[.!?] (?=[A-Z"])', one.context)), len(one.context)]
        sentences = list(pairwise(starts))
        ask = set(words(one.question))
        start, end = max(sentences, key=lambda span: len(ask & set(words(one.context[slice(*span)]))))
        found += any(start <= at < end for _, at in one.answers)

    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert f"holds an answer to {100 * found / len(asked):.0f} % of the questions on dev" in readme
