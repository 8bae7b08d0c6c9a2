"""The settings of training on a corpus, beside those of every run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bertsmith.corpus.documents import CorpusOptions
from bertsmith.corpus.packed import Packing  # noqa: TC001 (pydantic reads it)
from bertsmith.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Mapping


def _tuple(value: Any) -> Any:
    """Of one path or a list of them, as TOML has it."""
    values = value if isinstance(value, list | tuple) else (value,)
    return tuple(str(each) if isinstance(each, Path) else each for each in values)


Paths = Annotated[tuple[str, ...], BeforeValidator(_tuple)]


class CorpusSettings(CorpusOptions):
    """Which files a corpus is of, how they are read, and how rows are made of them."""

    corpus: Paths = Field(default=(), description="files of text, or folders of them")
    held_out: Paths = Field(
        default=(), description="a file, or a folder of them, to score on; left out, a dev_fraction of the documents"
    )
    packing: Packing = Field(
        default="full",
        description="full (rows of max_length, documents one after another) or documents (none shares a row)",
    )
    short_share: float = Field(
        default=0.1, ge=0, le=1, description="share of the pairs of texts that are shorter than max_length, at random"
    )
    most_scored: int = Field(default=2000, ge=1, description="held-out rows that are scored, spread evenly")


class NewEncoder(Strict):
    """What an encoder is that starts from nothing, and its vocabulary."""

    size: Literal["tiny", "mini", "small", "medium", "base", "large"] | None = Field(
        default=None, description="a published shape of BERT: base is 12 layers of 768, large 24 of 1024"
    )
    config: str | None = Field(default=None, description="a config.json instead of a size, of any encoder family")
    vocabulary: str | None = Field(
        default=None, description="a vocab.txt, or a folder of a tokenizer; left out, learned from the corpus"
    )
    vocabulary_size: int = Field(default=30_522, ge=100, le=1_000_000, description="the most pieces that are learned")
    cased: bool = Field(default=False, description="tell upper from lower case; left out, a vocabulary of lower case")


# Settings of `adapt` under one name (Gururangan et al. 2020, appendix B, tables 13 and 14); what is given beside a
# preset goes before it. They were made for accelerators.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "domain": {
        "max_steps": 12_500, "batch_size": 2_048, "learning_rate": 5e-4, "warmup": 0.06, "adam_epsilon": 1e-6,
        "adam_beta2": 0.98, "max_length": 512,
    },
    "task": {
        "epochs": 100.0, "batch_size": 256, "learning_rate": 1e-4, "warmup": 0.06, "adam_epsilon": 1e-6,
        "adam_beta2": 0.98, "packing": "documents", "keep": "last",
    },
}  # fmt: skip
