"""``bertsmith train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from bertsmith import api, tasks
from bertsmith.cli import show
from bertsmith.cli.flags import flag, of_inputs, of_settings, parse, with_flags
from bertsmith.cli.reading import flags_of_others
from bertsmith.cli.stopping import plain, settings_of_stopped, stop_on_signal
from bertsmith.config import PRESETS, Settings, read_toml, resolve
from bertsmith.errors import SettingsError, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bertsmith.records import Input

GROUPS = {
    "Data": ("train", "dev", "dev_fraction", "format", "header", "delimiter", "quoting", "encoding"),
    "Run": ("encoder", "out", "overwrite", "device", "threads", "save_every", "tensorboard"),
    "Training": (),  # all the others
}
# In this order; those of the task named come with its columns.
PANELS = ("Data", "Columns", "Run", "Training")


def run(arguments: list[str]) -> None:
    """Train the task that the first argument, or the settings file, names."""
    task = _task_named(arguments)
    parse(_command_for(task), "train", arguments, elsewhere=lambda: flags_of_others(task))


def _task_named(arguments: list[str]) -> str | None:
    """The task that the arguments name, or their settings file; None if neither does. May raise SettingsError."""
    name = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if name is None:  # the task after some of the flags
        name = next((argument for argument in arguments if argument in tasks.names()), None)
    config = _value_of("--config", arguments)
    if name is None and config is not None:
        written = read_toml(Path(config)).get("task")
        name = written if written in tasks.names() else None  # if not, that is said with the file's name
    if name is not None:
        tasks.task_class(name)  # says what is no task, with the nearest
    return name


def _command_for(task: str | None) -> Any:
    """The command with the flags and the help of a task, or with those of all tasks alone."""
    named = {name for group in GROUPS.values() for name in group}
    fields = Settings.model_fields
    flags = []
    panels = {name: Group(name, sort_key=place) for place, name in enumerate(PANELS)}
    for group, names in GROUPS.items():
        chosen = names or [each for each in fields if each not in named and each != "columns"]
        flags += of_settings({each: fields[each] for each in chosen}, group=panels[group])
    flags.append(flag("preset", str, f"settings to start from: {', '.join(PRESETS)}", group=panels["Training"]))
    if task is None:
        return with_flags(train, flags)
    kind = tasks.task_class(task)
    flags += of_inputs(kind.inputs, group=panels["Columns"])
    flags += of_settings(kind.options(), group=Group(f"Task {task}", sort_key=panels["Columns"].sort_key))
    command = with_flags(train, flags)
    command.__doc__ = (
        f"Train the task {task}: {kind.summary}.\n\nInputs: {_in_words(kind.inputs)}. For example:\n\n"
        f"{kind.example}\n\nEvery flag is a key of a settings file, with _ for -."
    )
    return command


def _in_words(inputs: Sequence[Input]) -> str:
    """``words or text, tags or spans``: the inputs, with those that may be missing in training told from the others."""
    parts: list[str] = []
    for before, each in zip([None, *inputs], inputs, strict=False):
        if before is not None and before.or_else == each.name:
            parts[-1] += f" or {each.name}"
        else:
            parts.append(each.name if each.required or each.needed_to_train else f"{each.name} (if there is one)")
    return ", ".join(parts)


def _value_of(name: str, arguments: list[str]) -> str | None:
    """What follows a flag, as ``--config FILE`` or ``--config=FILE``."""
    for argument, following in zip(arguments, [*arguments[1:], None], strict=False):
        if argument == name:
            return following
        if argument.startswith(f"{name}="):
            return argument.removeprefix(f"{name}=")
    return None


def train(
    task: Annotated[str | None, Parameter(help=f"{', '.join(tasks.names())} (bertsmith tasks tells)")] = None,
    /,
    *,
    config: Annotated[Path | None, Parameter(help="a TOML file of settings; flags go before it")] = None,
    resume: Annotated[Path | None, Parameter(help="go on with a run that was stopped, by its out folder")] = None,
    json: Annotated[
        bool, Parameter(help="print the result as one JSON object", negative=(), show_default=False)
    ] = False,
    quiet: Annotated[bool, Parameter(help="no progress, warnings alone", negative=(), show_default=False)] = False,
    **flags: Any,
) -> None:
    """Train a task on your data, from a pretrained encoder to a folder that predicts.

    bertsmith train TASK --help lists the task's own flags, too. Every flag is a key of a settings file, with _ for -.
    """
    if resume is not None:
        if flags or task or config:
            raise SettingsError("--resume takes the settings of the run it goes on with; give no others beside it")
        values = settings_of_stopped("train", resume)
    else:
        written = read_toml(config) if config else {}
        values = {**written, **plain(flags)}
        if task is not None:
            values["task"] = task
        if "task" not in values:
            raise SettingsError(f"which task? one of {listed(tasks.names())}, as in: bertsmith train classify …")
        if written:  # alone first, so that the file is not blamed for a flag
            resolve({**written, "task": values["task"]}, source=str(config))
    chosen, settings = resolve(values)
    with show.Watch(quiet=quiet or json) as watch, stop_on_signal(watch) as stop:
        result = api.train(chosen, settings, resume=resume is not None, listen=watch.listen, stop=stop)
    if json:
        evaluation = result.evaluation.record() if result.evaluation else None
        show.print_json({"out": str(result.folder), "steps": result.fit.steps, "dev": evaluation})
        return
    console = show.stdout()
    if result.evaluation is not None:
        show.show_evaluation(console, result.evaluation, title="dev")
    console.print(f"saved {result.folder}", markup=False)
    if not quiet:
        trained = result.bundle.task
        needed = {each.name for each in trained.wanted_inputs() if each.required}
        texts = " ".join(f'"{name}"' for name in trained.asked if name in needed)
        console.print(f"try: bertsmith predict {result.folder} {texts}", markup=False)
