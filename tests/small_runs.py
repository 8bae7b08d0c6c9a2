"""A tiny BERT and rows that it can learn: what the tests of training share, to take seconds."""

from __future__ import annotations

import atexit
import json
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bertsmith.bundle import new_model
from bertsmith.checkpoint import load_pretrained
from bertsmith.config import Settings
from bertsmith.events import Stepped
from bertsmith.records import Place
from bertsmith.tasks._texts import TextExample
from bertsmith.training.loop import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bertsmith.events import Event
    from bertsmith.nn.heads import Model
    from bertsmith.tasks import Task

GOOD = ("good", "fine", "great", "warm", "clever")
BAD = ("bad", "dull", "poor", "cold", "stupid")
PLAIN = ("the", "film", "plot", "song", "and", "is", "was", "very", "of", "a", "it", "that")
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *PLAIN)


@cache
def tiny_bert() -> Path:
    """The folder of a tiny random BERT: 2 layers, 2 heads, 32 wide; made once a process, gone at its end."""
    from transformers import BertConfig, BertModel

    torch.set_num_threads(1)  # more only wait for each other, with matrices so small
    folder = Path(tempfile.mkdtemp(prefix="tiny-bert-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=48,
        initializer_range=0.2,  # as large as lets a few steps learn something
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}), encoding="utf-8")
    return folder


def texts(count: int, *, seed: int = 0, longest: int = 12) -> list[tuple[str, int]]:
    """Texts of 2 to `longest` words, each with how many more of its words are good than bad (never 0)."""
    chance = random.Random(seed)
    found: list[tuple[str, int]] = []
    while len(found) < count:
        words = chance.choices(PLAIN + GOOD + BAD, k=chance.randint(2, longest))
        feeling = sum(word in GOOD for word in words) - sum(word in BAD for word in words)
        if feeling:
            found.append((" ".join(words), feeling))
    return found


def labelled(count: int, *, seed: int = 0, longest: int = 12) -> list[tuple[str, str]]:
    """Texts with the label pos or neg."""
    return [(text, "pos" if feeling > 0 else "neg") for text, feeling in texts(count, seed=seed, longest=longest)]


def write_tsv(path: Path, rows: Iterable[tuple[str, Any]]) -> Path:
    """A file of texts with their labels."""
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    return path


def examples_of(rows: Iterable[tuple[str, Any]], *, source: str = "rows") -> list[TextExample[Any]]:
    """Examples of texts with their targets, on lines from 2."""
    return [TextExample(text, None, target, Place(source, line)) for line, (text, target) in enumerate(rows, start=2)]


def settings_of(**values: Any) -> Settings:
    """Settings of a short run of the tiny BERT."""
    return Settings(
        **{
            "encoder": str(tiny_bert()),
            "batch_size": 8,
            "epochs": 2.0,
            "learning_rate": 1e-3,
            "device": "cpu",
            "precision": "fp32",  # the same on every processor
            "threads": 1,
            **values,
        }
    )


def model_of(task: Task[Any, Any], *, seed: int = 0, dropout: float | None = None) -> Model:
    """The tiny BERT with a new head of a task that has learned."""
    generator = torch.Generator().manual_seed(seed)
    model, _ = new_model(task, load_pretrained(tiny_bert()), generator=generator, dropout=dropout)
    if dropout is not None:
        model.encoder.set_dropout(dropout)
    return model


def prepared(task: Task[Any, Any], examples: Sequence[TextExample[Any]], *, max_length: int = 48) -> Prepared:
    """Examples with their sequences."""
    tokenizer = load_pretrained(tiny_bert()).tokenizer
    return Prepared.of(examples, task.encode(examples, tokenizer, max_length=max_length))


def weights(model: Model) -> dict[str, torch.Tensor]:
    """A copy of all weights, by name."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The names of the tensors that differ in any bit."""
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def losses(events: Iterable[Event]) -> list[float]:
    """The loss of every step."""
    return [event.loss for event in events if isinstance(event, Stepped)]
