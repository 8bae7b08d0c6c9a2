"""What does it cost to learn masked words? A step of `mlm` beside a step of plain fine-tuning of the same tokens.

    python benchmarks/masking.py                        # the packaged MiniLM, 32 rows of 128 tokens
    python benchmarks/masking.py --length 64 --batch 16 --share 0.3 --rounds 12

A masked step does what a plain one does, draws its masks, and multiplies the chosen tokens with the whole vocabulary.
That product, its gradient and its loss are timed alone, too: the head's arithmetic, which no implementation escapes.
overhead = masked / (plain + head) - 1. Plain fine-tuning is shown in both of its kinds: of a head that reads every
token (tags), and of one that reads the first (classes), whose last layer computes less than that of masked words does.

Steps of all kinds are taken in turn, a few at a time; medians over the rounds, with the middle half of them.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from bertsmith.batching import collate
from bertsmith.bundle import new_model
from bertsmith.checkpoint import load_pretrained
from bertsmith.config import Settings
from bertsmith.events import Stepped
from bertsmith.records import Place, Row
from bertsmith.tasks._texts import TextExample
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.mlm import Mlm, Passage
from bertsmith.tasks.tag import Tag
from bertsmith.training.loop import Prepared, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bertsmith.checkpoint import Pretrained
    from bertsmith.nn.heads import Model
    from bertsmith.records import Encoded

STEPS = 3  # of each kind, before the next one's turn


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to train, and what it trains on."""

    task: Any
    model: Model
    train: Prepared

    def seconds(self, settings: Settings) -> list[float]:
        """Of each of STEPS steps, the first one, which finds cold caches, left out."""
        found: list[float] = []
        fit(
            self.task, self.model, self.train, None, settings,
            listen=lambda event: found.append(event.seconds) if isinstance(event, Stepped) else None,
        )  # fmt: skip
        return found[1:]


def main() -> None:
    """Time the steps and print a table."""
    options = command_line()
    torch.set_num_threads(options.threads)
    pretrained = load_pretrained(options.encoder)
    generator = np.random.default_rng(1)
    tokenizer = pretrained.tokenizer
    words = np.setdiff1d(np.arange(tokenizer.vocab_size), sorted(tokenizer.special_ids))
    sequences = [tokenizer.frame(generator.choice(words, options.length - 2)) for _ in range(options.batch)]
    kinds = {
        "classes": classes(load_pretrained(options.encoder), sequences),
        "tags": tags(load_pretrained(options.encoder), sequences),
        "masked": masked(load_pretrained(options.encoder), sequences, share=options.share),
    }
    settings = Settings(batch_size=options.batch, max_steps=STEPS + 1, device="cpu", keep="last")
    head = head_alone(kinds["masked"])
    times: dict[str, list[float]] = {name: [] for name in (*kinds, "head")}
    for round_ in range(options.rounds + 1):
        for name, kind in kinds.items():
            found = kind.seconds(settings)
            if round_:  # the first round warms up
                times[name].append(statistics.median(found))
        if round_:
            times["head"].append(statistics.median([head() for _ in range(STEPS)]))
    show(times, options)


def classes(pretrained: Pretrained, sequences: Sequence[Encoded]) -> Kind:
    """Fine-tuning of a head that reads the first token."""
    examples = [TextExample("a", None, str(row % 2), Place("row", row)) for row in range(len(sequences))]
    task = Classify().learn(examples)
    return Kind(task, model_of(task, pretrained), Prepared.of(examples, of_rows(sequences)))


def tags(pretrained: Pretrained, sequences: Sequence[Encoded]) -> Kind:
    """Fine-tuning of a head that reads every token, one tag for each."""
    words = len(sequences[0]) - 2
    values = {"words": ["a"] * words, "tags": ["XY"[number % 2] for number in range(words)]}
    examples = [Tag().read(Row(values, Place("row", row))) for row in range(len(sequences))]
    task = Tag().learn(examples)
    anchors = np.stack([np.arange(words), np.arange(1, words + 1)], axis=1).astype(np.int32)
    encoded = [[replace(each, anchors=anchors)] for (each,) in of_rows(sequences)]
    return Kind(task, model_of(task, pretrained), Prepared.of(examples, encoded))


def masked(pretrained: Pretrained, sequences: Sequence[Encoded], *, share: float) -> Kind:
    """Masked words, drawn anew in every step."""
    task = Mlm(mask_share=share)
    examples = [Passage("a", Place("row", row)) for row in range(len(sequences))]
    encoded = of_rows(sequences)
    train = Prepared.of(examples, encoded, draw=task.drawing(encoded, pretrained.tokenizer))
    return Kind(task, model_of(task, pretrained), train)


def head_alone(kind: Kind) -> Callable[[], float]:
    """The seconds that the head's products, its loss and their gradients take on the chosen tokens of a batch."""
    rows = range(len(kind.train))
    batch = collate([each for row in kind.train.step(rows, seed=1, epoch=0) for each in row], kind.train.examples)
    truth_C = batch.truth_C
    assert truth_C is not None
    hidden_CD = torch.randn(len(truth_C), kind.model.encoder.config.width, requires_grad=True)

    def once() -> float:
        kind.model.requires_grad_(True)
        began = time.perf_counter()
        logits_CV = kind.model.head(hidden_CD, batch.layout)["logits"]
        F.cross_entropy(logits_CV, truth_C, reduction="sum").backward()
        took = time.perf_counter() - began
        kind.model.zero_grad(set_to_none=True)
        return took

    return once


def of_rows(sequences: Sequence[Encoded]) -> list[list[Encoded]]:
    """One sequence a row, which knows its row."""
    return [[replace(sequence, owner=row)] for row, sequence in enumerate(sequences)]


def model_of(task: Any, pretrained: Pretrained) -> Model:
    """The encoder with a new head."""
    model, _ = new_model(task, pretrained, generator=torch.Generator().manual_seed(1))
    return model


def show(times: dict[str, list[float]], options: argparse.Namespace) -> None:
    """A row for each kind, then the overhead, round by round."""
    tokens = options.batch * options.length
    print(
        f"{options.encoder}: {options.batch} rows of {options.length} tokens, {options.share:.0%} masked, "
        f"{options.threads} threads, {platform.machine()}, torch {torch.__version__}, {options.rounds} rounds"
    )
    print("| step | seconds | middle half | tokens/s |\n| --- | --- | --- | --- |")
    for name, found in times.items():
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"| {name} | {middle:.3f} | {low:.3f} – {high:.3f} | {tokens / middle:,.0f} |")
    for plain in ("tags", "classes"):
        rounds = zip(times["masked"], times[plain], times["head"], strict=True)
        over = [step / (base + head) - 1 for step, base, head in rounds]
        low, middle, high = statistics.quantiles(over, n=4)
        print(f"masked beside {plain} plus the head's arithmetic: {middle:+.1%} ({low:+.1%} to {high:+.1%})")


def command_line() -> argparse.Namespace:
    """The options."""
    summary, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="minilm", help="a folder, or minilm (packaged)")
    parser.add_argument("--length", type=int, default=128, help="tokens of a row (128)")
    parser.add_argument("--batch", type=int, default=32, help="rows of a step (32)")
    parser.add_argument("--share", type=float, default=0.15, help="share of the pieces that are masked (0.15)")
    parser.add_argument("--rounds", type=int, default=8, help="rounds that count, at least 2 (8)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="processor threads")
    return parser.parse_args()


if __name__ == "__main__":
    main()
