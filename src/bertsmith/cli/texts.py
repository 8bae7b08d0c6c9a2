"""The texts that a command is given: as arguments, in a file, or on stdin."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cyclopts import Group

from bertsmith.cli.flags import of_inputs, of_settings
from bertsmith.cli.reading import columns_of, reading_of
from bertsmith.config import Settings
from bertsmith.data import FORMATS, open_rows, text_of
from bertsmith.errors import InputError, SettingsError
from bertsmith.events import Listener, Said
from bertsmith.records import Place
from bertsmith.tasks._texts import TEXT
from bertsmith.tasks.mlm import Passage


def file_flags() -> list[inspect.Parameter]:
    """The flags that say how a file of texts is read."""
    group = Group("Files", sort_key=1)
    names = ("format", "header", "delimiter", "quoting", "encoding")
    settings = {name: Settings.model_fields[name] for name in names}
    return [*of_inputs((TEXT,), group=group), *of_settings(settings, group=group)]


def passages_of(
    arguments: Sequence[str], flags: Mapping[str, Any], *, command: str, empty: bool, listen: Listener
) -> Iterable[Passage]:
    """The texts themselves, or those of the one file that is named; ``-`` and, in a pipe, nothing at all are stdin.
    Texts themselves are a list, those of a file come as they are read.

    flags: those of `file_flags` that are given. empty: whether empty lines of a file are texts, too. How a file is read
    is told at once.
    Raises SettingsError if there is nothing to read; InputError for a file that is not there.
    """
    if not arguments and sys.stdin.isatty():
        raise SettingsError(f'no text is given: bertsmith {command} MODEL "…", a file of texts, or - for stdin')
    only = arguments[0] if len(arguments) == 1 else "-" if not arguments else None
    if only is None or not _means_file(only):
        if flags:
            raise SettingsError(f"--{next(iter(flags))} is about files, and a text was given")
        many = len(arguments) > 1
        return [
            Passage(text, Place(f"text {number}" if many else "the text given"))
            for number, text in enumerate(arguments, start=1)
        ]
    options = reading_of(flags)
    if not flags and only != "-" and not _has_columns(only):
        options = replace(options, format="lines")  # whatever tabs are in it
    rows = open_rows(only, (TEXT,), columns=columns_of(flags), texts=("text",), training=False, options=options)
    listen(Said(rows.describe()))
    passages = (Passage(text_of(row, "text"), row.place) for row in rows)
    return passages if empty else (passage for passage in passages if passage.text.strip())


def _means_file(text: str) -> bool:
    if text == "-":
        return True
    try:
        if Path(text).is_file():
            return True
    except (OSError, ValueError):  # a text may be longer than any path, or hold what no path may
        return False
    if _ends(text, [suffix for each in FORMATS.values() for suffix in each.suffixes]) and " " not in text:
        raise InputError(f"{text}: no such file")
    return False


def _has_columns(name: str) -> bool:
    return _ends(name, [suffix for form, each in FORMATS.items() if form != "lines" for suffix in each.suffixes])


def _ends(name: str, suffixes: Sequence[str]) -> bool:
    return name.removesuffix(".gz").lower().endswith(tuple(suffixes))


def on_one_line(text: str) -> str:
    """A text without line ends and tabs, for lists of a text a line."""
    return " ".join(text.split())
