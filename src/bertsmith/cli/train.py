"""``bertsmith train``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bertsmith import api, tasks
from bertsmith.bundle import MANIFEST
from bertsmith.cli import show
from bertsmith.cli.flags import flag, of_inputs, of_settings, parse, with_flags
from bertsmith.config import PRESETS, Settings, read_toml, resolve
from bertsmith.errors import SettingsError, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS = {
    "Data": ("train", "dev", "dev_fraction", "format", "header", "delimiter", "quoting", "encoding"),
    "Run": ("encoder", "out", "overwrite", "device", "threads", "save_every", "tensorboard"),
    "Training": (),  # all the others
}


def run(arguments: list[str]) -> None:
    """Train the task that the first argument, or the settings file, names."""
    parse(_command_for(arguments), "train", arguments)


def _command_for(arguments: list[str]) -> Any:
    """The command with the flags of the task that the arguments name, or with those of all tasks alone."""
    name = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if name is None:  # the task after some of the flags
        name = next((argument for argument in arguments if argument in tasks.names()), None)
    config = _value_of("--config", arguments)
    if name is None and config is not None:
        written = read_toml(Path(config)).get("task")
        name = written if written in tasks.names() else None  # if not, that is said with the file's name
    named = {name for group in GROUPS.values() for name in group}
    fields = Settings.model_fields
    flags = []
    for group, names in GROUPS.items():
        chosen = names or [each for each in fields if each not in named and each != "columns"]
        flags += of_settings({each: fields[each] for each in chosen}, group=group)
    flags.append(flag("preset", str, f"settings to start from: {', '.join(PRESETS)}", group="Training"))
    if name is not None:
        kind = tasks.task_class(name)
        flags += of_inputs(kind.inputs, group="Columns")
        flags += of_settings(kind.options(), group=f"Task {name}")
    return with_flags(train, flags)


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
        values = _of_stopped_run(resume)
    else:
        written = read_toml(config) if config else {}
        values = {**written, **{name: _plain(value) for name, value in flags.items()}}
        if task is not None:
            values["task"] = task
        if "task" not in values:
            raise SettingsError(f"which task? one of {listed(tasks.names())}, as in: bertsmith train classify …")
        if written:  # alone first, so that the file is not blamed for a flag
            resolve({**written, "task": values["task"]}, source=str(config))
    chosen, settings = resolve(values)
    with show.Watch(quiet=quiet or json) as watch, _stop_on_signal(watch) as stop:
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


def _of_stopped_run(out: Path) -> dict[str, Any]:
    """The settings of a run that was stopped, by its out folder or by the .partial folder beside that."""
    name = out.name.removesuffix(".partial")
    folder, partial = out.parent / name, out.parent / f"{name}.partial"
    if not (partial / api.RUN).is_file():
        ended = f"; the run {folder} has ended" if (folder / MANIFEST).is_file() else ""
        raise SettingsError(f"--resume {out}: there is no stopped run, which would be in {partial}{ended}")
    return {**read_toml(partial / api.RUN), "out": str(folder)}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


@contextmanager
def _stop_on_signal(watch: show.Watch) -> Iterator[Any]:
    """While it trains, the first Ctrl-C or SIGTERM asks the run to save its state and stop; before, and a second
    Ctrl-C, interrupts at once."""
    asked = threading.Event()

    def ask(number: int, _frame: Any) -> None:
        if not watch.training or (asked.is_set() and number == signal.SIGINT):
            raise KeyboardInterrupt
        asked.set()
        # print, and what rich shows, may not be entered a second time, and a signal comes in the midst of either
        with suppress(OSError, ValueError):
            os.write(
                sys.stderr.fileno(), b"\nstopping after this step, to save the state; Ctrl-C again stops at once\n"
            )

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
