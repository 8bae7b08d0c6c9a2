"""Tiny random checkpoints of every family, as transformers saves them, each with a small tokenizer of its kind.

Everything is derived from `Family`: a new family gets its checkpoint, and with it all tests, by existing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import tokenizers
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel

from bertsmith.bundle import Bundle, new_model
from bertsmith.families import Family, families

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bertsmith.checkpoint import Pretrained
    from bertsmith.tasks import Task

TEXTS = (
    "A fine film, and not a minute too long.",
    "The plot is thin; the jokes are old, the end is near.",
    "No.",
    "I would gladly see it again with my friends tomorrow, says the critic of the paper, and so would they all.",
    "It is what it is",
    "Dull, loud and far too long: two hours of my life that nobody gives back to me, not even the friendly usher.",
)
PAIRS = (
    ("A man plays a guitar.", "Somebody makes music with a guitar."),
    ("No.", "The critic of the evening paper says that it is a fine film, and not a minute too long."),
    ("The end is near and the jokes are old.", "No"),
    ("It is what it is", "It is not what it was"),
)

# Small sizes that differ from each other and from every family's defaults; three layers, so that one is a middle one.
SIZES: Mapping[str, Any] = {
    "width": 32,
    "layers": 3,
    "heads": 4,
    "inner_width": 48,
    "positions": 96,
    "segments": 2,
    "embedding_width": 20,
    "activation": "gelu",
    "norm_epsilon": 1e-7,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "initializer_range": 0.02,
}


@dataclass(frozen=True)
class Case:
    """A family, with the sizes by which this case of it differs from the others."""

    family: Family
    sizes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.family.model_type, *(f"{name}={size}" for name, size in self.sizes.items())])


def cases() -> list[Case]:
    """Every family once, and once more with embeddings as wide as its layers where that is a choice."""
    every = [Case(family) for family in families().values()]
    wide = [Case(c.family, {"embedding_width": SIZES["width"]}) for c in every if "embedding_width" in c.family.keys]
    return every + wide


def config_of(case: Case, *, vocabulary: int, pad_id: int, **more: Any) -> Any:
    """The configuration in transformers' own class."""
    sizes = {**SIZES, "vocabulary": vocabulary, **case.sizes}
    if case.family.positions_after_padding:
        sizes["segments"] = 1  # as in every published checkpoint of these families
    named = {key: sizes[ours] for ours, key in case.family.keys.items()}
    return AutoConfig.for_model(case.family.model_type, **named, pad_token_id=pad_id, **more)


def randomize(model: torch.nn.Module, *, seed: int = 0) -> None:
    """Every parameter at random, biases and norms too: a swap or an omission must show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)
            else:
                parameter.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))


def write_checkpoint(case: Case, folder: Path, *, auto: Any = AutoModel, **config: Any) -> None:
    """A random checkpoint with its tokenizer, saved by transformers."""
    vocabulary, pad_id = write_tokenizer(case.family, folder)
    random_model(config_of(case, vocabulary=vocabulary, pad_id=pad_id, **config), auto=auto).save_pretrained(folder)


def random_model(config: Any, *, auto: Any = AutoModel) -> Any:
    """A model of transformers, every parameter at random."""
    model = auto.from_config(config)
    randomize(model)
    return model.eval()


def write_tokenizer(family: Family, folder: Path) -> tuple[int, int]:
    """tokenizer.json of the family's kind (WordPiece unless listed) and its config; how many pieces, and [PAD]'s id."""
    raw, names = _tokenizer(_KINDS.get(family.model_type, "wordpiece"))
    raw.save(str(folder / "tokenizer.json"))
    # no tokenizer_class: AutoTokenizer then takes the class of the model's family
    config = {"model_max_length": SIZES["positions"] - 4, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return raw.get_vocab_size(), raw.get_vocab()[names["pad_token"]]


def without_mask(folder: Path) -> None:
    """Take the mask token out of the WordPiece tokenizer of a folder; its id is another piece's."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (path := folder / name).is_file():
            text = path.read_text(encoding="utf-8").replace("[MASK]", "[ELSE]")
            path.write_text(text.replace('"mask_token"', '"other_token"'), encoding="utf-8")


_KINDS = {"roberta": "byte-level", "xlm-roberta": "unigram", "camembert": "unigram"}
_BERT_NAMES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA_NAMES = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}


@cache
def _tokenizer(kind: str) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """The same in every process, as the trainers of `tokenizers` for WordPiece and Unigram are not."""
    names = _BERT_NAMES if kind == "wordpiece" else _ROBERTA_NAMES
    special = list(names.values())
    if kind == "wordpiece":
        pieces = [*special, *_pieces_of(str.lower, begins="", goes_on="##")]
        vocabulary = {piece: index for index, piece in enumerate(pieces)}
        raw = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=names["unk"]))
        raw.normalizer = normalizers.BertNormalizer()
        raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        raw.decoder = decoders.WordPiece()
    elif kind == "byte-level":
        raw = tokenizers.Tokenizer(models.BPE())
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        raw.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=320, initial_alphabet=alphabet, special_tokens=special, show_progress=False
        )
        raw.train_from_iterator(_TRAINED_ON, trainer)
    else:
        # the longer a piece, the likelier, so that few pieces are more probable than many
        likely = {piece: len(piece) - 20.0 for piece in _pieces_of(str, begins="▁", goes_on="")}
        scores = [(piece, 0.0) for piece in special] + list(likely.items())
        raw = tokenizers.Tokenizer(models.Unigram(scores, unk_id=special.index(names["unk"])))
        raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
        raw.decoder = decoders.Metaspace()
    raw.add_special_tokens(special)
    cls, sep = names["cls"], names["sep"]
    ids = {token: raw.get_vocab()[token] for token in (cls, sep)}
    raw.post_processor = {
        "wordpiece": processors.TemplateProcessing(
            single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} $B:1 {sep}:1", special_tokens=list(ids.items())
        ),
        "byte-level": processors.RobertaProcessing((sep, ids[sep]), (cls, ids[cls]), add_prefix_space=False),
        "unigram": processors.TemplateProcessing(
            single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} {sep} $B {sep}", special_tokens=list(ids.items())
        ),
    }[kind]
    keys = {**names, **({} if kind == "wordpiece" else {"bos": cls, "eos": sep})}
    return raw, {f"{name}_token": token for name, token in keys.items()}


_TRAINED_ON = [*TEXTS, *(text for pair in PAIRS for text in pair)] * 3


def _pieces_of(written: Callable[[str], str], *, begins: str, goes_on: str) -> list[str]:
    """Each once, in a fixed order: all characters, where words begin and inside; two words of three; the third's
    halves."""
    words = sorted({word for text in _TRAINED_ON for word in re.findall(r"\w+|[^\w\s]", written(text))})
    characters = sorted({character for word in words for character in word})
    pieces = [mark + character for mark in (begins, goes_on) for character in characters]
    for index, word in enumerate(words):
        half = (len(word) + 1) // 2
        pieces += [begins + word] if index % 3 else [begins + word[:half], goes_on + word[half:]]
    return [piece for piece in dict.fromkeys([begins, *pieces]) if piece not in ("", goes_on)]


def bundle_of(task: Task[Any, Any], pretrained: Pretrained, *, max_length: int = 92, seed: int = 1) -> Bundle:
    """A bundle whose head is random in every weight, as if it had been trained."""
    model, _ = new_model(task, pretrained, generator=torch.Generator().manual_seed(seed))
    randomize(model.head, seed=seed)
    return Bundle(
        task=task,
        model=model.eval(),
        tokenizer=pretrained.tokenizer,
        family=pretrained.family,
        max_length=max_length,
        raw_config=pretrained.raw_config,
    )
