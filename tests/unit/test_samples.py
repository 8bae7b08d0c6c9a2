"""The packaged samples keep what their README promises: counts, balance, no duplicates, no near-copies."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from itertools import combinations, product

import pytest

SAMPLES = files("bertsmith") / "data" / "samples"
CLASSIFY = ("text", "label")
REGRESS = ("sentence1", "sentence2", "score")
SETS = {
    "classify/train.tsv": (CLASSIFY, 422),
    "classify/dev.tsv": (CLASSIFY, 140),
    "regress/train.tsv": (REGRESS, 364),
    "regress/dev.tsv": (REGRESS, 122),
}
LABELS = {
    "account_access",
    "cancel_order",
    "complaint",
    "delivery_status",
    "praise",
    "product_question",
    "refund",
}
SPLITS = ("train", "dev")


def read(name: str) -> list[list[str]]:
    """The lines of a file, the header among them, split at their tabs."""
    text = (SAMPLES / name).read_bytes().decode("utf-8")
    return [line.split("\t") for line in text.removesuffix("\n").split("\n")]


def texts(task: str, split: str) -> list[str]:
    """The text of each row; the two sentences of a pair as one."""
    return [" ".join(row[:-1]) for row in read(f"{task}/{split}.tsv")[1:]]


def five_grams(text: str) -> set[str]:
    text = text.lower()
    return {text[start : start + 5] for start in range(max(1, len(text) - 4))}


def jaccard(a: set[str], b: set[str]) -> float:
    common = len(a & b)
    return common / (len(a) + len(b) - common)


@pytest.mark.parametrize("name", SETS)
def test_format_and_row_count(name: str) -> None:
    columns, count = SETS[name]
    header, *rows = read(name)

    assert tuple(header) == columns
    assert len(rows) == count
    content = (SAMPLES / name).read_bytes()
    assert content.endswith(b"\n")
    assert not set(b'\r"') & set(content)
    for row in rows:
        assert len(row) == len(columns)
        assert all(cell and cell == " ".join(cell.split()) for cell in row), row


@pytest.mark.parametrize("name", SETS)
def test_readme_gives_the_row_count(name: str) -> None:
    columns, count = SETS[name]
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")

    assert f"| `{name}` | {', '.join(f'`{column}`' for column in columns)} | {count} |" in readme


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_balanced(split: str) -> None:
    shares = Counter(label for _, label in read(f"classify/{split}.tsv")[1:])

    assert set(shares) == LABELS
    assert max(shares.values()) / shares.total() < 0.25
    assert max(shares.values()) < 1.5 * min(shares.values())


def test_readme_gives_the_counts_of_each_label() -> None:
    train, dev = (Counter(label for _, label in read(f"classify/{split}.tsv")[1:]) for split in SPLITS)
    lines = (SAMPLES / "README.md").read_text(encoding="utf-8").splitlines()

    for label in LABELS:
        (line,) = (line for line in lines if line.startswith(f"| `{label}` |"))
        assert line.endswith(f"| {train[label]} | {dev[label]} |")


@pytest.mark.parametrize("split", SPLITS)
def test_messages_have_3_to_45_words(split: str) -> None:
    lengths = [len(text.split()) for text in texts("classify", split)]

    assert min(lengths) >= 3
    assert max(lengths) <= 45


@pytest.mark.parametrize("split", SPLITS)
def test_scores_are_spread_over_the_range(split: str) -> None:
    written = [row[-1] for row in read(f"regress/{split}.tsv")[1:]]
    scores = [float(score) for score in written]
    units = Counter(min(int(score), 4) for score in scores)

    assert written == [f"{score:.1f}" for score in scores]
    assert all(0 <= score <= 5 for score in scores)
    for unit in range(5):
        assert units[unit] >= 0.1 * len(scores), f"scores from {unit} to {unit + 1}"


@pytest.mark.parametrize("columns", [CLASSIFY, REGRESS])
def test_no_text_occurs_twice(columns: tuple[str, ...]) -> None:
    rows = [row for name, (its, _) in SETS.items() if its == columns for row in read(name)[1:]]
    seen = Counter(text.lower() for row in rows for text in row[:-1])

    assert [text for text, count in seen.items() if count > 1] == []


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_no_near_copies(task: str) -> None:
    train = [(text, five_grams(text)) for text in texts(task, "train")]
    dev = [(text, five_grams(text)) for text in texts(task, "dev")]
    looked_at = [
        (0.5, product(train, dev)),
        (0.5, combinations(dev, 2)),
        (0.6, combinations(train, 2)),
    ]

    too_close = [
        (one, other)
        for limit, pairs in looked_at
        for (one, grams), (other, other_grams) in pairs
        if jaccard(grams, other_grams) >= limit
    ]

    assert too_close == []
