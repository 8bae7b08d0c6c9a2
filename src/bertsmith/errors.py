"""The exception tree. What a user did wrong says where, what was found and what is allowed.

BertsmithError
├── InputError             the user's input: data, settings, folders (exit code 2)
│   ├── DataError          a row of a file
│   ├── SettingsError      a flag, a key of run.toml, an argument
│   ├── CheckpointError    an encoder's folder
│   ├── BundleError        a saved model's folder
│   └── ExportError        a model that cannot be exported, or whose export answers too differently
├── MissingDependencyError a package that an option needs (exit code 3)
└── TrainingError          a run that cannot go on (exit code 4)
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bertsmith.records import Place


class BertsmithError(Exception):
    """The base of all errors that bertsmith raises on purpose."""

    exit_code = 1


class InputError(BertsmithError, ValueError):
    """The user's input is wrong; a ValueError, too, as callers of a library expect.

    The message starts with the place where one is known: ``file:line: …``.
    """

    exit_code = 2

    def __init__(self, message: str, *, place: Place | None = None) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place


class DataError(InputError):
    """A file of rows, or one of its rows, cannot be used as it is."""


class SettingsError(InputError):
    """A flag, a key of a settings file or an argument is unknown or out of range."""


class CheckpointError(InputError):
    """An encoder's folder is incomplete, unsafe or of an unknown form."""


class BundleError(InputError):
    """A saved model's folder is incomplete, damaged or of an unknown form."""


class ExportError(InputError):
    """A model cannot be exported as asked, or its export's answers are too far from its own.

    compared: of the latter, how the answers compared.
    """

    def __init__(self, message: str, *, compared: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.compared = compared


class MissingDependencyError(BertsmithError):
    """An option needs a package that is not installed; the message holds the command that installs it."""

    exit_code = 3


class TrainingError(BertsmithError):
    """A run cannot go on; the message names the rows and the step."""

    exit_code = 4


def nearest(word: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the allowed name most like `word`, or an empty string if none is like it."""
    names = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"; did you mean {names[close[0]]!r}?" if close else ""


def listed(names: Iterable[str], *, most: int = 12) -> str:
    """Names for a message, quoted, cut after `most` with the count of the rest: ``'a', 'b' and 3 more``."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
