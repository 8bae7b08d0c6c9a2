"""The flags that say how a file is read, for the commands that use a trained model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bertsmith import tasks
from bertsmith.cli.flags import flag, of_settings
from bertsmith.config import Settings
from bertsmith.data import ReadOptions

if TYPE_CHECKING:
    import inspect
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from bertsmith.records import Input

_OPTIONS = ("format", "header", "delimiter", "quoting", "encoding")


def reading_flags(*, labels: bool) -> list[inspect.Parameter]:
    """The inputs' columns, those of labels if they are read, the file's format, and the options that a trained model's
    task may change."""
    columns = [
        flag(each.name, str, f"{each.help}; left out, as in training, or guessed", group="Reading")
        for each in _inputs().values()
        if labels or not each.needed_to_train or each.required
    ]
    settings = {name: Settings.model_fields[name] for name in _OPTIONS}
    options = of_settings(_options(), group="The model's task", left_out="as in training")
    return columns + of_settings(settings, group="Reading") + options


def options_of(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the task that these flags change."""
    return {name: value for name, value in flags.items() if name in _options()}


def columns_of(flags: Mapping[str, Any]) -> dict[str, str]:
    """The columns that these flags name."""
    return {name: value for name, value in flags.items() if name in _inputs()}


def reading_of(flags: Mapping[str, Any]) -> ReadOptions:
    """How these flags say a file is read."""
    return ReadOptions(**{name: value for name, value in flags.items() if name in _OPTIONS})


def _options() -> dict[str, FieldInfo]:
    """What the tasks allow to change for a trained model: which task it is of is not known before it is opened."""
    options: dict[str, FieldInfo] = {}
    for name in tasks.names():
        options |= {
            key: field for key, field in tasks.task_class(name).options(at_use=True).items() if key not in options
        }
    return options


def _inputs() -> dict[str, Input]:
    """The inputs of all tasks: which task a model is of is not known before it is opened."""
    inputs: dict[str, Input] = {}
    for each in (each for name in tasks.names() for each in tasks.task_class(name).inputs):
        if each.name in inputs and inputs[each.name].help != each.help:  # it means another thing to each task
            each = replace(each, help=f"the column of the {each.name}")
        inputs[each.name] = each
    return inputs
