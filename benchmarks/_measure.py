"""What the speed benchmarks share: ways that are measured in turn, medians with their spread, and the record of a run.

A way is a thing to measure: bertsmith, or a peer that does the same. Each has a process of its own, so that no thread
pool, allocator or garbage collector disturbs another's, and its memory can be told from theirs. They start together
and then work one at a time, A B A B …, a turn of some steps each; who waits for its turn does nothing. The clock is
read in the way's own process, so that starting it and talking to it are not counted.

    def tuned(config, turns):            # in the way's process
        ...                              # read, load: not timed
        turns.ready(tokens=…)            # waits here for the first turn
        while True:
            ...                          # one step
            turns.step(tokens=…)         # at a turn's end it reports and waits for the next one

    ways = start(__file__, {"ours": config, "tuned": config})
    rounds = in_turn(ways, rounds=5, steps=20, warmup=10)
    ratio = Spread.of(ratios(rates(rounds["ours"], "tokens"), rates(rounds["tuned"], "tokens")))
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HERE = Path(__file__).resolve().parent
WAY = "--way"  # the hidden option by which a script is started as one of its ways
# What the machine was asked for before bertsmith, imported by a script, asks for anything itself.
ASKED = dict(os.environ)
PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "openvino", "nncf", "onnxruntime")


class NoMoreTurnsError(Exception):
    """There are no more turns; raised out of a way's own loop, to end it."""


class TurnError(RuntimeError):
    """A way's process failed."""


# ------------------------------------------------------------------------------------------- in the way's own process


class Turns:
    """A way's side: it says when it is ready and what a step did, and is held back until its next turn.

    receive: the next turn that is asked for, ``{"steps": 20, "what": "", "count": false}``, or None when there is none.
    send: takes a JSON object. what: for ways that can do several things, which of them this turn is for.
    """

    def __init__(self, receive: Callable[[], dict[str, Any] | None], send: Callable[[dict[str, Any]], None]) -> None:
        self._receive, self._send = receive, send
        self._left, self._units, self._began, self._cpu = 0, Counter[str](), 0.0, 0.0
        self._counted: Any = None
        self.what = ""

    def ready(self, **facts: Any) -> None:
        """All is read and loaded. facts: what the two sides must agree in, or what is to be recorded."""
        self._send({"ready": facts, "rss": resident()})
        self._wait()

    def step(self, **units: float) -> None:
        """A step is done. units: what it did (tokens, rows, loss …), summed up over the turn."""
        self._units.update(units)
        self._left -= 1
        if self._left > 0:
            return
        seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu
        flops = None
        if self._counted is not None:
            self._counted.__exit__(None, None, None)
            flops = dict(self._counted.flops)
        self._send(
            {
                "seconds": seconds,
                "cpu_seconds": cpu,
                "units": dict(self._units),
                "rss": resident(),
                "peak_rss": peak(),
                "flops": flops,
            }
        )
        self._wait()

    def _wait(self) -> None:
        asked = self._receive()
        if asked is None:
            raise NoMoreTurnsError
        self._left, self._units, self._counted = asked["steps"], Counter(), None
        self.what = asked.get("what", "")
        if asked.get("count"):
            self._counted = flop_counter()
            self._counted.__enter__()
        self._began, self._cpu = time.perf_counter(), time.process_time()


def serve(ways: Mapping[str, Callable[[Mapping[str, Any], Turns], None]]) -> bool:
    """If the script was started as one of its ways, be that way until the end, and say so."""
    if WAY not in sys.argv:
        return False
    name, config = sys.argv[sys.argv.index(WAY) + 1 :][:2]
    talk = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints does not get between

    def send(record: dict[str, Any]) -> None:
        talk.write(json.dumps(record) + "\n")
        talk.flush()

    def receive() -> dict[str, Any] | None:
        line = sys.stdin.readline()
        return json.loads(line) if line.strip() else None

    with suppress(NoMoreTurnsError):
        ways[name.partition(":")[0]](json.loads(config) | {"way": name}, Turns(receive, send))
    return True


def resident(process: int | str = "self") -> int:
    """Bytes that a process holds in memory now; 0 where the system does not tell, or the process has ended."""
    return _status(process, "VmRSS")


def peak() -> int:
    """The most bytes that this process ever held in memory."""
    # not getrusage's, which on Linux begins with what the parent held when it started this process
    most = _status("self", "VmHWM")
    if most == 0:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return most


def _status(process: int | str, name: str) -> int:
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith(f"{name}:")]
    return 1024 * int(found[0]) if found else 0


class Watch:
    """Looks at another process's memory, many times a second, until it ends: `last` and `most`, in bytes."""

    def __init__(self, process: int, *, every_s: float = 0.02) -> None:
        self.last, self.most = 0, 0
        self._process, self._every_s = process, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(self._every_s):
            self.last = resident(self._process) or self.last
            self.most = max(self.most, _status(self._process, "VmHWM"), self.last)


def flop_counter() -> Any:
    """A mode in which torch's matrix products are counted: `flops`, by the type of number that they multiply.

    It sees what is really multiplied, padding and all, forward and backward. Elementwise work is not counted.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    aten = torch.ops.aten

    def attention(query: Any, key: Any) -> int:
        *outer, length, width = query.shape
        count = 4 * length * width * key.shape[-2]
        for size in outer:
            count *= size
        return count

    class Counted(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.flops: Counter[str] = Counter()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            packet = func.overloadpacket
            if packet is aten._scaled_dot_product_flash_attention_for_cpu:
                self._add(args[0], attention(args[0], args[1]))
            elif packet is aten._scaled_dot_product_flash_attention_for_cpu_backward:
                self._add(args[1], 5 * attention(args[1], args[2]) // 2)  # five products for the forward's two
            elif packet in flop_registry:
                first = next(each for each in args if isinstance(each, torch.Tensor))
                self._add(first, flop_registry[packet](*args, **(kwargs or {}), out_val=out))
            return out

        def _add(self, first: Any, count: int) -> None:
            self.flops[str(first.dtype).removeprefix("torch.")] += int(count)

    return Counted()


# ------------------------------------------------------------------------------------------------- who measures them


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn's clock and what it did. seconds: of wall time. rss, peak_rss: bytes after it. flops: if counted."""

    seconds: float
    cpu_seconds: float
    units: Mapping[str, float]
    rss: int
    peak_rss: int
    flops: Mapping[str, int] | None = None

    def rate(self, unit: str) -> float:
        """So many of a unit a second."""
        return self.units[unit] / self.seconds


class Way:
    """A way's process, started, and ready as soon as `facts` is asked for."""

    def __init__(self, script: str | Path, name: str, config: Mapping[str, Any], *, threads: int) -> None:
        self.name = name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, str(script), WAY, name, json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=environment(threads),
        )
        self._facts: dict[str, Any] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What it said when it was ready. Raises TurnError, with what it wrote last, if it failed."""
        if self._facts is None:
            self._facts = self._read()["ready"]
        return self._facts

    def turn(self, steps: int, *, what: str = "", count: bool = False) -> Turn:
        """One turn, of what the way can do. Raises TurnError, with what it wrote last, if it failed."""
        assert self.facts is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"steps": steps, "what": what, "count": count}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # reading says why
        return Turn(**self._read())

    def close(self) -> None:
        """End it, or kill it if it does not end."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._said.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            last = self._said.read().decode(errors="replace").strip().splitlines()[-25:]
            raise TurnError("\n".join([f"{self.name} failed:", *last]))
        record: dict[str, Any] = json.loads(line)
        return record


@contextmanager
def started(
    script: str | Path, ways: Mapping[str, Mapping[str, Any]], *, threads: int, at_once: int = 4
) -> Iterator[dict[str, Way]]:
    """The ways' processes, all ready. A way that lacks a package, or that this version of bertsmith does not have, is
    left out, and its reason is said. at_once: so many are started together."""
    with ExitStack() as stack:
        found: dict[str, Way] = {}
        names = list(ways)
        for begin in range(0, len(names), at_once):
            some = {name: Way(script, name, ways[name], threads=threads) for name in names[begin : begin + at_once]}
            for way in some.values():
                stack.callback(way.close)
            for name, way in some.items():
                if "missing" in way.facts:
                    say(f"{name}: left out: {way.facts['missing']}")
                else:
                    found[name] = way
        yield found


def in_turn(ways: Mapping[str, Way], *, rounds: int, steps: int, warmup: int, what: str = "") -> dict[str, list[Turn]]:
    """Turns of all ways, A B A B …, after one of `warmup` steps each that does not count (0 for none)."""
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    if warmup:
        for way in ways.values():
            way.turn(warmup, what=what)
    for number in range(rounds):
        for name, way in ways.items():
            turns[name].append(way.turn(steps, what=what))
        seconds = ", ".join(f"{name} {of_way[-1].seconds:.2f} s" for name, of_way in turns.items())
        say(f"{what}{': ' if what else ''}round {number + 1} of {rounds}: {seconds}")
    return turns


def environment(threads: int) -> dict[str, str]:
    """What a way's process starts with: so many threads for all that computes or tokenises, and no network; and
    nothing that bertsmith sets for itself."""
    count = str(threads)
    return {
        **ASKED,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "RAYON_NUM_THREADS": count,
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
        "TRANSFORMERS_VERBOSITY": "error",
    }


# --------------------------------------------------------------------------------------------------------- arithmetic


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, the least and the most of them."""

    median: float
    low: float
    high: float
    values: tuple[float, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ValueError without values."""
        if not values:
            raise ValueError("no values")
        return cls(statistics.median(values), min(values), max(values), tuple(values))

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.low)} – {short(self.high)})"

    def record(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "median": rounded(self.median), "low": rounded(self.low), "high": rounded(self.high),
            "values": [rounded(value) for value in self.values],
        }  # fmt: skip

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Spread:
        """What `record` wrote."""
        return cls(record["median"], record["low"], record["high"], tuple(record["values"]))


def rates(turns: Sequence[Turn], unit: str) -> list[float]:
    """Of each turn, so many of a unit a second."""
    return [turn.rate(unit) for turn in turns]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Of each round, ours over theirs."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def rounded(value: float) -> float:
    """To five digits, which is more than a clock here is worth."""
    return float(f"{value:.5g}")


def short(value: float) -> str:
    """Three digits at least: 12,345; 123; 12.3; 1.23."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


# --------------------------------------------------------------------------------------------------------- the record


def machine(threads: int) -> dict[str, Any]:
    """What it ran on: processor, memory, threads, and how busy it was before."""
    cpu, flags, memory = platform.machine(), [], 0
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                cpu = value.strip()
            if name.strip() == "flags":
                known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
                flags = [flag for flag in known if flag in value.split()]
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        pass
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "cpu": cpu, "cores": cores(), "flags": flags, "memory_gb": round(memory / 1e9, 1), "threads": threads,
        "system": f"{platform.system()} {platform.release()}", "load_before": round(load, 2),
    }  # fmt: skip


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Of all that takes part; a package that is not installed is left out."""
    found = {"Python": platform.python_version()}
    for name in ("bertsmith", *PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def command() -> str:
    """The command that was given, without where this machine keeps things."""
    data = os.environ.get("BERTSMITH_DATA")
    words = []
    for word in sys.argv[1:]:
        flag, equals, path = word.rpartition("=") if word.startswith("--") else ("", "", word)
        if Path(path).is_absolute():
            inside = data is not None and Path(path).is_relative_to(data)
            path = f"$BERTSMITH_DATA/{Path(path).relative_to(data)}" if inside and data else Path(path).name
        words.append(f"{flag}{equals}{path}")
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *(shown(word) for word in words)])


def shown(word: str) -> str:
    return word if word.startswith("$BERTSMITH_DATA") and " " not in word else shlex.quote(word)


def write(options: argparse.Namespace, key: str, results: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Put a record into the script's results under a key, in place of an older one; the others stay.

    The file is options.out; next to the results it holds the command, the machine, the versions and the date.
    """
    record = {
        "command": command(), "date": time.strftime("%Y-%m-%d"), "quick": options.quick,
        "machine": options.machine, "versions": versions(), **more, "results": results,
    }  # fmt: skip
    path: Path = options.out
    path.parent.mkdir(parents=True, exist_ok=True)
    records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    records[key] = record
    new = path.with_suffix(".new")
    new.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)
    say(f"{key}: written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return record


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with what all scripts take."""
    summary, _, more = (doc or "").partition("\n\n")
    made = argparse.ArgumentParser(
        description=summary, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--threads", type=int, help="processor threads of every way (OMP_NUM_THREADS, or all cores)")
    made.add_argument("--quick", action="store_true", help="the packaged samples and few rounds: seconds, no results")
    made.add_argument("--out", type=Path, help="the results (a JSON file beside the script; of --quick, in runs/)")
    made.add_argument("--name", help="the name of this run in the results and in docs/performance.md")
    return made


def settled(made: argparse.ArgumentParser, script: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options, with what follows from them."""
    options = made.parse_args(argv)
    name = Path(script).stem
    options.threads = options.threads or int(os.environ.get("OMP_NUM_THREADS") or cores())
    options.out = options.out or (
        HERE.parent / f"runs/bench-quick/{name}.json" if options.quick else HERE / f"{name}.json"
    )
    options.machine = machine(options.threads)
    busy = options.machine["load_before"]
    if busy > 0.25 and not options.quick:
        say(f"warning: this machine is busy (load {busy}); times will tell of that, too")
    return options


def data_folder() -> Path | None:
    """The folder of data sets: BERTSMITH_DATA, or one beside the checkout; None where there is none."""
    folder = Path(os.environ.get("BERTSMITH_DATA", HERE.parent.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


def sample(task: str, part: str, suffix: str) -> Path:
    """A sample that is packaged with bertsmith."""
    from importlib.resources import files

    return Path(str(files("bertsmith") / "data" / "samples" / task / f"{part}.{suffix}"))


def run_watched(
    words: Sequence[str], *, threads: int, each_line: Callable[[bytes, Watch], None]
) -> tuple[float, Watch]:
    """Run a command, hand on each line that it writes, and watch its memory: its seconds, and what it held.

    Raises TurnError, with what it wrote last, if it fails.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=said, env=environment(threads))
        assert process.stdout is not None
        with Watch(process.pid) as watch:
            for line in process.stdout:
                each_line(line, watch)
            process.stdout.close()
            code = process.wait()
        if code:
            said.seek(0)
            raise TurnError(f"{' '.join(words[:4])} … failed:\n{said.read().decode(errors='replace')[-2000:]}")
    return time.perf_counter() - began, watch


def say(text: str) -> None:
    """Progress, which is not the result."""
    print(text, file=sys.stderr, flush=True)


def as_record(value: Any) -> dict[str, Any]:
    """A dataclass as JSON takes it, folders as text."""
    return {name: str(each) if isinstance(each, Path) else each for name, each in asdict(value).items()}
