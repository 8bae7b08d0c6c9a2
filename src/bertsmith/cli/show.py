"""What people see: progress while training, tables of scores. Progress goes to stderr, results to stdout.

The events of a run are imported only where there are some: who answers with an exported model says what there is to say
with `Watch.say` and `Watch.answered`. rich, too, is imported only for terminals and tables.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from rich.console import Console
    from rich.progress import Progress

    from bertsmith.evaluation import Evaluation
    from bertsmith.events import Began, Event, Listener, Stepped
    from bertsmith.records import Score

# More labels than this make no readable table; --json has them all.
MOST_LABELS = 25
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def stderr() -> Console:
    """For progress and warnings."""
    return _console(stderr=True)


def stdout() -> Console:
    """For results."""
    return _console(stderr=False)


def visible(text: str) -> str:
    """A text whose control characters, with which it could recolour a terminal, are written as ``\\x1b``; tabs and line
    ends stay."""
    return text.translate(_CONTROLS)


def escape(text: str) -> str:
    """A text that is shown as it is, whatever brackets and control characters it holds."""
    from rich import markup

    return markup.escape(visible(text))


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    console.soft_wrap = not console.is_terminal  # a terminal breaks lines between words, a file not at all
    return console


def print_json(record: Any) -> None:
    """One JSON object on a line of stdout."""
    sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


@contextmanager
def status(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Shows what is being done, as it is told, on a line of stderr that is gone at the end; on a terminal alone."""
    console = stderr()
    if quiet or not (console.is_interactive and console.file.isatty()):  # whatever FORCE_COLOR says
        yield _show_nothing
        return
    spinner = "dots" if console.encoding.startswith("utf") else "line"
    with console.status("", spinner=spinner) as shown:
        yield lambda text: shown.update(escape(text))


def _show_nothing(text: str) -> None:
    pass


class Watch:
    """Shows a run's events on stderr: a bar with loss, speed and time left on a terminal, plain lines when piped."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._training = False
        self._bar: Progress | None = None
        self._began: Began | None = None
        self._loss: float | None = None
        self._said_at = time.monotonic()
        self._tokens = 0
        self._started = time.monotonic()

    @cached_property
    def _console(self) -> Console:
        return stderr()

    @property
    def listen(self) -> Listener:
        return self._notice

    @property
    def training(self) -> bool:
        """Whether steps are being taken."""
        return self._training

    def say(self, text: str, *, warning: bool = False) -> None:
        """Show a remark; quiet is no progress, but nothing is cut in silence."""
        if self._quiet and not warning:
            return
        if self._bar is None and not sys.stderr.isatty() and not os.environ.get("FORCE_COLOR"):
            sys.stderr.write(f"warning: {text}\n" if warning else f"{text}\n")
        else:
            self._line(f"[yellow]warning:[/] {escape(text)}" if warning else escape(text))

    def answered(self, done: int, of: int | None, seconds: float, *, what: str = "rows") -> None:
        """Show that so many of the rows have been answered, in so many seconds; what: if they are no rows."""
        if not self._quiet:
            self._answered(done, of, seconds, what)

    def _notice(self, event: Event) -> None:
        from bertsmith.events import Began, Ended, Said

        self._training = isinstance(event, Began) or (self._training and not isinstance(event, Ended))
        if isinstance(event, Said):
            self.say(event.text, warning=event.warning)
        elif not self._quiet:
            self._show(event)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, event: Event) -> None:
        from bertsmith.events import Began, Ended, Predicted, Saved, Scored, Stepped

        match event:
            case Began():
                self._begin(event)
            case Stepped():
                self._step(event)
            case Scored():
                scores = "  ".join(f"{escape(name)} {number(value)}" for name, value in event.scores.items())
                best = "  [green]best so far[/]" if event.best else ""
                self._line(f"step {event.step:,}  epoch {event.epoch:.2f}  dev: {scores}{best}")
            case Predicted(rows=rows, of=of, seconds=seconds):
                self._answered(rows, of, seconds)
            case Saved(step=step):
                self._line(f"[dim]step {step:,}: state saved, to resume from[/]")
            case Ended(step=step, reason=reason, best_step=best_step):
                self._close()
                kept = f"; keeping the state of step {best_step:,}" if best_step not in (None, step) else ""
                kept = "" if reason == "stopped" else kept
                why = {"plateau": "no better for a while", "stopped": "stopped on request"}.get(reason, "done")
                self._line(f"{why} after step {step:,}{kept}")

    def _begin(self, event: Began) -> None:
        self._began, self._started, self._said_at, self._tokens = event, time.monotonic(), time.monotonic(), 0
        self._loss = None
        self._line(
            f"training: {_counted(event.rows, 'row')}, {event.epochs:.3g} epochs, {event.steps:,} steps; "
            f"{event.parameters / 1e6:.1f} M parameters on {event.device}"
            + (f" with {_counted(event.threads, 'thread')}" if event.device == "cpu" else "")
            + f", products in {event.precision}"
            + (f"; resumed after step {event.first_step:,}" if event.first_step else "")
        )
        if self._console.is_terminal:
            self._bar = _bar(self._console)
            self._bar.add_task("training", total=event.steps, completed=event.first_step, numbers="")
            self._bar.start()

    def _step(self, event: Stepped) -> None:
        assert self._began is not None, "a run begins before its first step"
        # the mean of the last steps: a single batch's loss jumps
        self._loss = event.loss if self._loss is None else 0.9 * self._loss + 0.1 * event.loss
        self._tokens += event.tokens
        elapsed = time.monotonic() - self._started
        numbers = f"loss {self._loss:.4f}  {self._tokens / max(elapsed, 1e-9):,.0f} tokens/s"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=event.step, numbers=numbers)
            return
        tenth = max(1, self._began.steps // 10)
        if event.step % tenth == 0 or event.step == 1 or time.monotonic() - self._said_at > 30:
            self._said_at = time.monotonic()
            left = elapsed / max(1, event.step - self._began.first_step) * (self._began.steps - event.step)
            self._line(f"step {event.step:,} of {self._began.steps:,}  {numbers}  {_duration(left)} left")

    def _answered(self, done: int, of: int | None, seconds: float, what: str = "rows") -> None:
        speed = f"{done / max(seconds, 1e-9):,.0f} {what}/s"
        if not self._console.is_terminal:
            if time.monotonic() - self._said_at > 30:
                self._said_at = time.monotonic()
                self._line(f"{done:,} {what} answered{f' of {of:,}' if of else ''}  {speed}")
            return
        if self._bar is None:
            self._bar = _bar(self._console)
            self._bar.add_task("predicting", total=of, numbers="")
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, numbers=speed)
        if done == of:
            self._close()

    def _line(self, text: str) -> None:
        (self._bar.console if self._bar is not None else self._console).print(text)


def _bar(console: Console) -> Progress:
    """A bar that is gone when it ends; on a narrow terminal the numbers alone, which tell more."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [MofNCompleteColumn(), TextColumn("{task.fields[numbers]}"), TimeRemainingColumn(compact=True)]
    if console.width >= 100:
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            *columns[:2],
            TimeElapsedColumn(),
            TextColumn("left"),
            columns[2],
        ]
    return Progress(*columns, console=console, transient=True)


def show_evaluation(console: Console, evaluation: Evaluation, *, title: str) -> None:
    """The scores with their intervals beside the baseline, and a table by label where there are not too many."""
    from rich.table import Table

    scores = evaluation.scores
    table = Table(title=f"{escape(title)}: {_counted(scores.rows, 'row')}", title_justify="left")
    table.add_column("score")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("baseline", justify="right")
    for name, score in scores.values.items():
        shown = f"[bold]{escape(name)}[/]" if name == scores.main else escape(name)
        without = scores.baseline.get(name)
        table.add_row(shown, number(score.value), interval(score), number(without.value if without else None))
    console.print(table)
    if evaluation.details and len(evaluation.details) <= MOST_LABELS:
        columns = list(next(iter(evaluation.details.values())))
        by_label = Table()
        by_label.add_column(evaluation.part)
        for column in columns:
            by_label.add_column(column, justify="right")
        for label, values in evaluation.details.items():
            by_label.add_row(escape(label), *(number(values[column]) for column in columns))
        console.print(by_label)


def interval(score: Score) -> str:
    return "–" if score.low is None or score.high is None else f"{number(score.low)} … {number(score.high)}"


def number(value: float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.1f}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
