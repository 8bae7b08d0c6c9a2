"""Rows that are there twice: within a file, in two files, with another target, with a pair's texts swapped.

Two rows are the same if their folded texts are (see `fold`).
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

from bertsmith.checks.splits import PLACES, counted, share, source_keys
from bertsmith.records import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bertsmith.checks.splits import Key, Split
    from bertsmith.records import Level
    from bertsmith.tasks import Task

# From this share of a file's rows on, rows of training among them are a failure: its scores tell of memory.
LEAK_FAILS = 0.1


def repeats_within(task: Task[Any, Any], split: Split) -> Iterator[Finding]:
    """Duplicates, contradictions and swapped pairs of one file."""
    if any(split.keys):
        yield duplicates(split)
        contradicting = contradictions(task, split)
        yield contradicting or Finding("good", "contradictions", "no text has two targets that contradict each other")
        yield from _swapped(task, split)


def duplicates(split: Split) -> Finding:
    """How many rows repeat an earlier one of their file."""
    repeated = [(row, rows[0]) for rows in _groups(split).values() for row in rows[1:]]
    if not repeated:
        return Finding("good", "duplicates", "no row is there twice", numbers={"rows": 0})
    repeated.sort()
    text = f"{counted(len(repeated), 'row')} ({share(len(repeated), len(split.keys))}) like an earlier one"
    return Finding("warn", "duplicates", text, _pairs(split, repeated), _numbers(len(repeated), len(split.keys)))


def contradictions(task: Task[Any, Any], split: Split) -> Finding | None:
    """How many texts of a file have targets that contradict each other, and in how many rows; None if none has."""
    contradicts = _contradicts(task, split)
    found: list[tuple[int, int]] = []
    rows_in_all = 0
    for rows in _groups(split).values():
        apart = _apart(split, rows, contradicts)
        if apart:
            found.append(apart)
            rows_in_all += len(rows)
    if not found:
        return None
    found.sort(key=max)
    places = tuple(f"{_with_target(task, split, a)} and {_with_target(task, split, b)}" for a, b in found[:PLACES])
    numbers = {"texts": len(found), **_numbers(rows_in_all, len(split.keys))}
    whole = f"{counted(rows_in_all, 'row')}, {share(rows_in_all, len(split.keys))}"
    text = f"{counted(len(found), 'text')} ({whole}) with targets that contradict each other"
    return Finding("warn", "contradictions", text, places, numbers)


def leakage(task: Task[Any, Any], train: Split, other: Split) -> Finding:
    """How many rows of a file are in an earlier one, too: a warning, from a tenth on a failure."""
    contradicts = _contradicts(task, train)
    first = _first(train)
    leaked, swapped, apart = list[tuple[int, int]](), 0, 0
    for row, key in enumerate(other.keys):
        here = first.get(key)
        if here is None and len(key) == 2:
            here = first.get(key[::-1])
            swapped += here is not None
        elif here is not None:
            apart += contradicts(train.examples[here].target, other.examples[row].target)
        if here is not None:
            leaked.append((row, here))
    numbers = {**_numbers(len(leaked), len(other.keys)), "swapped": swapped, "contradicting": apart}
    numbers |= {"file": other.name, "in": train.name}
    if not leaked:
        return Finding("good", "leakage", f"no row of {other.name} is in {train.name}", numbers=numbers)
    rows = f"{counted(len(leaked), 'row')} of {len(other.keys):,} ({share(len(leaked), len(other.keys))})"
    text = f"{other.name}: {rows} also in {train.name}"
    text += f", {swapped:,} with the two texts swapped" if swapped else ""
    text += f", {apart:,} with a target that contradicts it" if apart else ""
    level: Level = "fail" if len(leaked) >= LEAK_FAILS * len(other.keys) else "warn"
    places = tuple(f"{other.place(row)} = {train.place(here)}" for row, here in leaked[:PLACES])
    return Finding(level, "leakage", text, places, numbers)


def shared_sources(task: Task[Any, Any], train: Split, other: Split) -> Finding | None:
    """How many rows of a file stand on a source (a passage, say) that an earlier file has, too; None of tasks without.

    A warning only: two questions on one passage differ, but scores on it tell less of new passages.
    """
    first: dict[str, int] = {}
    for row in reversed(range(len(train.keys))):
        first.update(dict.fromkeys(source_keys(task, train, row), row))
    if not first:
        return None
    found = []
    for row in range(len(other.keys)):
        here = next((first[source] for source in source_keys(task, other, row) if source in first), None)
        if here is not None:
            found.append((row, here))
    numbers = {**_numbers(len(found), len(other.keys)), "file": other.name, "in": train.name}
    if not found:
        text = f"no text that rows of {other.name} share is in {train.name}"
        return Finding("good", "sources", text, numbers=numbers)
    rows = f"{counted(len(found), 'row')} of {len(other.keys):,} ({share(len(found), len(other.keys))})"
    places = tuple(f"{other.place(row)} and {train.place(here)}" for row, here in found[:PLACES])
    text = f"{other.name}: {rows} on a text that rows of {train.name} are on, too"
    return Finding("warn", "sources", text, places, numbers)


def _swapped(task: Task[Any, Any], split: Split) -> Iterator[Finding]:
    """Pairs that are there the other way round, too."""
    contradicts = _contradicts(task, split)
    first = _first(split)
    found, apart = list[tuple[int, int]](), 0
    for row, key in enumerate(split.keys):
        here = first.get(key[::-1]) if len(key) == 2 and key[0] != key[1] else None
        if here is not None and here < row:
            found.append((row, here))
            apart += contradicts(split.examples[row].target, split.examples[here].target)
    if found:
        text = f"{counted(len(found), 'row')} ({share(len(found), len(split.keys))}) like an earlier one, texts swapped"
        text += f"; {apart:,} with another target" if apart else ""
        numbers = {**_numbers(len(found), len(split.keys)), "contradicting": apart}
        yield Finding("warn", "swapped-pairs", text, _pairs(split, found), numbers)


def _first(split: Split) -> Mapping[Key, int]:
    """The first row of each text."""
    first: dict[Key, int] = {}
    for row, key in enumerate(split.keys):
        if key:
            first.setdefault(key, row)
    return first


def _groups(split: Split) -> Mapping[Key, list[int]]:
    """The rows of every text that more than one row has."""
    first = _first(split)
    groups: dict[Key, list[int]] = defaultdict(list)
    for row, key in enumerate(split.keys):
        if key and first[key] != row:
            groups[key].append(row)
    return {key: [first[key], *rows] for key, rows in groups.items()}


def _contradicts(task: Task[Any, Any], split: Split) -> Callable[[Any, Any], bool]:
    """What the task tells of two targets; one that is not known contradicts none."""
    contradicts = task.contradicts(split.examples)
    return lambda target, other: target is not None and other is not None and contradicts(target, other)


def _apart(split: Split, rows: Sequence[int], contradicts: Callable[[Any, Any], bool]) -> tuple[int, int] | None:
    """Two rows of the same text whose targets contradict each other."""
    row_of = {split.examples[row].target: row for row in reversed(rows)}
    row_of.pop(None, None)
    pairs = combinations(sorted(row_of.values()), 2)
    return next((p for p in pairs if contradicts(split.examples[p[0]].target, split.examples[p[1]].target)), None)


def _with_target(task: Task[Any, Any], split: Split, row: int) -> str:
    target = repr(task.target_record(split.examples[row].target))
    return f"{split.place(row)} {target}" if len(target) <= 40 else split.place(row)


def _pairs(split: Split, pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(f"{split.place(row)} = {split.place(first)}" for row, first in pairs[:PLACES])


def _numbers(rows: int, of: int) -> dict[str, float | int | str]:
    return {"rows": rows, "of": of, "share": rows / max(1, of)}
