"""Runs all benchmarks of speed, one after another, and writes docs/performance.md.

    python benchmarks/all.py --quick                   # some three minutes, packaged samples: to see that all works
    python benchmarks/all.py                           # everything, with the data sets of BERTSMITH_DATA; hours
    python benchmarks/all.py --only train,infer        # some of them

Run it on a machine that does nothing else. A script that fails is said at the end, and does not stop the others.
The quick form writes its results and its page into runs/, as they say nothing of speed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The peers' ceiling first. Each is a claim of its own: see benchmarks/README.md.
RUNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "ceiling": ((), ("--shape", "768,12,12,3072")),
    "train": (
        (),
        ("--encoder", "base", "--steps", "8", "--peers", "tuned"),
        ("--task", "answer", "--peers", "tuned"),
    ),
    "infer": ((),),
    "coldstart": ((),),
    "memory": ((), ("--parts", "epochs", "--encoder", "base", "--epochs", "3", "--epoch-rows", "320"),
               ("--parts", "large")),
    "scaling": ((),),
}  # fmt: skip


def commands(names: list[str], *, quick: bool, more: list[str]) -> list[list[str]]:
    """What is run."""
    if quick:
        return [[sys.executable, str(HERE / f"{name}.py"), "--quick", *more] for name in names]
    return [[sys.executable, str(HERE / f"{name}.py"), *flags, *more] for name in names for flags in RUNS[name]]


def main() -> int:
    """The command line; the number of scripts that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the packaged samples and few rounds")
    parser.add_argument("--only", default=",".join(RUNS), help=f"of {','.join(RUNS)}")
    parser.add_argument("--threads", type=int, help="processor threads of every way (OMP_NUM_THREADS, or all cores)")
    options = parser.parse_args()
    names = options.only.split(",")
    for name in names:
        if name not in RUNS:
            parser.error(f"--only: {name!r} is not one of {', '.join(RUNS)}")
    more = [] if options.threads is None else ["--threads", str(options.threads)]
    failed, began = [], time.monotonic()
    todo = commands(names, quick=options.quick, more=more)
    for number, words in enumerate(todo, start=1):
        shown = " ".join(["python", f"benchmarks/{Path(words[1]).name}", *words[2:]])
        print(f"\n## {shown}   ({number} of {len(todo)}, {time.monotonic() - began:.0f} s so far)\n", flush=True)
        if subprocess.run(words, env=dict(os.environ), check=False).returncode:
            failed.append(shown)
    folder = HERE.parent / "runs"
    flags = ["--results", str(folder / "bench-quick"), "--to", str(folder / "performance")] if options.quick else []
    print(flush=True)
    if subprocess.run([sys.executable, str(HERE / "performance.py"), *flags], check=False).returncode:
        failed.append("python benchmarks/performance.py")
    print(f"{time.monotonic() - began:.0f} s; failed: {', '.join(failed) or 'none'}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
