"""``bertsmith check``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter
from rich.table import Table

from bertsmith import checks, tasks
from bertsmith.cli import show
from bertsmith.cli.flags import of_inputs, of_settings, parse, with_flags
from bertsmith.cli.reading import flags_of_others
from bertsmith.config import Settings, resolve
from bertsmith.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from bertsmith.records import Finding

READING = ("format", "header", "delimiter", "quoting", "encoding")
LENGTHS = ("encoder", "max_length")
MARKS = {"good": ("green", "✓"), "warn": ("yellow", "!"), "fail": ("bold red", "✗")}
# Of the places of a finding, so many are shown; --json has five.
SHOWN = 3
# The places of these are messages, each for a line of its own.
MESSAGES = ("structure", "rows", "no-targets")


def run(arguments: list[str]) -> int:
    """Check files; 2 if anything failed."""
    codes: list[int] = []

    def check(
        task: Annotated[str, Parameter(help=f"{', '.join(tasks.names())} (bertsmith tasks tells)")],
        /,
        *files: Annotated[Path, Parameter(help="the files: train, then dev, test …")],
        strict: Annotated[bool, Parameter(help="warnings count as failures", negative=(), show_default=False)] = False,
        json: Annotated[
            bool, Parameter(help="print all findings as one JSON object", negative=(), show_default=False)
        ] = False,
        quiet: Annotated[
            bool, Parameter(help="show warnings and failures alone", negative=(), show_default=False)
        ] = False,
        **flags: Any,
    ) -> None:
        """Say what is wrong with the data, before an hour is spent on training: bertsmith check TASK TRAIN [DEV …].

        Exit code 0 if nothing failed (with --strict: if nothing is to be warned of, either), else 2.
        """
        with show.status(quiet=quiet or json) as progress:
            report = _report(task, files, flags, progress)
        if json:
            show.print_json(report.record())
        else:
            show_report(show.stdout(), report, quiet=quiet)
        codes.append(0 if report.passed(strict=strict) else 2)

    name = next((argument for argument in arguments if argument in tasks.names()), None)
    parse(with_flags(check, _flags(name)), "check", arguments, elsewhere=lambda: flags_of_others(name))
    return codes[0] if codes else 0


def _flags(task: str | None) -> list[Any]:
    """The flags of a task: its columns and its options; how files are read; lengths."""
    fields = Settings.model_fields
    flags = of_settings({name: fields[name] for name in READING}, group=Group("Reading", sort_key=2))
    flags += of_settings({name: fields[name] for name in LENGTHS}, group=Group("Lengths", sort_key=3))
    if task is not None:
        kind = tasks.task_class(task)
        flags += of_inputs(kind.inputs, group=Group("Columns", sort_key=0))
        flags += of_settings(kind.options(), group=Group(f"Task {task}", sort_key=1))
    return flags


def _report(
    task: str, files: Sequence[Path], flags: dict[str, Any], progress: Callable[[str], None]
) -> checks.CheckReport:
    if not files:
        raise SettingsError("which files? as in: bertsmith check classify train.tsv dev.tsv")
    if task not in tasks.names():
        tasks.task_class(task)  # says so, with the nearest
    chosen, settings = resolve({"task": task, **flags})
    return checks.check(
        chosen,
        files,
        columns=settings.columns,
        reading=settings.reading,
        encoder=settings.encoder,
        max_length=settings.max_length,
        progress=progress,
    )


def show_report(console: Console, report: checks.CheckReport, *, quiet: bool) -> None:
    """A section for every file and one for what is across them, a line a finding; then the counts."""
    width = max(len(finding.check) for finding in report.findings)
    for file in report.files:
        about = f"  {file.rows:,} row{'' if file.rows == 1 else 's'}; {file.note}" if file.note else ""
        console.print(f"[bold]{show.escape(file.name)}[/]{show.escape(about)}")
        _show(console, [_line(finding, file.name, ()) for finding in file.findings], quiet=quiet, width=width)
    if report.across:
        console.print("[bold]across files[/]")
        names = [file.name for file in report.files]
        _show(console, [_line(finding, None, names) for finding in report.across], quiet=quiet, width=width)
    good, warn, fail = (report.count(level) for level in MARKS)
    counts = f"{good} good, {warn} warning{'' if warn == 1 else 's'}, {fail} failure{'' if fail == 1 else 's'}"
    worst = "fail" if fail else "warn" if warn else "good"
    console.print(f"[{MARKS[worst][0]}]{counts}[/]")


def _line(finding: Finding, file: str | None, files: Sequence[str]) -> Finding:
    """A finding whose text has its first places, too; of those that are messages, one a line."""
    if finding.check in MESSAGES:
        return replace(finding, text="\n".join([finding.text, *finding.places]))
    places = [*finding.places[:SHOWN], *["…"] * (len(finding.places) > SHOWN)]
    text = finding.text + (f": {', '.join(places)}" if places else "")
    return replace(finding, text=_shorter(text, files) if file is None else _within(text, file))


def _show(console: Console, findings: Sequence[Finding], *, quiet: bool, width: int) -> None:
    """On a terminal, long lines go on below where they began; elsewhere a finding is a line."""
    signs = console.is_terminal and console.encoding.startswith("utf")
    table = Table.grid(padding=(0, 1))
    for finding in findings:
        if quiet and finding.level == "good":
            continue
        colour, sign = MARKS[finding.level]
        mark = f"[{colour}]{sign if signs else finding.level}[/]"
        name, text = f"{finding.check:<{width}}", show.escape(finding.text)
        if console.is_terminal:
            table.add_row("", mark, name, text)
        else:
            console.print(f"  {mark} {name}  " + text.replace("\n", "\n      "))
    if table.rows:
        console.print(table)
    console.print()


def _within(text: str, file: str) -> str:
    """Places without the name of the file, which stands above them."""
    return re.sub(rf"(?<!\S){re.escape(file)}:(?=(\d)?)", lambda match: "line " if match[1] else "", text)


def _shorter(text: str, files: Sequence[str]) -> str:
    """Names of files without their folders, where they differ all the same."""
    if len({Path(name).name for name in files}) == len(files):
        for name in sorted(files, key=len, reverse=True):
            text = text.replace(name, Path(name).name)
    return text
