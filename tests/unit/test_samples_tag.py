"""The packaged tagging sample keeps what its README promises: counts, legal tags, no copies, names new on dev."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from itertools import combinations, pairwise
from typing import TypeAlias

import pytest

SAMPLES = files("bertsmith") / "data" / "samples"
SPLITS = ("train", "dev")
TYPES = ("PER", "ORG", "LOC", "EVENT")
LEAST = {"train": 50, "dev": 15}
TAGS = {"O", *(f"{position}-{kind}" for position in "BI" for kind in TYPES)}
TITLES = {"captain", "dr", "judge", "lord", "minister", "mr", "mrs", "president", "professor"}

Sentence: TypeAlias = list[tuple[str, str]]
Span: TypeAlias = tuple[int, int, str]


def content(split: str) -> str:
    return (SAMPLES / "tag" / f"{split}.conll").read_bytes().decode("utf-8")


def readme() -> str:
    return (SAMPLES / "README.md").read_text(encoding="utf-8")


def sentences(split: str) -> list[Sentence]:
    """The words of each sentence with their tags."""
    blocks = content(split).removesuffix("\n").split("\n\n")
    return [[(word, tag) for word, tag in (line.split("\t") for line in block.split("\n"))] for block in blocks]


def text(sentence: Sentence, start: int = 0, end: int | None = None) -> str:
    return " ".join(word for word, _ in sentence[start:end])


def spans(sentence: Sentence) -> list[Span]:
    """Start, end and type of each entity."""
    starts = [position for position, (_, tag) in enumerate(sentence) if tag.startswith("B-")]
    found = []
    for start in starts:
        end = start + 1
        while end < len(sentence) and sentence[end][1].startswith("I-"):
            end += 1
        found.append((start, end, sentence[start][1].removeprefix("B-")))
    return found


def entities(split: str) -> list[tuple[str, str]]:
    """Name and type of each entity."""
    return [(text(sentence, start, end), kind) for sentence in sentences(split) for start, end, kind in spans(sentence)]


def five_grams(text: str) -> set[str]:
    text = text.lower()
    return {text[start : start + 5] for start in range(max(1, len(text) - 4))}


def jaccard(a: set[str], b: set[str]) -> float:
    common = len(a & b)
    return common / (len(a) + len(b) - common)


@pytest.mark.parametrize("split", SPLITS)
def test_every_line_is_a_word_and_its_tag(split: str) -> None:
    whole = content(split)

    assert "\r" not in whole
    assert "\n\n\n" not in whole
    assert whole.endswith("\n")
    assert not whole.startswith("\n")
    assert not whole.endswith("\n\n")
    for line in whole.removesuffix("\n").split("\n"):
        if line:
            word, tag = line.split("\t")
            assert word.split() == [word], line
            assert tag in TAGS, line


@pytest.mark.parametrize("split", SPLITS)
def test_tags_are_legal_iob2(split: str) -> None:
    for sentence in sentences(split):
        tags = ["O", *(tag for _, tag in sentence)]
        for before, tag in pairwise(tags):
            if tag.startswith("I-"):
                kind = tag.removeprefix("I-")
                assert before in (f"B-{kind}", f"I-{kind}"), text(sentence)


@pytest.mark.parametrize("split", SPLITS)
def test_readme_gives_the_counts(split: str) -> None:
    of_split = sentences(split)
    without = sum(not spans(sentence) for sentence in of_split)
    words = sum(len(sentence) for sentence in of_split)

    assert f"| `tag/{split}.conll` | `words`, `tags` | {len(of_split)} |" in readme()
    assert f"| {split} | {len(of_split)} | {without} | {words} | {len(entities(split))} |" in readme()


def test_readme_gives_the_counts_of_each_type() -> None:
    train, dev = (Counter(kind for _, kind in entities(split)) for split in SPLITS)
    lines = readme().splitlines()

    for kind in TYPES:
        (line,) = (line for line in lines if line.startswith(f"| `{kind}` |"))
        assert line.endswith(f"| {train[kind]} | {dev[kind]} |")


@pytest.mark.parametrize("split", SPLITS)
def test_all_types_occur_often(split: str) -> None:
    counts = Counter(kind for _, kind in entities(split))

    assert set(counts) == set(TYPES)
    assert min(counts.values()) >= LEAST[split]


@pytest.mark.parametrize("split", SPLITS)
def test_sentences_have_6_to_30_words(split: str) -> None:
    lengths = [len(sentence) for sentence in sentences(split)]

    assert min(lengths) >= 6
    assert max(lengths) <= 30


@pytest.mark.parametrize("split", SPLITS)
def test_some_sentences_have_no_entity_and_some_entities_touch(split: str) -> None:
    of_split = sentences(split)
    without = sum(not spans(sentence) for sentence in of_split)
    touching = [one for sentence in of_split for one, other in pairwise(spans(sentence)) if one[1] == other[0]]

    assert 0.08 <= without / len(of_split) <= 0.16
    assert len(touching) >= 3


@pytest.mark.parametrize("split", SPLITS)
def test_titles_articles_and_possessives_are_outside(split: str) -> None:
    for name, kind in entities(split):
        words = name.lower().split()
        assert words[0] != "the" or name == "The Hague", name
        assert words[-1] != "'s", name
        assert kind != "PER" or not TITLES & set(words), name


def test_names_are_ambiguous_and_not_all_ascii() -> None:
    named = [entity for split in SPLITS for entity in entities(split)]
    kinds: dict[str, set[str]] = {}
    for name, kind in named:
        kinds.setdefault(name, set()).add(kind)

    assert {"Phoenix", "Mercer"} <= {name for name, its in kinds.items() if len(its) > 1}
    assert sum(not name.isascii() for name in kinds) >= 40
    assert sum(" " in name for name in kinds) >= 0.4 * len(kinds)


def test_no_near_copies() -> None:
    known = [(its, five_grams(its)) for split in SPLITS for its in map(text, sentences(split))]

    assert [(one, other) for (one, a), (other, b) in combinations(known, 2) if jaccard(a, b) >= 0.2] == []


def test_names_on_dev_are_new() -> None:
    known, asked = ({(name.lower(), kind) for name, kind in entities(split)} for split in SPLITS)

    for kind in TYPES:
        names = {entity for entity in asked if entity[1] == kind}
        new = names - known
        assert len(new) == len(names) if kind == "PER" else len(new) >= 0.75 * len(names), kind


def test_readme_gives_how_far_known_names_lead() -> None:
    kinds: dict[str, Counter[str]] = {}
    for name, kind in entities("train"):
        kinds.setdefault(name, Counter())[kind] += 1
    longest = max(len(name.split()) for name in kinds)

    found = expected = right = outside = words = 0
    for sentence in sentences("dev"):
        guessed: list[Span] = []
        start = 0
        while start < len(sentence):
            ends = range(min(len(sentence), start + longest), start, -1)
            end = next((end for end in ends if text(sentence, start, end) in kinds), None)
            if end is None:
                start += 1
            else:
                guessed.append((start, end, kinds[text(sentence, start, end)].most_common(1)[0][0]))
                start = end
        found += len(guessed)
        expected += len(spans(sentence))
        right += len(set(guessed) & set(spans(sentence)))
        outside += sum(tag == "O" for _, tag in sentence)
        words += len(sentence)

    assert f"{100 * outside / words:.0f} % of the words are `O`" in readme()
    assert f"an entity F1 of {200 * right / (found + expected):.0f} %" in readme()
