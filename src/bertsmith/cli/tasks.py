"""``bertsmith tasks``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from bertsmith import tasks as all_tasks
from bertsmith.cli import show
from bertsmith.cli.flags import parse


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
        for each in kind.inputs:
            console.print(f"  reads    {each.name:<16} {each.help}", markup=False)
        for name, info in kind.options().items():
            console.print(f"  option   {name:<16} {info.description}", markup=False)
        console.print(f"  scores   {', '.join(kind.scores)}", markup=False)
        console.print()
    console.print("bertsmith train TASK --help tells all flags", markup=False)
