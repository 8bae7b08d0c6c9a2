"""What holds for the package and the repository as a whole: light imports, one version, a lock that fits."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bertsmith

ROOT = Path(__file__).resolve().parents[2]

# What takes long to import. A help page needs none of it, and who imports bertsmith may not either.
HEAVY = {
    "huggingface_hub",
    "numpy",
    "pyarrow",
    "pydantic",
    "scipy",
    "sklearn",
    "tokenizers",
    "torch",
    "transformers",
}

IMPORT = "import bertsmith"
HELP = "import sys; sys.argv = ['bertsmith', '--help']; from bertsmith.cli import main; main()"
# Before what a process is to do, as the command line ends it.
WRITE_MODULES_AT_EXIT = """
import atexit, json, os, sys

@atexit.register
def write():
    with open(os.environ["SEEN"], "w") as file:
        json.dump(list(sys.modules), file)

"""


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("code", [IMPORT, HELP], ids=["import", "help"])
def test_imports_nothing_heavy(code: str, tmp_path: Path) -> None:
    seen = tmp_path / "modules.json"
    environment = {**os.environ, "SEEN": str(seen)}
    command = [sys.executable, "-c", WRITE_MODULES_AT_EXIT + code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert HEAVY.intersection(json.loads(seen.read_text())) == set()


def test_one_version(pyproject: dict[str, Any]) -> None:
    assert importlib.metadata.version("bertsmith") == bertsmith.__version__
    source = ROOT / pyproject["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{bertsmith.__version__}"' in source.read_text(encoding="utf-8")


def test_is_marked_as_typed() -> None:
    assert (ROOT / "src" / "bertsmith" / "py.typed").is_file()


def test_lock_fits_pyproject(pyproject: dict[str, Any]) -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            locked[canonicalize_name(requirement.name)] = pin.version

    project = pyproject["project"]
    wanted = [*project["dependencies"], *pyproject["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    for requirement in map(Requirement, wanted):
        if requirement.name != "bertsmith":
            version = locked.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement} is not in requirements.lock"
            assert requirement.specifier.contains(version), f"{requirement}, locked at {version}"

    assert [name for name in locked if name.startswith(("nvidia", "cuda", "triton"))] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout, so nothing is tracked")
def test_nothing_tells_where_it_was_written() -> None:
    # Absolute paths of a machine, and folders beside the checkout, mean nothing to who reads the repository.
    told = re.compile(rb"(?<![\w./-])/(work|root)\b|\bshared/(lab|data)\b|/home/\w")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    tracked = [ROOT / name for name in listed.decode().split("\0") if name]
    texts = {path: path.read_bytes() for path in tracked if path.is_file()}
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.decode(errors='replace').strip()}"
        for path, text in texts.items()
        if b"\0" not in text and path != Path(__file__)
        for number, line in enumerate(text.splitlines(), start=1)
        if told.search(line)
    ]
    assert found == []


def test_ci_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
