"""``bertsmith tasks``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from bertsmith import tasks as all_tasks
from bertsmith.cli import show
from bertsmith.cli.flags import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console


def run(arguments: list[str]) -> None:
    """List the tasks."""
    parse(tasks, "tasks", arguments)


def tasks(
    *, json: Annotated[bool, Parameter(help="print them as one JSON object", negative=(), show_default=False)] = False
) -> None:
    """The tasks: what each reads, and its own options."""
    kinds = [all_tasks.task_class(name) for name in all_tasks.names()]
    if json:
        show.print_json(
            {
                kind.name: {
                    "summary": kind.summary,
                    "example": kind.example,
                    "inputs": {each.name: {"required": each.required, "guessed": each.names} for each in kind.inputs},
                    "scores": kind.scores,
                    "options": {name: info.description for name, info in kind.options().items()},
                }
                for kind in kinds
            }
        )
        return
    console = show.stdout()
    for kind in kinds:
        console.print(f"[bold]{kind.name}[/]  {kind.summary}")
        lines = [("reads", each.name, each.help) for each in kind.inputs]
        lines += [("option", name, info.description or "") for name, info in kind.options().items()]
        _show(console, lines)
        _show(console, [("scores", ", ".join(kind.scores)), ("example", kind.example)])
        console.print()
    console.print("bertsmith train TASK --help tells all flags", markup=False)


def _show(console: Console, lines: Sequence[tuple[str, ...]]) -> None:
    """Columns; on a terminal, what is long goes on below where it began, and elsewhere a line is a line."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=9)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for what, *cells in lines:
        if console.is_terminal:
            table.add_row(f"  {what}", *map(show.escape, cells))
        else:
            padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths[1:], strict=True))
            console.print(f"  {what:<8} {' '.join(padded)}".rstrip(), markup=False)
    if table.rows:
        console.print(table)
