"""How fast can this machine multiply matrices and copy memory at most? What the other benchmarks are shares of.

    python benchmarks/ceiling.py                              # the packaged MiniLM's shapes, on one thread and on all
    python benchmarks/ceiling.py --shape 768,12,12,3072       # those of BERT-base: width, layers, heads, inner width

Products of [tokens, in] with [in, out] in float32 and bfloat16, for every product that a layer has and for a large
square one; each is repeated until its time is up, and the best counts: a ceiling is what was reached once. The copy
counts the bytes that it reads and those that it writes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _measure as measure

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

TYPES = ("float32", "bfloat16")
TOKENS = (512, 4096)
SQUARE = 2048


def shapes(width: int, inner: int, tokens: Sequence[int]) -> dict[str, tuple[int, int, int]]:
    """Every product of a layer, by name: tokens, in, out."""
    products = {"query, key, value": (width, 3 * width), "output": (width, width), "up": (width, inner),
                "down": (inner, width)}  # fmt: skip
    return {f"{name}, {count} tokens": (count, *sides) for count in tokens for name, sides in products.items()}


def measured(config: Mapping[str, Any], turns: measure.Turns) -> None:
    """The way: a turn is one look at everything, and the best of all looks is kept in the last one's units."""
    import torch

    torch.set_num_threads(config["threads"])
    places = shapes(config["width"], config["inner"], config["tokens"])
    places["square"] = (config["square"],) * 3
    best: dict[str, float] = {}
    source = torch.ones(config["copy_bytes"] // 4)
    target = torch.empty_like(source)
    turns.ready(threads=torch.get_num_threads(), bf16_supported=_has_bf16())
    while True:
        for kind in TYPES:
            for name, (rows, width, out) in places.items():
                key = f"{kind}: {name}"
                best[key] = max(best.get(key, 0.0), _product(rows, width, out, kind, config["seconds"]))
        copied = _best_seconds(lambda: target.copy_(source), config["seconds"])
        best["copy"] = max(best.get("copy", 0.0), 2 * config["copy_bytes"] / copied / 1e9)
        turns.step(**best)


def _product(rows: int, width: int, out: int, kind: str, seconds: float) -> float:
    """GFLOP/s of the best repetition."""
    import torch
    import torch.nn.functional as F

    dtype = getattr(torch, kind)
    hidden, weight = torch.randn(rows, width).to(dtype), torch.randn(out, width).to(dtype)
    with torch.inference_mode():
        return 2 * rows * width * out / _best_seconds(lambda: F.linear(hidden, weight), seconds) / 1e9


def _best_seconds(work: Any, seconds: float) -> float:
    """The least time of one call, of those that fit in so many seconds after a first one; five at least."""
    work()
    until, best, count = time.perf_counter() + seconds, float("inf"), 0
    while count < 5 or time.perf_counter() < until:
        began = time.perf_counter()
        work()
        best, count = min(best, time.perf_counter() - began), count + 1
    return best


def _has_bf16() -> bool:
    import torch

    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def ceiling(
    width: int,
    inner: int,
    *,
    threads: int,
    seconds: float = 0.3,
    looks: int = 2,
    tokens: Sequence[int] = TOKENS,
    square: int = SQUARE,
    copy_bytes: int = 2**28,
) -> dict[str, Any]:
    """What was reached with so many threads: `peak` in GFLOP/s by type, `products` by type and name, `copy` in GB/s."""
    config = {"width": width, "inner": inner, "threads": threads, "seconds": seconds, "tokens": list(tokens),
              "square": square, "copy_bytes": copy_bytes}  # fmt: skip
    with measure.started(__file__, {"ceiling": config}, threads=threads) as ways:
        facts = ways["ceiling"].facts
        for _ in range(looks):
            last = ways["ceiling"].turn(1)
    return summed_up(last.units) | {"threads": threads, "bf16_supported": facts["bf16_supported"]}


def summed_up(best: Mapping[str, float]) -> dict[str, Any]:
    """The best of everything, sorted: `peak`, `products` and `copy`."""
    products = {
        kind: {key.partition(": ")[2]: round(value, 1) for key, value in best.items() if key.startswith(f"{kind}: ")}
        for kind in TYPES
    }
    peak = {kind: max(found.values()) for kind, found in products.items()}
    return {"peak": peak, "products": products, "copy": round(best["copy"], 1)}


def quick_ceiling(width: int, inner: int, *, threads: int) -> dict[str, Any]:
    """The same in a second or two."""
    return ceiling(width, inner, threads=threads, seconds=0.01, looks=1, tokens=(512,), square=512, copy_bytes=2**26)


def shape_of(encoder: str) -> dict[str, int]:
    """Width, layers, heads, inner width and vocabulary of an encoder, from its config.json."""
    from bertsmith.checkpoint import find, read_config

    _, config = read_config(find(encoder))
    return {"width": config.width, "layers": config.layers, "heads": config.heads, "inner": config.inner_width,
            "vocabulary": config.vocabulary}  # fmt: skip


def longest_of(encoder: str) -> int:
    """The most pieces of a sequence that an encoder takes."""
    from bertsmith.checkpoint import find, read_config

    return read_config(find(encoder))[1].max_length


def parsed_shape(text: str) -> dict[str, int]:
    """``width,layers,heads,inner``. Raises ValueError for what is no shape."""
    width, layers, heads, inner = (int(number) for number in text.split(","))
    if min(width, layers, heads, inner) < 1 or width % heads:
        raise ValueError(f"a width is a multiple of its heads, got {text}")
    return {"width": width, "layers": layers, "heads": heads, "inner": inner}


def show(result: Mapping[str, Mapping[str, Any]]) -> str:
    """A table: a row for each product, a column for each type and number of threads."""
    runs = list(result.values())
    head = ["product"] + [f"{kind}, {_threads(run['threads'])}" for kind in TYPES for run in runs]
    names = list(runs[0]["products"]["float32"])
    rows: list[list[Any]] = [
        [name, *(measure.short(run["products"][kind][name]) for kind in TYPES for run in runs)] for name in names
    ]
    rows.append(["**best**", *(f"**{measure.short(run['peak'][kind])}**" for kind in TYPES for run in runs)])
    copies = "; ".join(f"{_threads(run['threads'])}: {measure.short(run['copy'])} GB/s" for run in runs)
    return f"{measure.table(head, rows)}\n\nGFLOP/s. Copy, read + write: {copies}."


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def command_line(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    made = measure.parser(__doc__)
    made.add_argument("--encoder", default="minilm", help="a folder, or minilm (packaged), whose shapes are multiplied")
    made.add_argument("--shape", type=parsed_shape, help="width,layers,heads,inner instead")
    made.add_argument("--seconds", type=float, default=0.5, help="of each product, at each look (0.5)")
    made.add_argument("--looks", type=int, default=3, help="how often everything is measured (3)")
    return measure.settled(made, __file__, argv)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    options = command_line(argv)
    shape = options.shape or shape_of(options.encoder)
    found: dict[str, Any] = {}
    for threads in sorted({1, options.threads}):
        if options.quick:
            found[str(threads)] = quick_ceiling(shape["width"], shape["inner"], threads=threads)
        else:
            found[str(threads)] = ceiling(
                shape["width"], shape["inner"], threads=threads, seconds=options.seconds, looks=options.looks
            )
    name = Path(options.encoder).name if options.shape is None else "x".join(map(str, options.shape.values()))
    measure.write(options, options.name or name, found, shape=shape)
    print(show(found))


if __name__ == "__main__":
    if not measure.serve({"ceiling": measured}):
        main()
