"""What is wrong with data, before an hour is spent on training.

A check is a function from a file's rows, or those of two, to findings. What differs by task comes from the task:
`content`, `sources`, `classes`, `contradicts`, and `findings` for what only it knows of.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from bertsmith import tasks
from bertsmith.checks.lengths import lengths
from bertsmith.checks.near import near_duplicates, near_sources
from bertsmith.checks.repeats import contradictions, duplicates, leakage, repeats_within, shared_sources
from bertsmith.checks.splits import Reading, Split, counted, read
from bertsmith.checks.targets import (
    class_balance,
    class_counts,
    compare_classes,
    count_classes,
    refusal,
    similar_names,
)
from bertsmith.checks.texts import spoiling_findings, text_findings
from bertsmith.data import ReadOptions
from bertsmith.errors import DataError, SettingsError
from bertsmith.records import Finding

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bertsmith.checks.splits import Progress
    from bertsmith.tasks import Task
    from bertsmith.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class FileReport:
    """What was found in one file. note: how it was read. rows: how many were seen. findings: in the order of checks."""

    name: str
    note: str
    rows: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found. across: what concerns several files."""

    task: str
    files: tuple[FileReport, ...]
    across: tuple[Finding, ...]

    @property
    def findings(self) -> list[Finding]:
        """All findings, file by file, then those across."""
        return [*(finding for file in self.files for finding in file.findings), *self.across]

    def count(self, level: str) -> int:
        """How many findings are of this level: good, warn or fail."""
        return sum(finding.level == level for finding in self.findings)

    def passed(self, *, strict: bool = False) -> bool:
        """Whether nothing failed; with `strict`, whether nothing is to be warned of either."""
        return not self.count("fail") and not (strict and self.count("warn"))

    def record(self) -> dict[str, Any]:
        """As one JSON object: ``{"task", "files": [{"file", "rows", "read", "findings"}], "across", …}``."""
        return {
            "task": self.task,
            "files": [
                {
                    "file": file.name,
                    "rows": file.rows,
                    "read": file.note,
                    "findings": [finding.record() for finding in file.findings],
                }
                for file in self.files
            ],
            "across": [finding.record() for finding in self.across],
            "good": self.count("good"),
            "warn": self.count("warn"),
            "fail": self.count("fail"),
        }


def check(
    task: Task[Any, Any] | str,
    files: Sequence[str | Path],
    *,
    columns: Mapping[str, str] | None = None,
    reading: ReadOptions | None = None,
    encoder: str | Path | None = "minilm",
    max_length: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Check the files that a task is to be trained and scored on: the first is train, the others are dev and test.

    What is wrong with a file, that it is missing included, is a finding, and the other checks go on without it.
    encoder: whose tokenizer tells the lengths; None leaves them out. max_length: as in training. progress: is told
    what is being done, in a few words at a time.
    Raises SettingsError for an unknown task, an option or a column that the task does not have, and no files;
    CheckpointError or MissingDependencyError if the encoder cannot be used.
    """
    if isinstance(task, str):
        task = tasks.task_class(task)()
    if isinstance(files, str) or not files:
        raise SettingsError(f"files must be a list of one file or more, got {files!r}")
    measure = None if encoder is None else _Measure.of(encoder, max_length)
    reading = reading or ReadOptions()
    tell = progress or _keep_silent
    train = read(task, files[0], columns=columns or {}, reading=reading, preferred=None, progress=tell)
    learned = _learn(task, train)
    task = learned or task
    readings = [train]
    for file in files[1:]:
        each = read(task, file, columns=columns or {}, reading=reading, preferred=train.columns, progress=tell)
        readings.append(each)
    splits = [Split.of(task, each.name, each.examples) for each in readings]
    within, across = _checked(task, splits, measure, learned=learned is not None, progress=tell)
    return CheckReport(
        task=task.name,
        files=tuple(
            FileReport(each.name, each.note, each.rows, (*each.findings, *findings))
            for each, findings in zip(readings, within, strict=True)
        ),
        across=tuple(across),
    )


def before_training(
    task: Task[Any, Any], files: Sequence[tuple[str, Sequence[Any]]], *, held_out: bool = False
) -> Iterator[str]:
    """One line for everything that may spoil a run, of the checks that take a second or two on 70,000 rows.

    files: the names and examples of train, then of dev, if there is one. held_out: whether dev will be held out
    of train, so that a row that is in train twice may be in both.
    """
    splits = Split.repeating(task, files)
    train = splits[0]
    found = [(train.name, finding) for finding in class_balance(task, train, count_classes(task, train))]
    for split in splits:
        contradicting = contradictions(task, split)
        found += [(split.name, finding) for finding in (contradicting, *spoiling_findings(task, split)) if finding]
    found += [("", finding) for other in splits[1:] for finding in _leaks(task, train, other)]
    if held_out:
        repeated = duplicates(train)
        hint = " (dev is held out of these rows, so some may be in both)"
        found += [(train.name, Finding(repeated.level, repeated.check, repeated.text + hint, repeated.places))]
    for name, finding in found:
        if finding.level != "good":
            first = f", the first of them {finding.places[0]}" if finding.places else ""
            yield f"{name}{': ' if name else ''}{finding.text}{first}"


@dataclass(frozen=True, slots=True)
class _Measure:
    """What tells the lengths of rows."""

    encoder: str
    tokenizer: Tokenizer
    max_length: int

    @classmethod
    def of(cls, encoder: str | Path, max_length: int | None) -> _Measure:
        from bertsmith.checkpoint import find_tokenizer, sequence_limit

        tokenizer, most = find_tokenizer(encoder)
        return cls(str(encoder), tokenizer, sequence_limit(max_length, most=most, name=encoder))


def _keep_silent(text: str) -> None:
    pass


def _learn(task: Task[Any, Any], train: Reading) -> Task[Any, Any] | None:
    """The task, having learned from the training rows; None where they teach nothing, which is a finding."""
    if train.examples:
        try:
            return task.learn(train.examples)
        except DataError as error:
            message = str(error).removeprefix(f"{train.name}: ")
            train.findings.append(Finding("fail", "nothing-to-learn", message))
    return None


def _checked(
    task: Task[Any, Any], splits: Sequence[Split], measure: _Measure | None, *, learned: bool, progress: Progress
) -> tuple[list[list[Finding]], list[Finding]]:
    """The findings of every file and those across files. Files of which no row could be read have none.

    learned: whether the task has learned from the first file; if not, it knows neither labels nor a scheme of tags to
    judge the rows by.
    """
    within: list[list[Finding]] = [[] for _ in splits]
    counts = [count_classes(task, split) for split in splits]
    used = [number for number, split in enumerate(splits) if split.examples]
    progress(f"{counted(sum(len(split.examples) for split in splits), 'row')}: comparing all with all")
    near_within, near_across = near_duplicates(task, splits)
    near_across += near_sources(task, splits)
    for number in used:
        split, findings = splits[number], within[number]
        progress(f"checking {split.name}")
        findings += class_counts(counts[number], len(split.examples))
        if number == 0:
            findings += class_balance(task, split, counts[0])
        if learned:
            findings += task.findings(split.examples)
            findings += _refused(task, splits, counts, number)
        findings += repeats_within(task, split)
        findings += near_within[number]
        findings += text_findings(task, split)
        if measure is not None:
            findings += _lengths(task, split, measure, progress)
    across = list(similar_names(counts))
    if 0 in used:
        for number in used[1:]:
            across += compare_classes(task, splits[0], splits[number], counts[0], counts[number], learned=learned)
    for number, other in combinations(used, 2):
        progress(f"comparing {splits[other].name} with {splits[number].name}")
        across += _leaks(task, splits[number], splits[other])
    return within, [*across, *near_across]


def _refused(
    task: Task[Any, Any], splits: Sequence[Split], counts: Sequence[Counter[str]], number: int
) -> Iterator[Finding]:
    """A target that training would stop at, if it is not a class that only this file has, which is said elsewhere."""
    if any(name not in counts[0] for name in counts[number]):
        return
    error = refusal(task, splits[number].examples)
    if error is not None:
        yield Finding("fail", "targets", f"training stops at {error}")


def _leaks(task: Task[Any, Any], train: Split, other: Split) -> Iterator[Finding]:
    if any(train.keys) and any(other.keys):
        yield leakage(task, train, other)
        shared = shared_sources(task, train, other)
        if shared is not None:
            yield shared


def _lengths(task: Task[Any, Any], split: Split, measure: _Measure, progress: Progress) -> Iterator[Finding]:
    tokenizer, most, encoder = measure.tokenizer, measure.max_length, measure.encoder
    try:
        yield from lengths(task, split, tokenizer, max_length=most, encoder=encoder, progress=progress)
    except DataError as error:
        yield Finding("fail", "encoding", f"cannot be encoded: {error}")
