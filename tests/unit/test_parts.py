"""Long rows: a step computed in parts of its sequences, prediction in windows of rows, rows on one source together."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith import infer
from bertsmith.batching import collate, order
from bertsmith.config import Settings
from bertsmith.errors import DataError
from bertsmith.events import Said, Stepped
from bertsmith.families import families
from bertsmith.infer import Predictor
from bertsmith.records import Place, Row
from bertsmith.tasks.answer import Answer
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.tag import Tag
from bertsmith.training import fit_examples, loop
from bertsmith.training.run import _held_out
from tiny import TEXTS, Case

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bertsmith.batching import Batch
    from bertsmith.records import Encoded
    from bertsmith.tasks import Task

LONG = " ".join(TEXTS[:4] * 3)
THIN = {"text": "thin", "answer_start": LONG.index("thin")}
ROWS: dict[str, tuple[Task[Any, Any], list[dict[str, Any]]]] = {
    "answer": (Answer(overlap=4), [{"question": "Who?", "passage": LONG, "answers": [THIN]}] * 3),
    "tag": (Tag(overlap=4), [{"words": LONG, "tags": [str(len(word) % 3) for word in LONG.split()]}] * 3),
    "classify": (Classify(long_texts="windows", overlap=4), [{"text": LONG, "label": label} for label in "aba"]),
}  # fmt: skip


@pytest.fixture
def settings(tiny_checkpoint: Callable[[Case], Path]) -> dict[str, Any]:
    encoder = str(tiny_checkpoint(Case(families()["bert"])))
    return {"encoder": encoder, "max_length": 30, "dropout": 0.0, "device": "cpu", "dev_fraction": 0.0, "batch_size": 4}


def examples_of(task: Task[Any, Any], rows: Sequence[dict[str, Any]]) -> list[Any]:
    return [task.read(Row(row, Place("rows.jsonl", line))) for line, row in enumerate(rows, start=1)]


@pytest.mark.parametrize("name", ROWS)
def test_a_step_in_parts_is_the_same_step(name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows far longer than a part may be: by sequence where the loss allows it, by row where it does not."""
    task, rows = ROWS[name]
    steps, sizes = list[Stepped](), list[list[int]]()

    def counted(encoded: Sequence[Encoded], examples: Sequence[Any], **more: Any) -> Batch:
        sizes[-1].append(len(encoded))
        return collate(encoded, examples, **more)

    monkeypatch.setattr(loop, "collate", counted)
    for most in (10_000, 60):
        monkeypatch.setattr(loop, "MOST_TOKENS", {"cpu": most})
        sizes.append([])
        fit_examples(
            task, examples_of(task, rows), None, Settings(**settings, max_steps=1),
            listen=lambda event: steps.append(event) if isinstance(event, Stepped) else None,
        )  # fmt: skip
    whole, parts = steps
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert parts.gradient_norm == pytest.approx(whole.gradient_norm, rel=1e-5)
    assert parts.tokens == whole.tokens
    (windows,) = sizes[0]
    assert sum(sizes[1]) == windows
    assert max(sizes[1]) <= (2 if task.sums_sequences else windows // len(rows))


def test_rows_on_one_source_are_held_out_together(settings: dict[str, Any]) -> None:
    passages = [f"{text} {number}" for number, text in enumerate(TEXTS)]
    rows = [
        {"question": question, "passage": passage, "answers": [passage.split()[0]]}
        for passage in passages
        for question in ("Who?", "What?", "Why?")
    ]
    task, said = Answer(), list[str]()
    examples = examples_of(task, rows)
    _, evaluation, _ = fit_examples(
        task, examples, None, Settings(**{**settings, "dev_fraction": 0.2, "max_steps": 1}),
        listen=lambda event: said.append(event.text) if isinstance(event, Said) else None,
    )  # fmt: skip
    assert evaluation is not None
    held = {example.passage for example in evaluation.examples}
    assert len(evaluation.examples) == 3 * len(held)
    assert 0 < len(held) < len(passages)
    assert any(f"{len(evaluation.examples)} of {len(rows)} rows are held out" in text for text in said)
    with pytest.raises(DataError, match="all rows are on one source, so none can be held out; give dev"):
        fit_examples(task, examples[:3], None, Settings(**{**settings, "dev_fraction": 0.5}))


@given(st.lists(st.integers(-3, 4), min_size=2, max_size=30), st.sampled_from([0.1, 0.34, 0.5, 0.9]), st.integers(0, 3))
@hypothesis.settings(deadline=None)
def test_whole_groups_are_held_out_until_there_are_enough(sources: list[int], fraction: float, seed: int) -> None:
    """As one group after another in the order of the seed; numbers below 0 have no source."""

    class Sourced(Answer):
        def sources(self, example: Any) -> tuple[str, ...]:
            return () if example[1] < 0 else (str(example[1]),)

    groups: dict[Any, list[int]] = {}
    for row, source in enumerate(sources):
        groups.setdefault(source if source >= 0 else ("alone", row), []).append(row)
    wanted, held = min(round(len(sources) * fraction), len(sources) - 1), list[int]()
    for group in order(len(groups), seed=seed, epoch=-1).tolist():
        rows = list(groups.values())[group]
        if len(held) >= wanted or len(held) + len(rows) == len(sources):
            break
        held += rows
    examples = list(enumerate(sources))
    if wanted and len(groups) < 2:
        return
    train, dev = _held_out(Sourced(), examples, Settings(dev_fraction=fraction, seed=seed), lambda _: None)
    assert [row for row, _ in dev or ()] == sorted(held)
    assert [row for row, _ in train] == sorted(set(range(len(sources))) - set(held))


def test_long_texts_are_read_ahead_by_their_characters(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, rows = ROWS["tag"]
    bundle, _, _ = fit_examples(task, examples_of(task, rows), None, Settings(**settings, max_steps=1))
    monkeypatch.setattr(infer, "LOOK_AHEAD_CHARACTERS", 2 * len(LONG) - 10)
    read: list[int] = []

    def stream() -> Any:
        for number in range(6):
            read.append(number)
            yield Row({"words": LONG.split()}, Place("stream", number))

    predictor = Predictor(bundle)
    first = next(predictor._prepared(stream(), infer.LOOK_AHEAD, scoring=False))
    assert len(first.rows) == len(read) == 3, "no more rows than the characters allow"
    assert len(list(predictor.stream(stream()))) == 6


def test_rows_of_a_database_are_read_by_the_thread_that_opened_it(settings: dict[str, Any]) -> None:
    task, rows = ROWS["classify"]
    bundle, _, _ = fit_examples(task, examples_of(task, rows), None, Settings(**settings, max_steps=1))
    database = sqlite3.connect(":memory:")
    database.execute("create table texts (text)")
    database.executemany("insert into texts values (?)", [("good film",)] * 25)
    cursor = database.execute("select text from texts")
    found = Predictor(bundle).stream((Row({"text": text}, Place("texts")) for (text,) in cursor), look_ahead=10)
    assert len(list(found)) == 25
    database.close()
