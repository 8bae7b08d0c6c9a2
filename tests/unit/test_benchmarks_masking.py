"""benchmarks/masking.py and adapting.py: that the first runs, and the arithmetic of the second."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bertsmith.families import families
from tiny import Case

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="a source distribution has no benchmarks")


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look there for their names
    spec.loader.exec_module(module)
    return module


def test_masking_prints_its_table(tiny_checkpoint: Callable[[Case], Path]) -> None:
    folder = tiny_checkpoint(Case(families()["bert"]))
    flags = ["--encoder", str(folder), "--length", "16", "--batch", "4", "--rounds", "2", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "masking.py"), *flags], capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows == ["step", "---", "classes", "tags", "masked", "head"]
    assert "masked beside tags plus the head's arithmetic: " in done.stdout


def test_wikitext_as_people_write_it() -> None:
    plain = script("adapting").plain
    line = " The <unk> weigh 0 @.@ 7 – 2 @.@ 2 kg ( 1 @,@ 500 lb ) , a well @-@ known fact . "
    assert plain(line) == "The [UNK] weigh 0.7 – 2.2 kg (1,500 lb), a well-known fact."


def test_articles_begin_at_titles(tmp_path: Path) -> None:
    general = script("adapting").general
    folder = tmp_path / "wikitext2"
    folder.mkdir()
    (folder / "wiki.valid.tokens").write_text(
        " \n = One = \n \n A text . \n \n = = Part = = \n \n More . \n \n = Two = \n \n Another . \n", encoding="utf-8"
    )
    (folder / "wiki.test.tokens").write_text(" = Three = \n \n The last . \n", encoding="utf-8")
    assert list(general(tmp_path)) == ["A text.\nMore.", "Another.", "The last."]
