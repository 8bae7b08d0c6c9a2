"""Stopping a run so that it can be resumed, and the settings of one that was."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith.bundle import MANIFEST
from bertsmith.config import read_toml
from bertsmith.errors import SettingsError
from bertsmith.training.folder import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bertsmith.cli import show


@contextmanager
def stop_on_signal(watch: show.Watch) -> Iterator[Callable[[], bool]]:
    """While it trains, the first Ctrl-C or SIGTERM asks the run to save its state and stop; before, and a second
    Ctrl-C, interrupts at once."""
    asked = threading.Event()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        if not watch.training or (asked.is_set() and number == signal.SIGINT):
            otherwise = before[signal.Signals(number)]
            if callable(otherwise):
                otherwise(number, frame)
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
    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def settings_of_stopped(command: str, out: Path) -> dict[str, Any]:
    """The settings of a run that was stopped, by its out folder or by the .partial folder beside that.

    Raises SettingsError if there is none, none of this command, or if its settings are lost.
    """
    name = out.name.removesuffix(".partial")
    folder, partial = out.parent / name, out.parent / f"{name}.partial"
    if not (partial / RUN).is_file():
        ended = f"; the run {folder} has ended" if (folder / MANIFEST).is_file() else ""
        raise SettingsError(f"--resume {out}: there is no stopped run, which would be in {partial}{ended}")
    values = read_toml(partial / RUN)
    made_by = values.get("command") or ("train" if "task" in values else None)
    if made_by is None:
        raise SettingsError(
            f"--resume {out}: {partial / RUN} does not say which run it is of, and cannot be gone on with; begin anew: "
            f"bertsmith {command} … --out {folder} --overwrite"
        )
    if made_by != command:
        raise SettingsError(f"--resume {out}: go on with that run by: bertsmith {made_by} --resume {out}")
    return {**values, "out": str(folder)}


def plain(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags as a settings file has them: paths are text."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in flags.items()}
