"""A file as the checks see it: its rows as the task's examples, and all that is wrong with the others."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsmith.data import open_rows
from bertsmith.errors import DataError
from bertsmith.records import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bertsmith.data import ReadOptions, Rows
    from bertsmith.records import Row
    from bertsmith.tasks import Task

Key = tuple[str, ...]

# Is told what is being done, for people who wait.
Progress = Callable[[str], None]

# How many places a finding names.
PLACES = 5
# After how many rows of a file that is read progress is told.
ROWS_A_WORD = 5000


def fold(text: str) -> str:
    """A text as duplicates are compared: in Unicode's form NFC, without case, each run of blanks one blank."""
    if text.isascii():
        text = text.lower()
    else:
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(text.split())


def share(part: int, whole: int) -> str:
    """``1.4 %``; never 0.0 % of something, nor 100.0 % of less than all."""
    percent = 100 * part / max(1, whole)
    if 0 < part < whole and not 0.1 <= percent <= 99.9:
        return "<0.1 %" if percent < 1 else ">99.9 %"
    return f"{percent:.1f} %"


def counted(count: int, what: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Split:
    """The examples of a file, in its order, and the folded texts of each; keys: () for a row whose texts are blank, or
    which `repeating` found to be like no other."""

    name: str
    examples: Sequence[Any]
    keys: Sequence[Key]

    @classmethod
    def of(cls, task: Task[Any, Any], name: str, examples: Sequence[Any]) -> Split:
        folded: dict[str, str] = {}  # many rows may share a long text
        return cls(name, examples, [_key(task, example, folded) for example in examples])

    @classmethod
    def repeating(cls, task: Task[Any, Any], files: Sequence[tuple[str, Sequence[Any]]]) -> list[Split]:
        """The files, with the keys of those rows alone that may be there twice, in one file or in two, perhaps with
        their texts swapped, or that stand on a source: what is found of these is what there is, and other rows take 16
        bytes."""
        mark_of_file = []
        for _, examples in files:
            marks = (_mark(task, example) for example in examples)
            mark_of_file.append(np.fromiter(marks, dtype=np.int64, count=len(examples)))
        every, times = np.unique(np.concatenate(mark_of_file), return_counts=True)
        twice = np.append(every[times > 1], _ON_A_SOURCE)
        splits = []
        for (name, examples), mark_R in zip(files, mark_of_file, strict=True):
            keys: list[Key] = [()] * len(examples)
            folded: dict[str, str] = {}
            for row in np.flatnonzero(np.isin(mark_R, twice)).tolist():
                keys[row] = _key(task, examples[row], folded)
            splits.append(cls(name, examples, keys))
        return splits

    def place(self, row: int) -> str:
        return str(self.examples[row].place)


_ON_A_SOURCE = 0  # is the mark of rows that are compared in any case


def _key(task: Task[Any, Any], example: Any, folded: dict[str, str]) -> Key:
    """The folded texts of a row. folded: those that are known already."""
    content = task.content(example)
    assert content, f"content() of the task {task.name!r} gives no text of {example.place}"
    for text in content:
        if text not in folded:
            folded[text] = fold(text)
    key = tuple(folded[text] for text in content)
    return key if any(key) else ()


def _mark(task: Task[Any, Any], example: Any) -> int:
    """A number that rows of the same texts share, in whatever order these are, and others hardly ever."""
    if task.sources(example):
        return _ON_A_SOURCE
    return hash(tuple(sorted(_key(task, example, {}))))


def source_keys(task: Task[Any, Any], split: Split, row: int) -> list[str]:
    """The folded texts of a row that are its sources."""
    example = split.examples[row]
    sources = task.sources(example)
    if not sources or not split.keys[row]:
        return []
    return [key for text, key in zip(task.content(example), split.keys[row], strict=True) if text in sources]


@dataclass
class Reading:
    """What came of reading a file. note: how it was read. broken: its rest could not be read. labelled: with targets.

    rows: all rows that were seen. examples: those that the task takes.
    """

    name: str
    note: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    labelled: bool = True
    rows: int = 0
    examples: list[Any] = field(default_factory=list)
    broken: bool = False
    findings: list[Finding] = field(default_factory=list)


def read(
    task: Task[Any, Any],
    path: Path | str,
    *,
    columns: Mapping[str, str],
    reading: ReadOptions,
    preferred: Mapping[str, str] | None,
    progress: Progress,
) -> Reading:
    """Read a file to its end, or to where its structure breaks, with everything that is wrong on the way.

    preferred: the columns of the training file, of a file that may be without targets; None for the training file.
    Raises SettingsError for columns of inputs that the task does not have.
    """
    result = Reading("<stdin>" if str(path) == "-" else str(path))
    progress(f"reading {result.name}")
    try:
        rows = _opened(task, path, columns, reading, preferred, result)
    except DataError as error:
        result.broken = True
        result.findings.append(_unreadable("cannot be read", error))
        return result
    result.name, result.columns = rows.name, {choice.input: choice.column for choice in rows.choices}
    result.note = rows.describe().removeprefix(f"{rows.name}: ")
    refused = list[str]()
    blanks = list[str]()
    for row in _until_broken(rows, result):
        if result.rows % ROWS_A_WORD == 0:
            progress(f"{result.name}: {counted(result.rows, 'row')} read")
        try:
            example = task.read(row)
            if result.labelled and example.target is None:
                raise DataError("this row has no target", place=row.place)
        except DataError as error:
            refused.append(str(error))
            continue
        result.examples.append(example)
        if task.classes(example):
            blanks += (f"{row.place} {value!r}" for value in _targets(task, row) if value != value.strip())
    result.findings += _of_rows(result, refused, blanks)
    return result


def _opened(
    task: Task[Any, Any],
    path: Path | str,
    columns: Mapping[str, str],
    reading: ReadOptions,
    preferred: Mapping[str, str] | None,
    result: Reading,
) -> Rows:
    try:
        return open_rows(
            path, task.wanted_inputs(), columns=columns, preferred=preferred, texts=task.asked, options=reading
        )
    except DataError as error:
        if preferred is None:
            raise
        targets = {each.name for each in task.inputs if each.needed_to_train and not each.required}
        known = {name: column for name, column in columns.items() if name not in targets}
        try:
            rows = open_rows(
                path,
                task.wanted_inputs(),
                columns=known,
                preferred=preferred,
                texts=task.asked,
                training=False,
                options=reading,
            )
        except DataError:
            raise error from None
        result.labelled = False
        text = "only its texts are checked, as it has no targets"
        result.findings.append(Finding("warn", "no-targets", text, (str(error),)))
        return rows


def _until_broken(rows: Rows, result: Reading) -> Iterator[Row]:
    try:
        for row in rows:
            result.rows += 1
            yield row
    except DataError as error:
        result.broken = True
        result.findings.append(_unreadable(f"cannot be read beyond {counted(result.rows, 'row')}", error))


def _of_rows(result: Reading, refused: Sequence[str], blanks: Sequence[str]) -> Iterator[Finding]:
    numbers = {"rows": result.rows, "refused": len(refused)}
    if refused:
        text = f"{counted(len(refused), 'row')} of {result.rows:,} cannot be used"
        yield Finding("fail", "rows", text, tuple(refused[:PLACES]), numbers)
    elif not result.broken:
        yield Finding("good", "rows", f"every one of {counted(result.rows, 'row')} can be used", numbers=numbers)
    if blanks:
        text = f"{counted(len(blanks), 'row')} with blanks around a label, which are taken off"
        yield Finding("warn", "label-blanks", text, tuple(blanks[:PLACES]), {"rows": len(blanks)})


def _targets(task: Task[Any, Any], row: Row) -> Iterator[str]:
    """The texts of a row that are its target, as they stand in the file."""
    for each in task.inputs:
        value = row.values.get(each.name)
        if each.needed_to_train and not each.required and isinstance(value, str):
            yield value


def _unreadable(what: str, error: DataError) -> Finding:
    return Finding("fail", "structure", what, (str(error),))
