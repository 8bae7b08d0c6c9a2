"""The flags that say how a file is read and what the task of a trained model may change, for the commands that use one.

Which task a model is of its folder tells; where that cannot be read, the flags of all tasks are taken.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Group

from bertsmith import tasks
from bertsmith.bundle import MANIFEST
from bertsmith.cli.flags import flag, of_settings
from bertsmith.config import Settings
from bertsmith.data import ReadOptions

if TYPE_CHECKING:
    import inspect
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic.fields import FieldInfo

    from bertsmith.records import Input

_OPTIONS = ("format", "header", "delimiter", "quoting", "encoding")


def task_of_model(arguments: Sequence[str]) -> str | None:
    """The task of the first argument that is a bundle's folder, by its bertsmith.json alone; None if there is none.

    What is wrong with a folder is said when it is opened.
    """
    for argument in arguments:
        try:
            name = json.loads((Path(argument) / MANIFEST).read_text(encoding="utf-8"))["task"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        return name if name in tasks.names() else None
    return None


def reading_flags(task: str | None, *, labels: bool, options: bool = True) -> list[inspect.Parameter]:
    """The inputs' columns, those of labels if they are read, and the options that a trained model's task may change, by
    the tasks that have them, if `options`; the file's format. task: that of the model, None if it is not known.
    """
    names = tasks.names() if task is None else [task]
    inputs, changes = _inputs(names, labels=labels), _options(names, at_use=True) if options else {}
    having = {*map(tuple, inputs.values()), *map(tuple, changes.values())}
    in_order = sorted(having, key=lambda each: (-len(each), each))  # first what most tasks have
    panels = {each: Group(f"Options of {_models(each)}", sort_key=place) for place, each in enumerate(in_order)}
    flags = []
    for name, by_task in inputs.items():
        helps = {each.help for each in by_task.values()}
        what = helps.pop() if len(helps) == 1 else f"the column of the {name}"  # it means another thing to each task
        flags.append(flag(name, str, f"{what}; left out, as in training, or guessed", group=panels[tuple(by_task)]))
    for name, fields in changes.items():
        first = next(iter(fields.values()))
        flags += of_settings({name: first}, group=panels[tuple(fields)], left_out="as in training")
    settings = {name: Settings.model_fields[name] for name in _OPTIONS}
    return flags + of_settings(settings, group=Group("Reading", sort_key=len(panels)))


def flags_of_others(task: str | None, *, labels: bool = True, at_use: bool = False) -> dict[str, str]:
    """The flags that only other tasks have, with what to say of each; none as long as no task is known.

    labels: whether columns of labels are among them. at_use: of the options, those that a trained model may change.
    """
    if task is None:
        return {}
    inputs, options = _inputs(tasks.names(), labels=labels), _options(tasks.names(), at_use=at_use)
    having = {name: {*inputs.get(name, ()), *options.get(name, ())} for name in (*inputs, *options)}
    return {
        name: f"is an option of {_models(sorted(others))}, and here the task is {task}"
        for name, others in having.items()
        if task not in others
    }


def options_of(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the task that these flags change."""
    if not flags:
        return {}  # looking the options up imports every task
    known = _options(tasks.names(), at_use=True)
    return {name: value for name, value in flags.items() if name in known}


def columns_of(flags: Mapping[str, Any]) -> dict[str, str]:
    """The columns that these flags name."""
    if not flags:
        return {}
    known = _inputs(tasks.names(), labels=True)
    return {name: value for name, value in flags.items() if name in known}


def reading_of(flags: Mapping[str, Any]) -> ReadOptions:
    """How these flags say a file is read."""
    return ReadOptions(**{name: value for name, value in flags.items() if name in _OPTIONS})


def _options(names: Iterable[str], *, at_use: bool) -> dict[str, dict[str, FieldInfo]]:
    """The options of these tasks by name, each as every task that has it has it."""
    options: dict[str, dict[str, FieldInfo]] = {}
    for task in names:
        for name, field in tasks.task_class(task).options(at_use=at_use).items():
            options.setdefault(name, {})[task] = field
    return options


def _inputs(names: Iterable[str], *, labels: bool) -> dict[str, dict[str, Input]]:
    """The inputs of these tasks by name, each as every task that has it has it; labels: also what training needs."""
    inputs: dict[str, dict[str, Input]] = {}
    for task in names:
        for each in tasks.task_class(task).inputs:
            if labels or not each.needed_to_train or each.required:
                inputs.setdefault(each.name, {})[task] = each
    return inputs


def _models(names: Sequence[str]) -> str:
    """``answer, classify and tag models``."""
    *before, last = names
    return f"{', '.join(before)} and {last} models" if before else f"{last} models"
