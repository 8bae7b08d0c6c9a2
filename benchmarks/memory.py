"""How much memory does it take: to train beside a peer, over epochs, from a million rows, and to predict them?

    python benchmarks/memory.py                               # all parts; the million rows take the longest
    python benchmarks/memory.py --parts epochs --encoder base
    python benchmarks/memory.py --parts rows,predict --rows 200000
    python benchmarks/memory.py --parts large                 # some steps of BERT-large at 512 tokens, some 10 GB

epochs: the most that was held while training, ours and the tuned peer's of train.py, and what was held at the end of
every epoch. rows: training from files of a tenth of the rows and of all of them, and what a row more costs beside the
4 bytes that each of its pieces needs. predict: what `bertsmith predict` holds when a tenth, a half and all of the rows
are answered. The rows are made up, about ten words each; as memory for them does not depend on the encoder, a tiny one
is taken. large: some steps of BERT-large, random weights, ours, ours with activation checkpointing, and the peer's, one
after another. Resident memory, as the system counts it.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _measure as measure
import train
from _measure import Spread
from ceiling import longest_of, shape_of
from infer import trained

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

PARTS = ("epochs", "rows", "predict", "large")
TINY = {"width": 32, "layers": 1, "heads": 2, "inner": 64}
LARGE = {"width": 1024, "layers": 24, "heads": 16, "inner": 4096}
LARGE_STEPS = 3
MARKS = (0.1, 0.5, 1.0)
TRAIN = """
import json, sys, time
import bertsmith
from bertsmith.events import Began, Stepped

def listen(event):
    if isinstance(event, Began):
        print(json.dumps({"tokens": event.tokens, "rows": event.rows, "at": time.time()}), flush=True)
    if isinstance(event, Stepped):
        print(json.dumps({"step": event.step, "at": time.time()}), flush=True)

file, out, encoder, steps, threads = sys.argv[1:6]
settings = bertsmith.Settings(
    train=file, out=out, encoder=encoder, max_steps=int(steps), dev_fraction=0, keep="last", threads=int(threads),
    overwrite=True, device="cpu", max_length=128,
)
bertsmith.train("classify", settings, listen=listen)
"""


@cache
def known_words() -> tuple[str, ...]:
    """The words of a packaged sample that are one piece each for BERT's tokenizer."""
    from bertsmith.checkpoint import find
    from bertsmith.tokenizer import Tokenizer

    text = measure.sample("classify", "train", "tsv").read_text(encoding="utf-8").partition("\n")[2]
    texts = " ".join(line.split("\t")[0] for line in text.splitlines())
    words = sorted({word for word in texts.lower().split() if word.isalpha()})
    encoded = Tokenizer.from_folder(find("minilm").folder).encode(words, max_length=16)
    return tuple(word for word, each in zip(words, encoded, strict=True) if len(each) == 3)


def write_rows(file: Path, rows: int, *, least: int = 4, most: int = 16, seed: int = 1) -> Path:
    """A CSV file of so many rows of random words, with two labels."""
    chance, known = random.Random(seed), known_words()
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for row in range(rows):
            text = " ".join(chance.choices(known, k=chance.randint(least, most)))
            writer.writerow([text, "ab"[row % 2] if row < 2 else chance.choice("ab")])
    return file


def over_epochs(config: Mapping[str, Any], *, threads: int, epochs: int, peers: Sequence[str]) -> dict[str, Any]:
    """Ours and its peers, an epoch a turn: the most that each held, and what it held after every epoch."""
    rows = config["rows"]
    steps = -(-rows // config["batch"])
    config = {**config, "total": steps * epochs + 1}
    ways = {"ours:random": {**config, "group_window": 0, "precision": None}}
    ways |= dict.fromkeys(peers, config)
    with measure.started(train.__file__, ways, threads=threads) as running:
        train.check_same({name: way.facts for name, way in running.items()})
        turns = measure.in_turn(running, rounds=epochs, steps=steps, warmup=0)
    return {
        "rows": rows, "epochs": epochs,
        "ways": {name: {"rss": [turn.rss for turn in of_way], "peak_rss": of_way[-1].peak_rss}
                 for name, of_way in turns.items()},
    }  # fmt: skip


def from_rows(work: Path, encoder: str, *, rows: int, steps: int, threads: int) -> dict[str, Any]:
    """A few steps of training from a file of so many rows, in a process of its own: the most that it held, and when all
    was read and the first step done."""
    file = write_rows(work / f"rows-{rows}.csv", rows)
    words = [sys.executable, "-c", TRAIN, str(file), str(work / f"run-{rows}"), encoder, str(steps), str(threads)]
    events: list[dict[str, Any]] = []
    began = time.time()
    _, watch = measure.run_watched(words, threads=threads, each_line=lambda line, _: events.append(json.loads(line)))
    first = next(event for event in events if "step" in event)
    return {
        "rows": rows, "tokens": events[0]["tokens"], "file_bytes": file.stat().st_size, "peak_rss": watch.most,
        "ready_seconds": measure.rounded(events[0]["at"] - began),
        "first_step_seconds": measure.rounded(first["at"] - began),
    }  # fmt: skip


def predicting(work: Path, model: Path, *, rows: int, threads: int) -> dict[str, Any]:
    """`bertsmith predict` over a file of so many rows: what it holds when these shares of them are answered."""
    file = write_rows(work / f"predict-{rows}.csv", rows)
    marks = {max(1, int(share * rows)): f"{share:.0%}" for share in MARKS}
    held: dict[str, int] = {}
    answered = 0

    def line_of(_: bytes, watch: measure.Watch) -> None:
        nonlocal answered
        answered += 1
        if answered in marks:
            held[marks[answered]] = watch.last

    words = [sys.executable, "-m", "bertsmith", "predict", str(model), "--file", str(file), "--quiet"]
    seconds, watch = measure.run_watched(words, threads=threads, each_line=line_of)
    if answered != rows:
        raise RuntimeError(f"{answered:,} of {rows:,} rows were answered")
    return {"rows": rows, "file_bytes": file.stat().st_size, "held": held, "peak_rss": watch.most,
            "seconds": measure.rounded(seconds)}  # fmt: skip


def large_step(
    work: Path, *, shape: Mapping[str, int], batch: int, length: int, threads: int, peers: Sequence[str]
) -> dict[str, Any]:
    """Some steps at full length in every way, one after another, so that no two are in memory at once. The first, which
    makes AdamW's moments in the end, so that only later ones hold them and the values of all layers, is not timed."""
    encoder = train.write_encoder(work / "large", shape, positions=max(512, length))
    data = write_rows(work / "long.csv", max(2 * batch, 4), least=length, most=length)
    config = {
        "task": "classify", "data": str(data), "columns": {}, "encoder": str(encoder), "rows": None, "threads": threads,
        "max_length": length, "batch": batch, "rate": 2e-5, "dropout": 0.1, "seed": 1, "attention": "auto",
        "total": LARGE_STEPS + 2, "peer_precision": "bf16", "group_window": 0, "precision": None,
    }  # fmt: skip
    ways: dict[str, dict[str, Any]] = {"ours:random": config, "ours:checkpointing": {**config, "checkpointing": True}}
    ways |= dict.fromkeys(peers, config)
    found = {}
    for name, of_way in ways.items():
        with measure.started(train.__file__, {name: of_way}, threads=threads) as running:
            for way in running.values():
                turns = [way.turn(1) for _ in range(1 + LARGE_STEPS)]
                seconds = Spread.of([turn.seconds for turn in turns[1:]])
                found[name] = {"peak_rss": turns[-1].peak_rss, "seconds": seconds.record()}
                measure.say(f"{name}: {turns[-1].peak_rss / 1e9:.1f} GB, {seconds.median:.1f} s")
    parameters = train.parameters_of(shape)
    return {"shape": dict(shape), "batch": batch, "length": length, "parameters": parameters, "ways": found}


def show(results: Mapping[str, Any]) -> str:
    """The tables of a run."""
    parts = []
    if epochs := results.get("epochs"):
        rows = [
            [train.title(name), megabytes(way["peak_rss"]), " → ".join(megabytes(each) for each in way["rss"])]
            for name, way in epochs["ways"].items()
        ]
        parts.append(measure.table(["training", "most, MB", "after each epoch, MB"], rows))
    if files := results.get("rows"):
        rows = [
            [f"{each['rows']:,}", megabytes(each["file_bytes"]), f"{each['tokens']:,}", megabytes(each["peak_rss"]),
             measure.short(each["ready_seconds"]), measure.short(each["first_step_seconds"])]
            for each in files["files"]
        ]  # fmt: skip
        head = ["rows", "file, MB", "tokens", "most, MB", "ready after, s", "first step after, s"]
        text = f"A row more costs {files['bytes_a_row']:.0f} bytes, its pieces alone {files['token_bytes_a_row']:.0f}."
        parts.append(f"{measure.table(head, rows)}\n\n{text}")
    if predict := results.get("predict"):
        held = [megabytes(each) for each in predict["held"].values()]
        head = ["rows predicted", *(f"held at {share}, MB" for share in predict["held"]), "most, MB", "rows/s"]
        rate = measure.short(predict["rows"] / predict["seconds"])
        parts.append(measure.table(head, [[f"{predict['rows']:,}", *held, megabytes(predict["peak_rss"]), rate]]))
    if large := results.get("large"):
        rows = [
            [train.title(name), megabytes(way["peak_rss"]), Spread.read(way["seconds"])]
            for name, way in large["ways"].items()
        ]
        head = [f"a step of {large['batch']} × {large['length']} tokens, {large['parameters'] / 1e6:.0f} M parameters",
                "most, MB", "seconds a step"]  # fmt: skip
        parts.append(measure.table(head, rows))
    return "\n\n".join(parts)


def megabytes(count: float) -> str:
    """A number of bytes, in MB."""
    return f"{count / 1e6:,.0f}"


def command_line(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    made = measure.parser(__doc__)
    made.add_argument("--parts", help=f"of {','.join(PARTS)} (all but large)")
    made.add_argument("--encoder", default="minilm", help="of epochs: a folder, minilm (packaged), or base")
    made.add_argument("--data", type=Path, help="of epochs: rows to train on (made up)")
    made.add_argument("--epochs", type=int, help="of epochs: how many (5)")
    made.add_argument("--epoch-rows", type=int, help="of epochs: the rows of each (640)")
    made.add_argument("--peers", default="tuned", help="of epochs and large: tuned, trainer, or nothing")
    made.add_argument("--rows", type=int, help="of rows and predict: how many (1,000,000)")
    made.add_argument("--large-batch", type=int, default=4, help="of large: sequences in the step (4)")
    made.add_argument("--large-length", type=int, default=512, help="of large: their pieces (512)")
    options = measure.settled(made, __file__, argv)
    quick = {"epochs": 2, "epoch_rows": 32, "rows": 3000, "parts": "epochs,rows,predict"}
    usual = {"epochs": 5, "epoch_rows": 640, "rows": 1_000_000, "parts": "epochs,rows,predict"}
    for name, value in (quick if options.quick else usual).items():
        setattr(options, name, getattr(options, name) or value)
    options.parts = options.parts.split(",")
    options.peers = [name for name in options.peers.split(",") if name]
    for name in options.parts:
        if name not in PARTS:
            made.error(f"--parts: {name!r} is not one of {', '.join(PARTS)}")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    options = command_line(argv)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tiny = train.write_encoder(work / "tiny", TINY)
        if "epochs" in options.parts:
            results["epochs"] = epochs_part(options, work)
        if "rows" in options.parts:
            files = [
                from_rows(work, str(tiny), rows=rows, steps=5, threads=options.threads)
                for rows in (options.rows // 10, options.rows)
            ]
            results["rows"] = {"files": files, **growth(*files)}
        if "predict" in options.parts:
            model = trained(
                write_rows(work / "few.csv", 64), work / "model", encoder=str(tiny), steps=2, threads=options.threads,
                columns={},
            )  # fmt: skip
            results["predict"] = predicting(work, model, rows=options.rows, threads=options.threads)
        if "large" in options.parts:
            results["large"] = large_step(
                work, shape=TINY if options.quick else LARGE, batch=options.large_batch, length=options.large_length,
                threads=options.threads, peers=options.peers,
            )  # fmt: skip
    encoder = [Path(options.encoder).name] if "epochs" in options.parts else []  # the other parts have their own
    key = options.name or ", ".join([*options.parts, *encoder])
    measure.write(options, key, results)
    print(show(results))


def epochs_part(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Training over epochs, on a file that is given or on made-up rows of usual lengths."""
    encoder, data = options.encoder, options.data
    if encoder == "base":
        encoder = str(train.write_encoder(work / "base", train.BASE))
    elif options.quick and encoder == "minilm":
        encoder = str(work / "tiny")
    if data is None:
        data = write_rows(work / "epochs.csv", options.epoch_rows, least=2, most=60)
    config = {
        "task": "classify", "data": str(data), "columns": {}, "encoder": encoder, "rows": options.epoch_rows,
        "threads": options.threads, "max_length": min(128, longest_of(encoder)),
        "batch": 32, "rate": 1e-4, "dropout": 0.1, "seed": 1,
        "attention": "auto", "peer_precision": "bf16",
    }  # fmt: skip
    found = over_epochs(config, threads=options.threads, epochs=options.epochs, peers=options.peers)
    return {**found, "shape": shape_of(encoder)}


def growth(fewer: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, float]:
    """What a row more costs, in bytes, and what its pieces alone need as numbers of 4 bytes."""
    rows = more["rows"] - fewer["rows"]
    return {
        "bytes_a_row": measure.rounded((more["peak_rss"] - fewer["peak_rss"]) / rows),
        "token_bytes_a_row": measure.rounded(4 * (more["tokens"] - fewer["tokens"]) / rows),
    }


if __name__ == "__main__":
    main()
