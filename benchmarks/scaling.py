"""How does the cost grow with the length of texts, the batch, the rows, the encoder's size and the threads?

    python benchmarks/scaling.py                                       # all of them
    python benchmarks/scaling.py --axes length --lengths 16,64,256 --encoder base
    python benchmarks/scaling.py --axes size --sizes 128x2,384x6,768x12

One thing changes along an axis, the rest stays: MiniLM, 64 tokens a text, 2,048 tokens a step. Training is beside the
tuned peer of train.py, predicting beside transformers in bfloat16, in sorted batches; all ways in turn at each point.
length: 16 to 512 tokens, all rows equally long. batch: 1 to 64 rows a step. rows: how long it takes until a file is
read and the first step done, and the memory for it. size: random encoders from 128 wide, 2 layers, to BERT-base.
threads: 1 to all. The rows are random words: what they say does not matter here, and their number of pieces is exact.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _measure as measure
import infer
import memory
import train
from _measure import Spread
from ceiling import ceiling, quick_ceiling, shape_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

AXES = ("length", "batch", "rows", "size", "threads")
LENGTH, STEP_TOKENS = 64, 2048  # where they are not what changes
PREDICT_PEER = "hf:bf16"


def train_point(
    options: argparse.Namespace, work: Path, encoder: str, *, length: int, batch: int, threads: int
) -> dict[str, Any]:
    """Tokens a second of training at a point, ours and the peer's."""
    count = max(4 * batch, 64)
    data = memory.write_rows(work / f"rows-{length}-{batch}.csv", count, least=length, most=length)
    config = {
        "task": "classify", "data": str(data), "columns": {}, "encoder": encoder, "rows": None, "max_length": length,
        "batch": batch, "rate": 1e-4, "dropout": 0.1, "seed": 1, "threads": threads, "attention": "auto",
        "total": options.warmup + options.rounds * options.steps + 2, "peer_precision": options.peer_precision,
        "group_window": 0, "precision": None,
    }  # fmt: skip
    ways = dict.fromkeys(["ours:random", *options.peers], config)
    found = train.compare(
        ways,
        threads=threads,
        rounds=options.rounds,
        steps=options.steps,
        warmup=options.warmup,
        shape=shape_of(encoder),
    )
    return {
        "ways": {name: {key: way[key] for key in ("tokens_per_second", "useful_gflops", "peak_rss")}
                 for name, way in found["ways"].items()},
        "ratios": found["ratios"],
    }  # fmt: skip


def predict_points(
    options: argparse.Namespace, work: Path, encoder: str, *, lengths: Sequence[int], threads: int
) -> dict[str, Any]:
    """Tokens a second of predicting at these lengths, ours and the peer's, by length."""
    few = memory.write_rows(work / "few.csv", 64)
    folder = work / f"model-{Path(encoder).name}-{threads}"
    model = infer.trained(few, folder, encoder=encoder, steps=1, threads=threads, columns={})
    sets = {}
    for length in lengths:
        count = max(8, options.predict_tokens // length)
        file = memory.write_rows(work / f"predict-{length}.csv", count, least=length - 2, most=length - 2)
        sets[str(length)] = (infer.read_texts(file)[0], None)
    ways = ["ours:torch", *([PREDICT_PEER] if options.peers else [])]
    shared = {"model": str(model), "work": str(work), "threads": threads, "max_length": max(lengths), "requests": 1}
    found = infer.compare(sets, {}, ways, shared, rounds=options.rounds)
    return {
        length: {
            "ways": {name: {"tokens_per_second": way["tokens_per_second"]} for name, way in each["ways"].items()},
            "ratios": each["ratios"],
        }
        for length, each in found["sets"].items()
    }


def length_axis(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Lengths, at the same number of tokens a step."""
    return {
        "training": {
            str(length): train_point(
                options, work, options.encoder, length=length, batch=max(1, options.step_tokens // length),
                threads=options.threads,
            )
            for length in options.lengths
        },
        "predicting": predict_points(options, work, options.encoder, lengths=options.lengths, threads=options.threads),
    }  # fmt: skip


def batch_axis(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Rows in a step, at the same length."""
    points = {
        str(batch): train_point(
            options, work, options.encoder, length=options.length, batch=batch, threads=options.threads
        )
        for batch in options.batches
    }
    return {"training": points}


def rows_axis(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Rows of a file: the seconds until it is read and the first step done, and memory; with a tiny encoder, so that
    reading is what is seen."""
    tiny = str(train.write_encoder(work / "tiny", memory.TINY))
    return {
        "files": [
            memory.from_rows(work, tiny, rows=rows, steps=1, threads=options.threads) for rows in options.rows
        ]
    }  # fmt: skip


def size_axis(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Encoders of these shapes, random weights."""
    found: dict[str, Any] = {"training": {}, "predicting": {}, "parameters": {}}
    for width, layers in options.sizes:
        name = f"{width}x{layers}"
        shape = {"width": width, "layers": layers, "heads": max(1, width // 64), "inner": 4 * width}
        encoder = str(train.write_encoder(work / f"encoder-{name}", shape))
        found["training"][name] = train_point(
            options, work, encoder, length=options.length, batch=max(1, options.step_tokens // options.length),
            threads=options.threads,
        )  # fmt: skip
        points = predict_points(options, work, encoder, lengths=[options.length], threads=options.threads)
        found["predicting"][name] = points[str(options.length)]
        found["parameters"][name] = train.parameters_of(shape)
    return found


def threads_axis(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Threads, 1 to all."""
    return {
        "training": {
            str(threads): train_point(
                options, work, options.encoder, length=options.length,
                batch=max(1, options.step_tokens // options.length), threads=threads,
            )
            for threads in counts_up_to(options.threads)
        }
    }  # fmt: skip


def counts_up_to(most: int) -> list[int]:
    """1, 2, 4 … and the most."""
    return sorted({most, *(2**power for power in range(most.bit_length()) if 2**power <= most)})


MEASURES: Mapping[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "length": length_axis, "batch": batch_axis, "rows": rows_axis, "size": size_axis, "threads": threads_axis
}  # fmt: skip


def show(results: Mapping[str, Any]) -> str:
    """A table for each axis."""
    parts = []
    for axis, found in results.items():
        parts += [
            _points(axis, kind, found[kind], found.get("parameters", {}))
            for kind in ("training", "predicting")
            if found.get(kind)
        ]
        if axis == "rows":
            rows = [
                [f"{each['rows']:,}", f"{each['tokens']:,}", measure.short(each["ready_seconds"]),
                 measure.short(each["first_step_seconds"]), memory.megabytes(each["peak_rss"])]
                for each in found["files"]
            ]  # fmt: skip
            head = ["rows of a file", "tokens", "read after, s", "first step after, s", "most, MB"]
            parts.append(measure.table(head, rows))
    return "\n\n".join(parts)


def _points(axis: str, kind: str, points: Mapping[str, Any], parameters: Mapping[str, int]) -> str:
    first = next(iter(points.values()))
    ways, pairs = list(first["ways"]), list(first["ratios"])
    head = [f"{kind}: {axis}", *(["parameters"] if parameters else []), *(f"{way}, tokens/s" for way in ways), *pairs]
    rows = [
        [name, *([f"{parameters[name] / 1e6:.1f} M"] if parameters else []),
         *(Spread.read(point["ways"][way]["tokens_per_second"]) for way in ways),
         *(Spread.read(point["ratios"][pair]) for pair in pairs)]
        for name, point in points.items()
    ]  # fmt: skip
    return measure.table(head, rows)


def numbers(text: str) -> list[int]:
    """Whole numbers with commas between them."""
    return [int(each) for each in text.split(",")]


def sizes(text: str) -> list[tuple[int, int]]:
    """Widths and layers: ``128x2,384x6``."""
    return [(int(width), int(layers)) for width, layers in (each.split("x") for each in text.split(","))]


def command_line(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    made = measure.parser(__doc__)
    made.add_argument("--axes", help=f"of {','.join(AXES)} (all)")
    made.add_argument("--encoder", default="minilm", help="a folder, minilm (packaged), or base")
    made.add_argument("--lengths", type=numbers, help="16,32,64,128,256,512")
    made.add_argument("--batches", type=numbers, help="1,2,4,8,16,32,64")
    made.add_argument("--rows", type=numbers, help="1000,10000,100000")
    made.add_argument("--sizes", type=sizes, help="widths x layers (128x2,256x4,384x6,512x8,768x12)")
    made.add_argument("--length", type=int, help=f"of the other axes ({LENGTH})")
    made.add_argument("--step-tokens", type=int, help=f"of a step, but along batch ({STEP_TOKENS:,})")
    made.add_argument("--predict-tokens", type=int, help="of a set to predict (16,384)")
    made.add_argument("--peers", help="tuned, or nothing to measure ours alone (tuned)")
    made.add_argument("--rounds", type=int, help="turns of each way at each point (5)")
    made.add_argument("--steps", type=int, help="of a turn (8)")
    made.add_argument("--warmup", type=int, help="steps before the first turn (5)")
    options = measure.settled(made, __file__, argv)
    usual = {
        "axes": ",".join(AXES), "lengths": [16, 32, 64, 128, 256, 512], "batches": [1, 2, 4, 8, 16, 32, 64],
        "rows": [1000, 10_000, 100_000], "sizes": [(128, 2), (256, 4), (384, 6), (512, 8), (768, 12)],
        "length": LENGTH, "step_tokens": STEP_TOKENS, "predict_tokens": 16_384, "peers": "tuned", "rounds": 5,
        "steps": 8, "warmup": 5,
    }  # fmt: skip
    quick = {
        "axes": "length,rows", "lengths": [16, 64], "batches": [1, 4], "rows": [200, 1000], "sizes": [(64, 1)],
        "length": 16, "step_tokens": 128, "predict_tokens": 256, "peers": "", "rounds": 2, "steps": 2, "warmup": 1,
    }  # fmt: skip
    for name, value in (quick if options.quick else usual).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.axes = options.axes.split(",")
    options.peers = [name for name in options.peers.split(",") if name]
    for name in options.axes:
        if name not in AXES:
            made.error(f"--axes: {name!r} is not one of {', '.join(AXES)}")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    options = command_line(argv)
    name = Path(options.encoder).name
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if options.encoder == "base":
            options.encoder = str(train.write_encoder(work / "base", train.BASE))
        elif options.quick and options.encoder == "minilm":
            options.encoder = str(train.write_encoder(work / "small", memory.TINY))
        shape = shape_of(options.encoder)
        look = quick_ceiling if options.quick else ceiling
        limits = look(shape["width"], shape["inner"], threads=options.threads)
        options.peer_precision = "bf16" if limits["peak"]["bfloat16"] > limits["peak"]["float32"] else "fp32"
        # written after every axis: a run that is stopped leaves what it has
        results: dict[str, Any] = {}
        for axis in options.axes:
            measure.say(f"axis: {axis}")
            results[axis] = MEASURES[axis](options, work)
            said = {"encoder": name, "length": options.length, "step_tokens": options.step_tokens}
            measure.write(options, options.name or name, results, config=said, ceiling=limits, shape=shape)
    print(show(results))


if __name__ == "__main__":
    main()
