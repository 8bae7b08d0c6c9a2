"""``bertsmith next``."""

from __future__ import annotations

import math
from typing import Annotated

from cyclopts import Parameter

from bertsmith.cli import show
from bertsmith.cli.flags import parse
from bertsmith.events import Said
from bertsmith.infer import language


def run(arguments: list[str]) -> None:
    """Say how likely a text is to follow another."""
    parse(next_, "next", arguments)


def next_(
    model: Annotated[str, Parameter(help="a model with a next-sentence head")],
    text: Annotated[str, Parameter(help="a text")],
    second: Annotated[str, Parameter(help="the text that may follow it")],
    /,
    *,
    json: Annotated[bool, Parameter(help="print one JSON object", negative=(), show_default=False)] = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda …")] = "auto",
) -> None:
    """Say how likely the second text is to follow the first: bertsmith next MODEL "It rains." "Take a coat."

    The model learned it from neighbours and from texts of other documents, half and half. bertsmith predict answers
    for a file of pairs.
    """
    predictor = language.opened(model, device=device)
    empty = [name for name, each in (("first", text), ("second", second)) if not each.strip()]
    (joint,) = language.joints(predictor, [(text, second)])
    probability = math.exp(joint.log_probability)
    with show.Watch(quiet=False) as watch:
        if empty:
            said = f"the {empty[0]} text is empty" if len(empty) == 1 else "both texts are empty"
            watch.listen(Said(f"{said}: the number says nothing", warning=True))
        if joint.cut:
            limit = predictor.bundle.max_length
            watch.listen(Said(f"{joint.cut} pieces beyond the limit of {limit} tokens are not read", warning=True))
    if json:
        cut = {"cut": joint.cut} if joint.cut else {}
        show.print_json({"text": text, "text_b": second, "follows": probability, **cut})
    else:
        verdict = "it follows" if probability >= 0.5 else "it does not follow"
        show.stdout().print(f"[bold]{probability:.4f}[/]  {verdict}")
