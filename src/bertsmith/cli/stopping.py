"""Stopping a run so that it can be resumed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bertsmith.cli import show


@contextmanager
def stop_on_signal(watch: show.Watch) -> Iterator[Callable[[], bool]]:
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
