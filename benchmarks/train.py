"""How many tokens a second does bertsmith learn from, and how many do its peers on the same rows?

    python benchmarks/train.py                                        # the packaged MiniLM on SST-2
    python benchmarks/train.py --encoder base --steps 6               # a random encoder of BERT-base's shape
    python benchmarks/train.py --task answer                          # questions, windows of 384 tokens, SQuAD v1.1
    python benchmarks/train.py --data mine.csv --text body --label kind --shape 512,8,8,2048    # yours

ours: `bertsmith` itself, from its settings on, with batches of random rows, and with rows of like length together.
tuned: the same model in transformers, in a loop as fast as its users write one: mega-batches of 50 sorted by length,
padded to the longest of a batch, autocast to bfloat16 and attention spelled out, each where it is faster here, AdamW
fused. trainer: Hugging Face's `Trainer` as it comes: float32, random batches, padded to their longest.

The same for all: rows, pieces, batch size, rate, warm-up, decay, clipping at norm 1, dropout, threads. Tokens are the
pieces of the texts, padding not counted. All take their turns of --steps steps in one run, each in a process of its
own, going on with its training from turn to turn; the first --warmup steps are not counted. This machine's ceiling is
measured before, with the same threads. Useful FLOPs are those of the whole model for the pieces of the texts, times 3
for forward and backward; what a way multiplies in truth, padding and all, is counted by torch in a step of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import shutil
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _measure as measure
from _measure import Spread
from ceiling import ceiling, longest_of, parsed_shape, quick_ceiling, shape_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

BASE = {"width": 768, "layers": 12, "heads": 12, "inner": 3072}
TITLES = {
    "ours": "bertsmith",
    "tuned": "transformers, tuned loop",
    "trainer": "`Trainer`, defaults",
}
DATA = {"classify": "sst2/train.tsv", "answer": "squad_v1.1/dev-v1.1.json"}
LENGTHS = {"classify": 128, "answer": 384}
BATCHES = {"classify": 32, "answer": 16}
MEGA_BATCH = 50  # as group_by_length of transformers
WEIGHT_DECAY, EPSILON, CLIP, WARMUP = 0.01, 1e-8, 1.0, 0.1
# of bertsmith alone: what a variant asks for, where this version has it
SETTINGS = ("precision", "group_window", "checkpointing")


@dataclass(frozen=True, slots=True)
class Item:
    """What a peer learns from: pieces, segments (0 or 1), and the class, or where the answer starts and ends."""

    ids: Any
    segments: Any
    targets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)


# ------------------------------------------------------------------------------------------------------ the same rows


def examples_of(config: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """The task, having learned from the rows, and the rows: all, or a sample that is always the same."""
    from bertsmith.api import read_examples
    from bertsmith.data import ReadOptions
    from bertsmith.tasks import task_class

    task = task_class(config["task"])()
    examples, _ = read_examples(task, Path(config["data"]), config["columns"], ReadOptions())
    if config["rows"] and config["rows"] < len(examples):
        chosen = sorted(random.Random(1).sample(range(len(examples)), config["rows"]))
        examples = [examples[row] for row in chosen]
    return task.learn(examples), examples


def encoded_rows(task: Any, examples: Sequence[Any], tokenizer: Any, max_length: int) -> Any:
    """The sequences of every row that is trained on, as bertsmith makes them."""
    return task.for_training(examples, task.encode(examples, tokenizer, max_length=max_length)).encoded


def digest(encoded: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """How many rows, sequences and pieces there are, and a hash of all of them: what all ways must agree in."""
    found = hashlib.sha256()
    for each in itertools.chain.from_iterable(encoded):
        found.update(each.ids.tobytes() + b"|")
    lengths = [len(each) for each in itertools.chain.from_iterable(encoded)]
    return {"rows": sum(bool(each) for each in encoded), "sequences": len(lengths), "tokens": sum(lengths),
            "sha256": found.hexdigest()[:16]}  # fmt: skip


def for_peer(config: Mapping[str, Any]) -> tuple[list[Item], int, dict[str, Any]]:
    """The same sequences with their targets, how many classes there are, and the digest."""
    import numpy as np

    from bertsmith.checkpoint import find
    from bertsmith.tokenizer import Tokenizer

    task, examples = examples_of(config)
    folder = find(config["encoder"]).folder
    encoded = encoded_rows(task, examples, Tokenizer.from_folder(folder), config["max_length"])
    check_pieces(folder, examples, encoded)
    if config["task"] == "answer":
        targets = [[span_in(example, each) for each in row] for example, row in zip(examples, encoded, strict=True)]
        classes = 2
    else:
        labels = sorted({example.target[0] for example in examples})
        targets = [
            [(labels.index(example.target[0]),)] * len(row) for example, row in zip(examples, encoded, strict=True)
        ]
        classes = len(labels)
    sequences = [
        Item(each.ids.astype(np.int64), (np.arange(len(each)) >= each.second).astype(np.int64), target)
        for row, of_row in zip(encoded, targets, strict=True)
        for each, target in zip(row, of_row, strict=True)
    ]
    return sequences, classes, digest(encoded)


def span_in(example: Any, window: Any) -> tuple[int, int]:
    """The first and the last piece of the answer in a window; those of [CLS] where it is not whole in there."""
    if not example.target:
        return 0, 0
    gold = example.target[0]
    start, stop = window.body
    inside = [p for p in range(start, stop) if window.spans[p, 1] > gold.start and window.spans[p, 0] < gold.stop]
    whole = inside and window.spans[inside[0], 0] <= gold.start and window.spans[inside[-1], 1] >= gold.stop
    return (inside[0], inside[-1]) if whole else (0, 0)


def check_pieces(folder: Path, examples: Sequence[Any], encoded: Sequence[Sequence[Any]], most: int = 500) -> None:
    """That transformers' tokenizer makes the same pieces of the first rows, of those that fit into the limit."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for example, row in itertools.islice(zip(examples, encoded, strict=True), most):
        if len(row) != 1 or row[0].cut or row[0].windows > 1:
            continue
        names = ("question", "passage") if hasattr(example, "passage") else ("text", "text_b")
        texts = [text for name in names if (text := getattr(example, name)) is not None]
        ids = tokenizer(*texts)["input_ids"]
        assert ids == row[0].ids.tolist(), f"{example.place}: transformers makes {ids}, bertsmith {row[0].ids.tolist()}"


def padded(batch: Sequence[Item], *, names: Sequence[str], pad: int) -> dict[str, Any]:
    """A batch as transformers takes it, padded to its longest."""
    import numpy as np
    import torch

    longest = max(map(len, batch))
    inputs = {name: np.full((len(batch), longest), pad if name == "input_ids" else 0) for name in names}
    for row, each in enumerate(batch):
        for name, values in (("input_ids", each.ids), ("attention_mask", 1), ("token_type_ids", each.segments)):
            if name in inputs:
                inputs[name][row, : len(each)] = values
    found = {name: torch.from_numpy(values) for name, values in inputs.items()}
    columns = ("labels",) if len(batch[0].targets) == 1 else ("start_positions", "end_positions")
    for index, name in enumerate(columns):
        found[name] = torch.tensor([each.targets[index] for each in batch])
    return found


def grouped(rows: Sequence[Item], batch: int, *, mega: int, seed: int) -> Iterator[list[Item]]:
    """Batches for ever, epoch after epoch: mega-batches of random rows, sorted by length; the batches of each in random
    order, so that every turn sees all lengths. (transformers leaves the longest first.)"""
    chance = random.Random(seed)
    while True:
        order = list(rows)
        chance.shuffle(order)
        for begin in range(0, len(order), batch * mega):
            some = sorted(order[begin : begin + batch * mega], key=len, reverse=True)
            batches = [some[start : start + batch] for start in range(0, len(some), batch)]
            chance.shuffle(batches)
            yield from batches


# ----------------------------------------------------------------------------------------------------------- the ways


def ours(config: Mapping[str, Any], turns: measure.Turns) -> None:
    """bertsmith, from its settings on."""
    import torch

    from bertsmith.checkpoint import find
    from bertsmith.config import Settings
    from bertsmith.events import Began, Event, Stepped
    from bertsmith.tokenizer import Tokenizer
    from bertsmith.training.run import fit_examples

    torch.set_num_threads(config["threads"])
    asked = {name: config[name] for name in SETTINGS if config.get(name) is not None}
    if missing := sorted(asked.keys() - Settings.model_fields.keys()):
        # what is only as it was before the setting came needs no setting
        if any(asked[name] for name in missing):
            turns.ready(missing=f"this bertsmith has no setting {', '.join(missing)}")
        asked = {name: value for name, value in asked.items() if name not in missing}
    task, examples = examples_of(config)
    tokenizer = Tokenizer.from_folder(find(config["encoder"]).folder)
    facts = digest(encoded_rows(task, examples, tokenizer, config["max_length"]))
    settings = Settings(
        encoder=config["encoder"], dev_fraction=0, keep="last", device="cpu", threads=config["threads"],
        batch_size=config["batch"], max_length=config["max_length"], max_steps=config["total"],
        learning_rate=config["rate"], dropout=config["dropout"], seed=config["seed"], warmup=WARMUP,
        weight_decay=WEIGHT_DECAY, adam_epsilon=EPSILON, clip=CLIP, **asked,
    )  # fmt: skip

    def listen(event: Event) -> None:
        if isinstance(event, Began):
            assert (event.rows, event.tokens) == (facts["rows"], facts["tokens"]), (event, facts)
            used = {name: getattr(settings, name) for name in SETTINGS if hasattr(settings, name)}
            turns.ready(**facts, settings=used)
        elif isinstance(event, Stepped):
            turns.step(tokens=event.tokens, padded=event.tokens, loss=event.loss)

    fit_examples(task, examples, None, settings, listen=listen)


def model_of(config: Mapping[str, Any], classes: int) -> tuple[Any, list[str]]:
    """The same model in transformers, in training, and the names of its inputs."""
    import inspect

    import torch
    import transformers

    from bertsmith.checkpoint import find

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    transformers.set_seed(config["seed"])
    torch.set_num_threads(config["threads"])
    folder = find(config["encoder"]).folder
    form = transformers.AutoConfig.from_pretrained(folder)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "dropout",
                 "attention_dropout", "seq_classif_dropout", "qa_dropout"):  # fmt: skip
        if getattr(form, name, None) is not None and config["dropout"] is not None:
            setattr(form, name, config["dropout"])
    form.num_labels = classes
    auto = transformers.AutoModelForSequenceClassification
    if config["task"] == "answer":
        auto = transformers.AutoModelForQuestionAnswering
    # sdpa is what transformers takes by itself
    attention = "sdpa" if config["attention"] == "auto" else config["attention"]
    model = auto.from_pretrained(folder, config=form, dtype=torch.float32, attn_implementation=attention)
    takes = inspect.signature(model.forward).parameters
    return model.train(), [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in takes]


def dropout_of(model: Any) -> dict[str, float]:
    """How much is dropped where, by the names of modules, layer numbers left out."""
    import re

    import torch

    parts = {re.sub(r"\.\d+\.", ".*.", name): part.p for name, part in model.named_modules()
             if isinstance(part, torch.nn.Dropout)}  # fmt: skip
    return {**parts, "training": float(model.training)}


def faster_attention(model: Any, loss_of: Callable[[], Any]) -> dict[str, float]:
    """Give a model the attention that takes less processor time on a batch, forward and backward; the seconds of both.

    In bfloat16 with dropout, torch's own attention on a processor multiplies in float32, and the one that transformers
    spells out may be faster.
    """
    seconds: dict[str, float] = {}
    for name in ("sdpa", "eager"):
        model.set_attn_implementation(name)
        loss_of().backward()
        times = []
        for _ in range(3):
            began = time.process_time()
            loss_of().backward()
            times.append(time.process_time() - began)
        seconds[name] = measure.rounded(min(times))
    model.set_attn_implementation(min(seconds, key=lambda name: seconds[name]))
    model.zero_grad(set_to_none=True)
    return seconds


def tuned(config: Mapping[str, Any], turns: measure.Turns) -> None:
    """transformers, as fast as a loop of one's own makes it."""
    import torch
    from transformers import get_linear_schedule_with_warmup

    rows, classes, facts = for_peer(config)
    model, names = model_of(config, classes)
    parameters = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [each for _, each in parameters if each.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [each for _, each in parameters if each.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config["rate"], eps=EPSILON, fused=True,
    )  # fmt: skip
    schedule = get_linear_schedule_with_warmup(optimizer, int(WARMUP * config["total"]), config["total"])
    seen: list[str] = []
    linear = next(part for part in model.base_model.encoder.modules() if isinstance(part, torch.nn.Linear))
    hook = linear.register_forward_hook(lambda _part, _given, out: seen.append(str(out.dtype)))
    first = padded(rows[:2], names=names, pad=model.config.pad_token_id or 0)
    half = config["peer_precision"] == "bf16"
    autocast = torch.autocast("cpu", torch.bfloat16) if half else nullcontext()
    with autocast, torch.no_grad():
        model(**first)
    hook.remove()
    assert seen == ["torch.bfloat16" if half else "torch.float32"], seen
    tried = {}
    if config["attention"] == "auto":
        some = next(grouped(rows, config["batch"], mega=1, seed=config["seed"]))
        inputs = padded(some, names=names, pad=model.config.pad_token_id or 0)

        def loss_of() -> Any:
            with autocast:
                return model(**inputs).loss

        tried = faster_attention(model, loss_of)
    attention = model.config._attn_implementation
    turns.ready(**facts, linear=seen[0], dropout=dropout_of(model), attention=attention, attention_seconds=tried)
    for batch in grouped(rows, config["batch"], mega=MEGA_BATCH, seed=config["seed"]):
        inputs = padded(batch, names=names, pad=model.config.pad_token_id or 0)
        with autocast:
            loss = model(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        turns.step(tokens=sum(map(len, batch)), padded=inputs["input_ids"].numel(), loss=float(loss.detach()))


def trainer(config: Mapping[str, Any], turns: measure.Turns) -> None:
    """Hugging Face's Trainer as it comes, but for what all ways share."""
    import transformers

    from bertsmith.checkpoint import find

    rows, classes, facts = for_peer(config)
    model, names = model_of(config, classes)
    tokenizer = transformers.AutoTokenizer.from_pretrained(find(config["encoder"]).folder)
    data = [as_columns(each, names) for each in rows]
    collate = transformers.DataCollatorWithPadding(tokenizer)
    # a batch is made before the step that it is for, so what it holds waits in a line
    waiting: list[tuple[int, int]] = []

    def collated(features: list[dict[str, Any]]) -> Any:
        batch = collate(features)
        waiting.append((int(batch["attention_mask"].sum()), batch["input_ids"].numel()))
        return batch

    class Steps(transformers.TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            turns.ready(**facts, dropout=dropout_of(model), attention=model.config._attn_implementation)

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            tokens, places = waiting.pop(0)
            turns.step(tokens=tokens, padded=places)

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder, max_steps=config["total"], per_device_train_batch_size=config["batch"],
            learning_rate=config["rate"], lr_scheduler_type="linear", warmup_steps=int(WARMUP * config["total"]),
            weight_decay=WEIGHT_DECAY, adam_epsilon=EPSILON, max_grad_norm=CLIP, seed=config["seed"], use_cpu=True,
            report_to=[], save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        made = transformers.Trainer(model, arguments, collated, train_dataset=data, callbacks=[Steps()])
        made.remove_callback(transformers.PrinterCallback)
        made.train()


def as_columns(each: Item, names: Sequence[str]) -> dict[str, Any]:
    """A sequence as a row of Trainer's data."""
    row = {"input_ids": each.ids.tolist(), "attention_mask": [1] * len(each), "token_type_ids": each.segments.tolist()}
    columns = ("labels",) if len(each.targets) == 1 else ("start_positions", "end_positions")
    return {name: row[name] for name in names} | dict(zip(columns, each.targets, strict=True))


WAYS = {"ours": ours, "tuned": tuned, "trainer": trainer}


# ------------------------------------------------------------------------------------------------------- what it costs


def flops_per_token(lengths: Sequence[int], shape: Mapping[str, int], *, first_only: bool = False) -> float:
    """Products of forward and backward for the real pieces of sequences of these lengths, divided by those pieces:
    2 a parameter and piece in the layers, and the two products of attention, all of it three times.

    first_only: the last layer computes queries, output and feed-forward for the first piece alone.
    """
    width, layers, inner = shape["width"], shape["layers"], shape["inner"]
    tokens = sum(lengths)
    linear = 2 * tokens * (4 * width * width + 2 * width * inner) * layers
    attention = sum(4 * length * length * width for length in lengths) * layers
    if first_only:
        linear -= 2 * (tokens - len(lengths)) * (2 * width * width + 2 * width * inner)
        attention -= sum(4 * (length * length - length) * width for length in lengths)
    return 3 * (linear + attention) / tokens


def compare(
    ways: Mapping[str, Mapping[str, Any]],
    *,
    threads: int,
    rounds: int,
    steps: int,
    warmup: int,
    shape: Mapping[str, int],
    peak: float | None = None,
    at_once: int = 4,
) -> dict[str, Any]:
    """Train in all ways, in turn, and sum up: rates and their ratios, shares of a peak (GFLOP/s), memory.

    Raises TurnError if a way fails, ValueError if not all see the same rows and pieces.
    """
    with measure.started(__file__, ways, threads=threads, at_once=at_once) as running:
        facts = {name: dict(way.facts) for name, way in running.items()}
        check_same(facts)
        turns = measure.in_turn(running, rounds=rounds, steps=steps, warmup=warmup)
        counted = {name: way.turn(1, count=True) for name, way in running.items()}
    lengths = lengths_of(next(iter(ways.values())))
    useful = flops_per_token(lengths, shape)
    computed = flops_per_token(lengths, shape, first_only=next(iter(ways.values()))["task"] != "answer")
    found: dict[str, Any] = {}
    for name, of_way in turns.items():
        rates = measure.rates(of_way, "tokens")
        gflops = Spread.of([rate * useful / 1e9 for rate in rates])
        count = counted[name]
        assert count.flops is not None
        found[name] = {
            "tokens_per_second": Spread.of(rates).record(),
            "seconds_a_step": Spread.of([turn.seconds / steps for turn in of_way]).record(),
            "useful_gflops": gflops.record(),
            "share_of_peak": measure.rounded(gflops.median / peak) if peak else None,
            "real_share": measure.rounded(_sum(of_way, "tokens") / _sum(of_way, "padded")),
            "cores_busy": measure.rounded(sum(t.cpu_seconds for t in of_way) / sum(t.seconds for t in of_way)),
            "multiplied_a_token": {kind: measure.rounded(n / count.units["tokens"]) for kind, n in count.flops.items()},
            "loss": [measure.rounded(turn.units["loss"] / steps) for turn in of_way if "loss" in turn.units],
            "rss": [turn.rss for turn in of_way],
            "peak_rss": of_way[-1].peak_rss,
            "facts": facts[name],
        }
    pairs = {
        f"{mine} / {theirs}": Spread.of(
            measure.ratios(measure.rates(turns[mine], "tokens"), measure.rates(turns[theirs], "tokens"))
        ).record()
        for mine in turns
        for theirs in turns
        if mine.startswith("ours") and not theirs.startswith("ours")
    }
    return {
        "ways": found, "ratios": pairs, "useful_flops_a_token": measure.rounded(useful),
        "ours_flops_a_token": measure.rounded(computed),
        "tokens_a_sequence": measure.rounded(sum(lengths) / len(lengths)),
        "longest": max(lengths), "rounds": rounds, "steps": steps, "warmup": warmup,
    }  # fmt: skip


def _sum(turns: Sequence[measure.Turn], unit: str) -> float:
    return sum(turn.units[unit] for turn in turns)


def check_same(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ValueError unless all ways have the same rows, sequences and pieces."""
    seen = {name: {key: each[key] for key in ("rows", "sequences", "tokens", "sha256")} for name, each in facts.items()}
    if any(each != next(iter(seen.values())) for each in seen.values()):
        raise ValueError(f"the ways do not see the same rows: {seen}")


def lengths_of(config: Mapping[str, Any]) -> list[int]:
    """The pieces of every sequence that is trained on."""
    from bertsmith.checkpoint import find
    from bertsmith.tokenizer import Tokenizer

    task, examples = examples_of(config)
    tokenizer = Tokenizer.from_folder(find(config["encoder"]).folder)
    return [len(each) for row in encoded_rows(task, examples, tokenizer, config["max_length"]) for each in row]


def parameters_of(shape: Mapping[str, int], *, vocabulary: int = 30_522, positions: int = 512) -> int:
    """The parameters of an encoder of a shape: embeddings and layers."""
    width, inner = shape["width"], shape["inner"]
    layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
    return (vocabulary + positions + 2 + 2) * width + shape["layers"] * layer


def write_encoder(folder: Path, shape: Mapping[str, int], *, positions: int = 512) -> Path:
    """A random BERT of a shape, with MiniLM's tokenizer, which is BERT's own (30,522 pieces)."""
    import torch
    from transformers import BertConfig, BertModel

    from bertsmith.checkpoint import find

    packaged = find("minilm").folder
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(packaged / name, folder / name)
    config = BertConfig(
        hidden_size=shape["width"], num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"],
        intermediate_size=shape["inner"], max_position_embeddings=positions,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BertModel(config).save_pretrained(folder)
    return folder


# --------------------------------------------------------------------------------------------------- the command line


def show(results: Mapping[str, Any]) -> str:
    """The table of a run."""
    ways, pairs = results["ways"], results["ratios"]
    peers = [name for name in ways if not name.startswith("ours")]
    head = ["way", "tokens/s", *(f"× {TITLES[name]}" for name in peers), "useful GFLOP/s", "of the peak",
            "real tokens", "memory, MB"]  # fmt: skip
    rows = []
    for name, way in ways.items():
        against = [Spread.read(pairs[f"{name} / {peer}"]) if f"{name} / {peer}" in pairs else "" for peer in peers]
        gflops, share = way["useful_gflops"]["median"], way["share_of_peak"]
        rows.append(
            [title(name), Spread.read(way["tokens_per_second"]), *against, measure.short(gflops),
             "–" if share is None else f"{share:.2f}", f"{way['real_share']:.0%}", f"{way['peak_rss'] / 1e6:,.0f}"]
        )  # fmt: skip
    return measure.table(head, rows)


def title(name: str) -> str:
    """A way's name for people."""
    kind, _, variant = name.partition(":")
    return f"{TITLES[kind]}, {variant}" if variant else TITLES[kind]


def variants(names: Sequence[str], config: Mapping[str, Any], group_window: int) -> dict[str, dict[str, Any]]:
    """Ours by the names of variants: random or grouped, a precision behind a dash."""
    found = {}
    for name in names:
        order, _, precision = name.partition("-")
        if order not in ("random", "grouped") or precision not in ("", "auto", "fp32", "bf16"):
            raise ValueError(f"{name!r} is not random or grouped, with -auto, -fp32 or -bf16 behind it or nothing")
        more = {"group_window": group_window if order == "grouped" else 0, "precision": precision or None}
        found[f"ours:{name}"] = {**config, **more}
    return found


def command_line(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    made = measure.parser(__doc__)
    made.add_argument("--task", choices=list(DATA), default="classify")
    made.add_argument("--encoder", default="minilm", help="a folder, minilm (packaged), or base (random weights)")
    made.add_argument("--shape", type=parsed_shape, help="width,layers,heads,inner of a random encoder instead")
    made.add_argument("--data", type=Path, help="rows to train on (SST-2's or SQuAD's in BERTSMITH_DATA)")
    for name in ("text", "text-b"):
        made.add_argument(f"--{name}", help="the column of that name, where it is not guessed")
    made.add_argument("--label", help="the column of the label, where it is not guessed")
    made.add_argument("--rows", type=int, help="only so many of the rows, always the same")
    made.add_argument("--max-length", type=int, help="most tokens of a sequence (128; answer: 384)")
    made.add_argument("--batch", type=int, help="rows in a step (32; answer: 16)")
    made.add_argument("--rate", type=float, default=1e-4, help="the highest learning rate (1e-4)")
    made.add_argument("--dropout", type=float, default=0.1, help="of all ways (0.1)")
    made.add_argument(
        "--ours", default="random,grouped", help="random, grouped, each with -fp32 or -bf16 behind or not"
    )
    made.add_argument("--group-window", type=int, default=MEGA_BATCH, help="batches in which ours groups rows (50)")
    made.add_argument("--peers", default="tuned,trainer", help="tuned, trainer, or nothing")
    made.add_argument(
        "--peer-precision", choices=["auto", "bf16", "fp32"], default="auto", help="of tuned; auto: the faster"
    )
    made.add_argument(
        "--attention", choices=["auto", "sdpa", "eager"], default="auto",
        help="of the peers; auto: for tuned the faster, for trainer sdpa, as transformers chooses",
    )  # fmt: skip
    made.add_argument("--rounds", type=int, help="turns of each way (5)")
    made.add_argument("--steps", type=int, help="of a turn (20; answer: 8)")
    made.add_argument("--warmup", type=int, help="steps before the first turn (10)")
    made.add_argument("--seed", type=int, default=1)
    options = measure.settled(made, __file__, argv)
    for name, quick, usual in (
        ("rounds", 2, 5),
        ("steps", 3, 8 if options.task == "answer" else 20),
        ("warmup", 2, 10),
    ):
        setattr(options, name, getattr(options, name) or (quick if options.quick else usual))
    for name in options.peers.split(",") if options.peers else ():
        if name not in ("tuned", "trainer"):
            made.error(f"--peers: {name!r} is not tuned or trainer")
    return options


def data_of(options: argparse.Namespace) -> Path:
    """The rows that are asked for: a file, the data folder's, or the packaged sample."""
    if options.data is not None:
        return options.data  # type: ignore[no-any-return]
    folder = measure.data_folder()
    if not options.quick and folder is not None and (folder / DATA[options.task]).exists():
        return folder / DATA[options.task]
    if not options.quick:
        measure.say("no --data and no BERTSMITH_DATA: the packaged sample, which is small, is taken")
    return measure.sample(options.task, "train", "tsv" if options.task == "classify" else "json")


def config_of(options: argparse.Namespace, encoder: str, peak: Mapping[str, float]) -> dict[str, Any]:
    """What all ways share."""
    columns = {"text": options.text, "text_b": options.text_b, "label": options.label}
    fastest = "bf16" if peak["bfloat16"] > peak["float32"] else "fp32"
    return {
        "task": options.task, "data": str(data_of(options)), "encoder": encoder, "rows": options.rows,
        "columns": {name: column for name, column in columns.items() if column is not None},
        "max_length": options.max_length or min(LENGTHS[options.task], longest_of(encoder)),
        "batch": options.batch or BATCHES[options.task],
        "rate": options.rate, "dropout": options.dropout, "seed": options.seed, "threads": options.threads,
        "attention": options.attention, "total": options.warmup + options.rounds * options.steps + 2,
        "peer_precision": fastest if options.peer_precision == "auto" else options.peer_precision,
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    options = command_line(argv)
    with tempfile.TemporaryDirectory() as work:
        shape = options.shape or (BASE if options.encoder == "base" else None)
        encoder = options.encoder
        if shape is not None:
            encoder = str(write_encoder(Path(work) / "encoder", shape))
        shape = shape_of(encoder)
        look = quick_ceiling if options.quick else ceiling
        limits = look(shape["width"], shape["inner"], threads=options.threads)
        config = config_of(options, encoder, limits["peak"])
        ways: dict[str, Mapping[str, Any]] = dict(variants(options.ours.split(","), config, options.group_window))
        ways |= {name: config for name in options.peers.split(",") if name}
        results = compare(
            ways, threads=options.threads, rounds=options.rounds, steps=options.steps, warmup=options.warmup,
            shape=shape, peak=max(limits["peak"].values()),
        )  # fmt: skip
    name = "x".join(map(str, list(shape.values())[:4])) if options.shape else Path(options.encoder).name
    said = {**config, "data": Path(config["data"]).name, "encoder": name}
    key = options.name or f"{options.task}, {name}, {Path(config['data']).stem}, {config['max_length']}"
    measure.write(options, key, results, config=said, shape=shape, ceiling=limits)
    print(show(results))
    print(f"\nPeak: {measure.short(max(limits['peak'].values()))} GFLOP/s; {flops_said(results)}")


def flops_said(results: Mapping[str, Any]) -> str:
    """What a token costs, in one sentence."""
    useful, computed = results["useful_flops_a_token"] / 1e6, results["ours_flops_a_token"] / 1e6
    text = f"{useful:.1f} MFLOP a token of the whole model"
    if not math.isclose(useful, computed):
        text += f", of which bertsmith computes {computed:.1f}, its last layer for first tokens alone"
    multiplied = (
        f"{title(name)} {sum(way['multiplied_a_token'].values()) / 1e6:.1f} ({_kinds(way['multiplied_a_token'])})"
        for name, way in results["ways"].items()
    )
    return f"{text}; multiplied in truth, as torch counts it: {', '.join(multiplied)}"


def _kinds(by_kind: Mapping[str, float]) -> str:
    whole = sum(by_kind.values())
    return ", ".join(f"{count / whole:.0%} {kind}" for kind, count in sorted(by_kind.items(), key=lambda x: -x[1]))


if __name__ == "__main__":
    if not measure.serve(WAYS):
        main()
