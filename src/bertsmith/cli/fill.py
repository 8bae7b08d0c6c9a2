"""``bertsmith fill``."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bertsmith.cli import show
from bertsmith.cli.flags import parse, whole_number, with_flags
from bertsmith.cli.texts import file_flags, passages_of
from bertsmith.infer import language
from bertsmith.tasks._masking import Filled

# So many blanks' words stand side by side; more would not fit on a line.
BESIDE = 3


def run(arguments: list[str]) -> None:
    """Say which words fit into the blanks of texts."""
    parse(with_flags(fill, file_flags()), "fill", arguments)


def fill(
    model: Annotated[str, Parameter(help="a trained model, or an encoder with a masked-word head")],
    /,
    *texts_or_file: Annotated[str, Parameter(help="texts with blanks, or one file of them; left out or -, stdin")],
    top: Annotated[int, Parameter(help="how many words to give for a blank", converter=whole_number)] = 5,
    json: Annotated[bool, Parameter(help="one JSON object a text", negative=(), show_default=False)] = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda …")] = "auto",
    quiet: Annotated[bool, Parameter(help="do not say how a file is read", negative=(), show_default=False)] = False,
    **flags: Any,
) -> None:
    """Say which words fit into the blanks of a text: bertsmith fill MODEL "the ____ of Walden Pond"

    A blank is written ____ (three underscores or more) or as the model's own mask token, and holds one piece of its
    vocabulary. Each of several blanks is filled as if the others stayed blank. In a file and on stdin each line is a
    text; empty lines are left out.
    """
    with show.Watch(quiet=quiet) as watch:
        predictor = language.opened(model, device=device)
        passages = passages_of(texts_or_file, flags, command="fill", empty=False, listen=watch.listen)
        for passage, filled in language.fills(predictor, passages, top=top):
            if json:
                show.print_json({"text": passage.text, **filled.record()})
            else:
                _show(show.stdout(), filled)


def _show(console: Console, filled: Filled) -> None:
    """The filled text, and below it the words for each blank."""
    console.print(f"[bold]{show.escape(filled.text)}[/]")
    for first in range(0, len(filled.blanks), BESIDE):
        blanks = filled.blanks[first : first + BESIDE]
        table = Table()
        for number in range(first + 1, first + 1 + len(blanks)):
            table.add_column("word" if len(filled.blanks) == 1 else f"blank {number}")
            table.add_column("probability", justify="right")
        for likeliest in zip(*blanks, strict=True):
            table.add_row(*(cell for each in likeliest for cell in (show.escape(each.word), f"{each.probability:.4f}")))
        console.print(table)
