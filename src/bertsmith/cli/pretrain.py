"""``bertsmith pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bertsmith.cli.adapt import flags_of, train
from bertsmith.cli.flags import parse, with_flags


def run(arguments: list[str]) -> None:
    """Train an encoder from nothing."""
    parse(with_flags(pretrain, flags_of("pretrain")), "pretrain", arguments)


def pretrain(
    *corpus: Annotated[Path, Parameter(help="files of text (.txt, .jsonl, .parquet, .csv, .tsv), or folders of them")],
    settings: Annotated[Path | None, Parameter(help="a TOML file of settings; flags go before it")] = None,
    resume: Annotated[Path | None, Parameter(help="go on with a run that was stopped, by its out folder")] = None,
    json: Annotated[
        bool, Parameter(help="print the result as one JSON object", negative=(), show_default=False)
    ] = False,
    quiet: Annotated[bool, Parameter(help="no progress, warnings alone", negative=(), show_default=False)] = False,
    **flags: Any,
) -> None:
    """Train a BERT from random weights: masked words and next sentences, as Devlin et al. (2019) did.

    bertsmith pretrain corpus/ --size tiny --max-steps 20000 --out runs/tiny

    Blank lines part the documents of plain text; --sentences says whether a line is a sentence. The corpus may be
    larger than memory: its word pieces are kept on the disk, two bytes each, while it runs.
    """
    train("pretrain", corpus, flags, config=settings, resume=resume, json=json, quiet=quiet)
