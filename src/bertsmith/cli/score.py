"""``bertsmith score``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from json import dumps
from typing import Annotated, Any

from cyclopts import Parameter

from bertsmith.cli import show
from bertsmith.cli.flags import parse, with_flags
from bertsmith.cli.texts import file_flags, on_one_line, passages_of
from bertsmith.events import Said
from bertsmith.infer import language


def run(arguments: list[str]) -> None:
    """Say how likely texts are."""
    parse(with_flags(score, file_flags()), "score", arguments)


def score(
    model: Annotated[str, Parameter(help="a trained model, or an encoder with a masked-word head")],
    /,
    *texts_or_file: Annotated[str, Parameter(help="texts, or one file of them; left out or -, stdin")],
    words: Annotated[
        bool, Parameter(help="also the log-probability of every piece", negative=(), show_default=False)
    ] = False,
    json: Annotated[bool, Parameter(help="one JSON object a text", negative=(), show_default=False)] = False,
    device: Annotated[str, Parameter(help="auto, cpu, cuda …")] = "auto",
    quiet: Annotated[bool, Parameter(help="no progress", negative=(), show_default=False)] = False,
    **flags: Any,
) -> None:
    """Say how likely a text is: bertsmith score MODEL "the cat sat on the mat"

    Each of its pieces is masked in turn, and the log-probabilities of the true ones are summed: the
    pseudo-log-likelihood, in nats. A line is that sum, the mean a piece, and the text; the mean compares texts of
    different lengths. In a file and on stdin each line is a text. A text of n pieces costs n times the work of
    reading it once.
    """
    stream = sys.stdout  # a bar takes its place, to keep what is written on a terminal apart
    with show.Watch(quiet=quiet) as watch:
        predictor = language.opened(model, device=device)
        passages = passages_of(texts_or_file, flags, command="score", empty=True, listen=watch.listen)
        began = time.monotonic()

        def progress(pieces: int, of: int | None) -> None:
            watch.answered(pieces, of, time.monotonic() - began, what="pieces")

        for passage, found in language.scored(predictor, passages, progress=progress):
            if not found.whole:
                said = (
                    f"{passage.place}: {found.pieces:,} pieces are more than the model reads at once; each is found "
                    "from those nearest to it"
                )
                watch.listen(Said(said, warning=True))
            out = sys.stdout if stream.isatty() else stream
            if json:
                record = {"text": passage.text, **found.record(words=words)}
                out.write(dumps(record, ensure_ascii=False) + "\n")
            else:
                out.write("".join(f"{line}\n" for line in _lines(found, passage.text, words=words)))
            out.flush()


def _lines(found: language.TextScore, text: str, *, words: bool) -> Iterator[str]:
    """The sum, the mean a piece and the text; then a line for each piece."""
    mean = "–" if found.per_piece is None else f"{found.per_piece:.3f}"
    yield f"{found.log_likelihood:>9.2f}  {mean:>7}  {show.visible(on_one_line(text))}"
    if words:
        for word, value in found.words:
            yield f"{'':9}  {value:>7.3f}    {show.visible(word)}"
