"""``bertsmith coherence``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from bertsmith.cli import show
from bertsmith.cli.flags import parse, whole_number, with_flags
from bertsmith.cli.texts import file_flags, on_one_line, passages_of
from bertsmith.errors import InputError
from bertsmith.events import Said
from bertsmith.infer import language


def run(arguments: list[str]) -> None:
    """Say whether sentences stand in order."""
    parse(with_flags(coherence, file_flags()), "coherence", arguments)


def coherence(
    model: Annotated[str, Parameter(help="a model with a next-sentence head")],
    /,
    *texts_or_file: Annotated[str, Parameter(help="the sentences, or one file of them; left out or -, stdin")],
    shuffles: Annotated[int, Parameter(help="how many other orders to compare with", converter=whole_number)] = 20,
    seed: Annotated[int, Parameter(help="of the shuffles", converter=whole_number)] = 1,
    json: Annotated[bool, Parameter(help="print one JSON object", negative=(), show_default=False)] = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda …")] = "auto",
    quiet: Annotated[bool, Parameter(help="do not say how a file is read", negative=(), show_default=False)] = False,
    **flags: Any,
) -> None:
    """Say whether sentences read better in their order than shuffled: bertsmith coherence MODEL essay.txt

    A file holds one sentence a line; empty lines are left out. The score is the mean log-probability that a sentence
    follows the one before it. Of a text in good order, nearly all shuffles have a lower one; half of them is chance.
    """
    with show.Watch(quiet=quiet) as watch:
        predictor = language.opened(model, device=device)
        passages = passages_of(texts_or_file, flags, command="coherence", empty=False, listen=watch.listen)
        sentences = [passage.text for passage in passages]
        if len(sentences) == 1:
            raise InputError(
                "the order of sentences needs at least two, and one is given; a file has one a line, and as arguments "
                "each goes between quotation marks of its own"
            )
        found = language.coherence(predictor, sentences, shuffles=shuffles, seed=seed)
        if found.cut:
            pairs = "pair of neighbours is" if found.cut == 1 else "pairs of neighbours are"
            watch.listen(Said(f"{found.cut} {pairs} too long to be read whole", warning=True))
    if json:
        show.print_json({"sentences": len(sentences), **found.record()})
    else:
        _show(show.stdout(), found, sentences)


def _show(console: Console, found: language.Coherence, sentences: Sequence[str]) -> None:
    count = len(found.joints)
    console.print(f"score    [bold]{found.score:.4f}[/]  mean log-probability of {count} joint{'s' * (count != 1)}")
    console.print(
        f"order    [bold]better than {found.beaten:g} of {len(found.shuffled)} shuffles[/]  ({found.share:.0%})"
    )
    here, probability = found.weakest, math.exp(found.joints[found.weakest])
    console.print(f"weakest  sentence {here + 1} to {here + 2}, probability {probability:.4f}")
    for number in (here, here + 1):
        console.print(f"{number + 1:>7}  {show.escape(on_one_line(sentences[number]))}")
