"""The flags that say how a file is read, for the commands that use a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bertsmith import tasks
from bertsmith.cli.flags import flag, of_settings
from bertsmith.config import Settings
from bertsmith.data import ReadOptions

if TYPE_CHECKING:
    import inspect
    from collections.abc import Mapping

_OPTIONS = ("format", "header", "delimiter", "quoting", "encoding")


def reading_flags() -> list[inspect.Parameter]:
    """The inputs' columns, and the file's format."""
    columns = [
        flag(name, str, f"{help_text}; left out, as in training, or guessed", group="Reading")
        for name, help_text in _inputs().items()
    ]
    return columns + of_settings({name: Settings.model_fields[name] for name in _OPTIONS}, group="Reading")


def columns_of(flags: Mapping[str, Any]) -> dict[str, str]:
    """The columns that these flags name."""
    return {name: value for name, value in flags.items() if name in _inputs()}


def reading_of(flags: Mapping[str, Any]) -> ReadOptions:
    """How these flags say a file is read."""
    return ReadOptions(**{name: value for name, value in flags.items() if name in _OPTIONS})


def _inputs() -> dict[str, str]:
    """The inputs of all tasks with their help: which task a model is of is not known before it is opened."""
    return {each.name: each.help for name in tasks.names() for each in tasks.task_class(name).inputs}
