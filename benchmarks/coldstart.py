"""How long does it take from nothing: to an answer, to a help page, to the first step of training?

    python benchmarks/coldstart.py                           # a MiniLM classifier; SST-2's 67 thousand rows
    python benchmarks/coldstart.py --model runs/mine --train mine.csv

Every time is that of a fresh process, from its start to its end (of training: to the event of the first step), all
commands in turn, A B A B …, after one round that does not count and fills the system's file cache. The peer of
`predict` is a script of three lines with `transformers.pipeline`. Training starts from the file twice: with nothing
kept from before, and once more, as whoever trains a second time on a file does.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _measure as measure
from _measure import Spread
from ceiling import longest_of
from infer import OURS, columns_of, export_all, trained

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

TEXT = "a film that is worth every minute"
PIPELINE = """
import sys
from transformers import pipeline
answer = pipeline("text-classification", model=sys.argv[1], tokenizer=sys.argv[1], device="cpu")
print(answer(sys.argv[2]))
"""
# The clock is the parent's, which started the process: time.time() is the same in both.
FIRST_STEP = """
import sys, time
import bertsmith
from bertsmith.events import Began, Stepped

def listen(event):
    if isinstance(event, (Began, Stepped)):
        print(type(event).__name__, time.time(), flush=True)

train, out, encoder, columns, threads, longest = sys.argv[1:7]
settings = bertsmith.Settings(
    train=train, out=out, encoder=encoder, dev_fraction=0, keep="last", overwrite=True, threads=int(threads),
    columns=dict(pair.split("=") for pair in columns.split(",") if pair), max_length=int(longest),
)
try:
    bertsmith.train("classify", settings, listen=listen, stop=lambda: True)
except bertsmith.TrainingError:
    pass  # stopped, as was asked
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A command to be timed. ours: it is bertsmith's, and compared with the pipeline."""

    words: tuple[str, ...]
    ours: bool = False


def commands(model: Path, backends: Sequence[str]) -> dict[str, Command]:
    """What is started, by name."""
    python, bertsmith = sys.executable, (sys.executable, "-m", "bertsmith")
    found = {
        f"predict, {backend}": Command((*bertsmith, "predict", str(model), TEXT, "--backend", backend), ours=True)
        for backend in backends
    }
    if not backends:
        found["predict, torch"] = Command((*bertsmith, "predict", str(model), TEXT), ours=True)
    found["pipeline"] = Command((python, "-c", PIPELINE, str(model), TEXT))
    found["bertsmith --help"] = Command((*bertsmith, "--help"))
    for module in ("bertsmith", "torch", "transformers.pipelines"):
        found[f"import {module}"] = Command((python, "-c", f"import {module}"))
    found["python alone"] = Command((python, "-c", "pass"))
    return found


def seconds_of(words: Sequence[str], *, threads: int) -> float:
    """From start to end. Raises RuntimeError, with what it wrote, if it fails."""
    began = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, env=measure.environment(threads), check=False)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[:4])} … failed:\n{done.stderr[-2000:]}")
    return took


def starts(found: Mapping[str, Command], *, threads: int, rounds: int) -> dict[str, Any]:
    """Each command's seconds, in turn, and the ratios of ours to the pipeline. One that fails is left out and said."""
    times: dict[str, list[float]] = {}
    for name, each in found.items():
        try:
            seconds_of(each.words, threads=threads)
        except RuntimeError as error:
            measure.say(f"{name}: left out: {str(error).strip().splitlines()[-1]}")
        else:
            times[name] = []
    for number in range(rounds):
        for name, seconds in times.items():
            seconds.append(seconds_of(found[name].words, threads=threads))
        measure.say(f"round {number + 1} of {rounds}: {', '.join(f'{n} {t[-1]:.2f} s' for n, t in times.items())}")
    pairs = {
        f"{name} / pipeline": Spread.of(measure.ratios(times[name], times["pipeline"])).record()
        for name in times
        if found[name].ours and "pipeline" in times
    }
    return {"seconds": {name: Spread.of(each).record() for name, each in times.items()}, "ratios": pairs}


def first_steps(
    train: Path, encoder: str, *, columns: Mapping[str, str], threads: int, rounds: int
) -> dict[str, dict[str, Any]]:
    """Seconds from the start of a process to `Began`, when all is read, and to the end of the first step: with nothing
    kept from an earlier run on the file, and after one."""
    found: dict[str, dict[str, list[float]]] = {"first start": {}, "later starts": {}}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            file = Path(shutil.copy(train, work / train.name))  # what is kept beside it goes with the folder
            for kind, of_kind in found.items():
                for name, seconds in first_step(file, work, encoder, columns, threads).items():
                    of_kind.setdefault(name, []).append(seconds)
                measure.say(f"{kind}: {', '.join(f'{name} {each[-1]:.2f} s' for name, each in of_kind.items())}")
    return {kind: {name: Spread.of(each).record() for name, each in of_kind.items()} for kind, of_kind in found.items()}


def first_step(file: Path, work: Path, encoder: str, columns: Mapping[str, str], threads: int) -> dict[str, float]:
    """Seconds to everything being read (`read`) and to the first step's end (`step`). Raises RuntimeError."""
    pairs = ",".join(f"{name}={column}" for name, column in columns.items())
    longest = str(min(128, longest_of(encoder)))
    words = [sys.executable, "-c", FIRST_STEP, str(file), str(work / "run"), encoder, pairs, str(threads), longest]
    environment = {**measure.environment(threads), "XDG_CACHE_HOME": str(work / "cache")}
    began = time.time()
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    at = {name: float(when) - began for name, when in (line.split() for line in done.stdout.splitlines())}
    if "Stepped" not in at:
        raise RuntimeError(f"training from {file.name} failed:\n{done.stderr[-2000:]}")
    shutil.rmtree(work / "run.partial", ignore_errors=True)
    return {"read": at["Began"], "step": at["Stepped"]}


def show(results: Mapping[str, Any]) -> str:
    """The tables of a run."""
    pairs = results["ratios"]
    rows = [
        [name, Spread.read(each), Spread.read(pairs[f"{name} / pipeline"]) if f"{name} / pipeline" in pairs else ""]
        for name, each in results["seconds"].items()
    ]
    text = measure.table(["a fresh process", "seconds", "of the pipeline's"], rows)
    steps = results.get("first_step")
    if steps:
        rows = [[kind, Spread.read(each["read"]), Spread.read(each["step"])] for kind, each in steps.items()]
        text += "\n\n" + measure.table(["training starts", "all is read, seconds", "first step done, seconds"], rows)
    return text


def command_line(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    made = measure.parser(__doc__)
    made.add_argument("--model", type=Path, help="a classifier's folder; left out, one is trained for a few steps")
    made.add_argument("--encoder", default="minilm", help="what is trained: a folder, or minilm (packaged)")
    made.add_argument("--train", type=Path, help="the file from which training starts (SST-2's)")
    made.add_argument("--text", help="the column of the text, where it is not guessed")
    made.add_argument("--label", help="the column of the label, where it is not guessed")
    made.add_argument("--backends", help=f"of {','.join(name.partition(':')[2] for name in OURS)}; left out, all")
    made.add_argument("--rounds", type=int, help="how often each is started (7)")
    options = measure.settled(made, __file__, argv)
    options.rounds = options.rounds or (1 if options.quick else 7)
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    options = command_line(argv)
    folder = None if options.quick else measure.data_folder()
    train = options.train or measure.sample("classify", "train", "tsv")
    if options.train is None and folder is not None and (folder / "sst2" / "train.tsv").exists():
        train = folder / "sst2" / "train.tsv"
    columns = columns_of(options)
    backends = options.backends.split(",") if options.backends else [name.partition(":")[2] for name in OURS]
    if options.quick and not options.backends:
        backends = ["torch", "openvino"]
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        model = options.model or trained(
            train, work / "model", encoder=options.encoder, steps=2 if options.quick else 20, threads=options.threads,
            columns=columns,
        )  # fmt: skip
        export_all(
            model, [each for each in backends if each != "torch"], train=train, dev=train, columns=columns,
            threads=options.threads, quick=True,
        )  # fmt: skip
        found = commands(model, backends if takes_backends() else [])
        if options.quick:
            found = {name: command for name, command in found.items() if not name.startswith("import ")}
        results = starts(found, threads=options.threads, rounds=options.rounds)
    results["first_step"] = first_steps(
        train, options.encoder, columns=columns, threads=options.threads, rounds=1 if options.quick else 3
    )
    rows = sum(1 for _ in train.open("rb"))
    name = options.model.name if options.model else Path(options.encoder).name
    key = options.name or f"{name}, {train.stem}"
    measure.write(options, key, results, config={"train": train.name, "lines": rows, "encoder": name, "text": TEXT})
    print(show(results))
    print(f"\nTraining starts from {train.name}, {rows:,} lines.")


def takes_backends() -> bool:
    """Whether `bertsmith predict` takes --backend."""
    import inspect

    import bertsmith

    return "backend" in inspect.signature(bertsmith.load).parameters


if __name__ == "__main__":
    main()
