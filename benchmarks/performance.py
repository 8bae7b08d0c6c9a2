"""Writes docs/performance.md between its markers, and its plots, from the results beside these scripts.

    python benchmarks/performance.py                      # after whichever of the benchmarks ran
    python benchmarks/performance.py --results runs/bench-quick --to runs/performance

Nothing is measured. A script whose results are not there is left out; what is written by hand around the markers stays.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _measure as measure
import ceiling
import coldstart
import infer
import memory
import scaling
import train

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DOCS = measure.HERE.parent / "docs"
PAGE = "performance.md"
BEGIN, END = "<!-- begin {name}: written by benchmarks/performance.py -->", "<!-- end {name} -->"
OUR_COLOUR, COLOURS = "#1b6ca8", ("#9aa5b1", "#c9803a", "#6b8f71", "#b0548c", "#55606e", "#d1b23e")
SCRIPTS = ("ceiling", "train", "infer", "coldstart", "memory", "scaling")


def section(name: str, records: Mapping[str, Any], folder: Path) -> str:
    """What stands between the markers of a script: for each of its records a heading, the plot, the table, the command
    and the machine."""
    parts = []
    for key, record in records.items():
        results = record["results"]
        parts.append(f"### {key}")
        parts += [f"![{title}]({file})" for title, file in PLOTS[name](key, results, folder)]
        parts.append(SHOWN[name](results))
        if name == "train":
            parts.append(_train_note(record))
        parts.append(f"```sh\n{record['command']}\n```")
        parts.append(_machine(record))
    return "\n\n".join(parts)


def _train_note(record: Mapping[str, Any]) -> str:
    config, results, peak = record["config"], record["results"], record["ceiling"]["peak"]
    window = {name: way["facts"].get("settings") for name, way in results["ways"].items() if name.startswith("ours")}
    settings = "; ".join(f"{name}: {shown}" for name, shown in window.items() if shown)
    return (
        f"{results['tokens_a_sequence']:.1f} tokens a sequence, at most {results['longest']}; batch {config['batch']}, "
        f"dropout {config['dropout']}; {results['rounds']} rounds of {results['steps']} steps after "
        f"{results['warmup']} that do not count. Measured peak: {measure.short(peak['bfloat16'])} GFLOP/s in bfloat16, "
        f"{measure.short(peak['float32'])} in float32; a share is of the higher one. "
        f"{train.flops_said(results)}.{f' Settings of bertsmith: {settings}.' if settings else ''}"
    )


def _machine(record: Mapping[str, Any]) -> str:
    machine = record["machine"]
    flags = f" ({', '.join(machine['flags'])})" if machine["flags"] else ""
    packages = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return (
        f"{machine['cpu']}{flags}, {machine['cores']} cores, {machine['threads']} threads, {machine['memory_gb']} GB, "
        f"load {machine['load_before']} before; {packages}; {record['date']}"
        f"{'; a quick run, which shows that it works and no speed' if record['quick'] else ''}."
    )


# -------------------------------------------------------------------------------------------------------------- plots


def bars(file: Path, title: str, values: Mapping[str, measure.Spread], unit: str, *, best: str = "") -> None:
    """Horizontal bars of medians with the least and the most, ours in colour."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.38 * len(values)), layout="constrained")
    names = list(values)[::-1]
    for place, name in enumerate(names):
        value = values[name]
        axes.barh(place, value.median, color=OUR_COLOUR if _is_ours(name) else COLOURS[0], height=0.7)
        axes.plot([value.low, value.high], [place, place], color="black", linewidth=1.2)
        axes.annotate(
            f" {measure.short(value.median)}", (max(value.high, value.median), place), va="center", fontsize=8
        )
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel(unit + (f" ({best})" if best else ""), fontsize=8)
    axes.set_xlim(0, 1.15 * max(max(value.high, value.median) for value in values.values()))
    _finish(figure, axes, title, file)


def lines(
    file: Path, title: str, series: Mapping[str, Mapping[float, measure.Spread]], across: str, unit: str, *, log: bool
) -> None:
    """Lines of medians with bands from the least to the most."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    others = iter(COLOURS)
    for name, points in series.items():
        colour = OUR_COLOUR if _is_ours(name) else next(others)
        at = list(points)
        axes.plot(at, [each.median for each in points.values()], marker="o", markersize=3, color=colour, label=name)
        axes.fill_between(
            at, [each.low for each in points.values()], [each.high for each in points.values()], color=colour, alpha=0.2
        )
    if log:
        axes.set_xscale("log", base=2)
    ticks = sorted({place for points in series.values() for place in points})
    axes.set_xticks(ticks, [f"{place:,g}" for place in ticks], fontsize=8)
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(across, fontsize=8)
    axes.set_ylabel(unit, fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    _finish(figure, axes, title, file)


def _is_ours(name: str) -> bool:
    return name.startswith(("ours", "bertsmith", "predict"))


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("svg")
    # the same results give the same file, and letters stay letters
    matplotlib.rcParams.update({"svg.hashsalt": "bertsmith", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib import pyplot

    return pyplot


def _finish(figure: Any, axes: Any, title: str, file: Path) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    figure.savefig(file, format="svg", metadata={"Date": None})
    _pyplot().close(figure)
    # no blanks where lines end, which matplotlib leaves
    text = "\n".join(line.rstrip() for line in file.read_text(encoding="utf-8").splitlines())
    file.write_text(f"{text}\n", encoding="utf-8")


def _name(script: str, *parts: str) -> str:
    """A file's name out of what it shows."""
    plain = "-".join(part for part in (script, *parts) if part).lower()
    kept = "".join(letter if letter.isalnum() else "-" for letter in plain)
    return f"performance-{'-'.join(filter(None, kept.split('-')))}.svg"


Plots = list[tuple[str, str]]


def plot_ceiling(key: str, results: Mapping[str, Any], folder: Path) -> Plots:
    """The peaks, by type and threads."""
    values = {
        f"{kind}, {run['threads']} threads": measure.Spread.of([run["peak"][kind]])
        for run in results.values()
        for kind in ceiling.TYPES
    }
    file = _name("ceiling", key)
    bars(folder / file, f"Matrix products at most: {key}", values, "GFLOP/s")
    return [(f"matrix products, {key}", file)]


def plot_train(key: str, results: Mapping[str, Any], folder: Path) -> Plots:
    """Tokens a second."""
    values = {train.title(n): measure.Spread.read(w["tokens_per_second"]) for n, w in results["ways"].items()}
    file = _name("train", key)
    bars(folder / file, f"Training: {key}", values, "real tokens a second", best="more is better")
    return [(f"training, {key}", file)]


def plot_infer(key: str, results: Mapping[str, Any], folder: Path) -> Plots:
    """Texts a second of each set, ms of each request."""
    found = []
    for name, each in results["sets"].items():
        values = {way: measure.Spread.read(of_way["texts_per_second"]) for way, of_way in each["ways"].items()}
        file = _name("infer", key, name)
        bars(folder / file, f"Predicting: {name}", values, "texts a second", best="more is better")
        found.append((f"predicting, {name}", file))
    for length, each in results["latency"].items():
        values = {way: measure.Spread.read(ms) for way, ms in each["ways"].items()}
        file = _name("infer", key, "request", length)
        bars(folder / file, f"One request of {length} tokens", values, "ms", best="less is better")
        found.append((f"one request of {length} tokens", file))
    return found


def plot_coldstart(key: str, results: Mapping[str, Any], folder: Path) -> Plots:
    """Seconds of each command."""
    values = {name: measure.Spread.read(each) for name, each in results["seconds"].items()}
    file = _name("coldstart", key)
    bars(folder / file, "From nothing to the end", values, "seconds", best="less is better")
    return [("cold starts", file)]


def plot_memory(key: str, results: Mapping[str, Any], folder: Path) -> Plots:
    """What is held after each epoch."""
    if "epochs" not in results:
        return []
    series = {
        train.title(name): {float(n): measure.Spread.of([rss / 1e6]) for n, rss in enumerate(way["rss"], start=1)}
        for name, way in results["epochs"]["ways"].items()
    }
    file = _name("memory", key)
    lines(folder / file, "Memory held after each epoch", series, "epochs", "MB", log=False)
    return [("memory over epochs", file)]


def plot_scaling(key: str, results: Mapping[str, Any], folder: Path) -> Plots:
    """Tokens a second along each axis."""
    found = []
    for axis, of_axis in results.items():
        for kind in ("training", "predicting"):
            points = of_axis.get(kind)
            if not points or len(points) < 2:
                continue
            at = of_axis.get("parameters") or {name: float(name) for name in points}
            series = {
                way: {
                    at[name] / (1e6 if "parameters" in of_axis else 1): measure.Spread.read(
                        point["ways"][way]["tokens_per_second"]
                    )
                    for name, point in points.items()
                }
                for way in next(iter(points.values()))["ways"]
            }
            file = _name("scaling", key, axis, kind)
            across = {"length": "tokens a text", "batch": "rows a step", "size": "million parameters"}.get(axis, axis)
            lines(folder / file, f"{kind.capitalize()}: {axis}", series, across, "tokens a second", log=True)
            found.append((f"{kind}, {axis}", file))
    return found


SHOWN: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "ceiling": ceiling.show, "train": train.show, "infer": infer.show, "coldstart": coldstart.show,
    "memory": memory.show, "scaling": scaling.show,
}  # fmt: skip
PLOTS: Mapping[str, Callable[[str, Mapping[str, Any], Path], Plots]] = {
    "ceiling": plot_ceiling, "train": plot_train, "infer": plot_infer, "coldstart": plot_coldstart,
    "memory": plot_memory, "scaling": plot_scaling,
}  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- page


def written(page: str, name: str, text: str) -> str:
    """The page with this text between the markers of a name. Raises ValueError where a page lacks them."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before, found, rest = page.partition(begin)
    _, also, after = rest.partition(end)
    if not found or not also:
        raise ValueError(f"the page lacks the markers {begin!r} and {end!r}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def write_page(results: Path, folder: Path, *, page: str) -> list[str]:
    """Write the plots and the page into a folder; the scripts whose results were there."""
    folder.mkdir(parents=True, exist_ok=True)
    done = []
    for name in SCRIPTS:
        file = results / f"{name}.json"
        if file.exists():
            page = written(page, name, section(name, json.loads(file.read_text(encoding="utf-8")), folder))
            done.append(name)
    (folder / PAGE).write_text(page, encoding="utf-8")
    return done


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=measure.HERE, help="the folder of results (benchmarks/)")
    parser.add_argument("--to", type=Path, default=DOCS, help="the folder of the page and its plots (docs/)")
    options = parser.parse_args(argv)
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    done = write_page(options.results, options.to, page=page)
    print(f"{options.to / PAGE}: {', '.join(done) or 'no results'}")


if __name__ == "__main__":
    main()
