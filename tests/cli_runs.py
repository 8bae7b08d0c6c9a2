"""The command line as its tests call it: in this process, on tiny models that are trained once."""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from bertsmith.cli import run
from small_runs import labelled, texts, tiny_bert


def short(*, steps: int = 4) -> list[str]:
    """The flags of a run of few steps, a few milliseconds each."""
    flags = f"--batch-size 8 --max-steps {steps} --learning-rate 1e-2 --device cpu --threads 1"
    return ["--encoder", str(tiny_bert()), *flags.split()]


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The JSON objects on stdout; fails if it holds anything else."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def record(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        (record,) = self.records
        return record


def bertsmith(*arguments: str | Path, stdin: str | bytes = b"") -> Outcome:
    """Run a command line in this process."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(given))),
    ):
        code = run([str(argument) for argument in arguments])
    return Outcome(code, out.getvalue(), err.getvalue())


def succeed(*arguments: str | Path, stdin: str | bytes = b"") -> Outcome:
    """The same for a command that must end well."""
    outcome = bertsmith(*arguments, stdin=stdin)
    assert outcome.code == 0, outcome.err
    return outcome


def pairs(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of two texts, with whether they feel alike as label and how different they feel as score."""
    rows = []
    for (text, feeling), (text_b, feeling_b) in zip(
        texts(count, seed=seed), texts(count, seed=seed + 1000), strict=True
    ):
        label = "same" if feeling * feeling_b > 0 else "other"
        rows.append({"text": text, "text_b": text_b, "label": label, "score": abs(feeling - feeling_b) / 2})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@cache
def trained(kind: str) -> Path:
    """The bundle of a short run, made once: ``single``, ``pair``, ``several`` (multi-label) or ``number``.

    Do not write to it.
    """
    folder = Path(tempfile.mkdtemp(prefix="cli-runs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    rows: list[dict[str, Any]] = pairs(40)
    flags: tuple[str, ...] = ("--label", "label")
    if kind == "single":
        rows = [{"text": text, "label": label} for text, label in labelled(40)]
    elif kind == "several":
        rows = [
            {"text": text, "label": [label] + ["long"] * (len(text) > 40)} for text, label in labelled(40, longest=20)
        ]
        flags += ("--multi-label",)
    elif kind == "number":
        flags = ("--label", "score")
    else:
        assert kind == "pair", kind
    task = "regress" if kind == "number" else "classify"
    succeed(
        "train",
        task,
        "--train",
        write_jsonl(folder / "train.jsonl", rows),
        *flags,
        *short(),
        "--dev-fraction",
        "0",
        "--out",
        folder / kind,
    )
    return folder / kind
