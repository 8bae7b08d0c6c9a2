"""What the documentation shows runs: the README's commands and Python, in order, on the packaged samples.

A tiny random encoder takes the place of `minilm`, so that this takes seconds; the commands are otherwise as printed.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bertsmith.cli import COMMANDS, run
from bertsmith.families import families
from cli_runs import trained
from tiny import Case

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M)


@pytest.fixture
def beginner(
    tmp_path: Path, tiny_checkpoint: Callable[[Case], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """A folder as the README assumes it; gives the README's text with the tiny encoder in minilm's place."""
    samples = Path(str(files("bertsmith"))) / "data" / "samples"
    for task, suffix in (("classify", "tsv"), ("tag", "conll"), ("answer", "json")):
        for split in ("train", "dev"):
            shutil.copy(samples / task / f"{split}.{suffix}", tmp_path)
    sentences = (samples / "regress" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:61]
    documents = ("\n".join(line.split("\t")[0] for line in sentences[at : at + 3]) for at in range(0, 60, 3))
    (tmp_path / "abstracts.txt").write_text("\n\n".join(documents), encoding="utf-8")
    (tmp_path / "run.toml").write_text('task = "classify"\ntrain = "train.tsv"\nencoder = "minilm"\nmax_steps = 2\n')
    monkeypatch.chdir(tmp_path)
    encoder = tiny_checkpoint(Case(families()["bert"]))
    toml = tmp_path / "run.toml"
    toml.write_text(toml.read_text().replace("minilm", str(encoder)))
    return lambda text: text.replace('"minilm"', repr(str(encoder))).replace("minilm", str(encoder))


def test_the_commands_of_the_readme_run(beginner: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in _blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    commands = [line for line in lines if "bertsmith " in line]
    assert len(commands) >= 6, "the README shows the main commands"
    for line in commands:
        if "|" in line:  # a pipe wants a shell
            piped = line.replace("bertsmith", f"{shlex.quote(sys.executable)} -m bertsmith")
            done = subprocess.run(piped, shell=True, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            assert '"label"' in done.stdout
        else:
            code = run(shlex.split(beginner(line))[1:])
            assert code == 0, f"{line}\n{capsys.readouterr().err}"
    assert Path("answers.csv").read_text(encoding="utf-8").count("\n") > 100


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # a random encoder may well collapse, and says so
def test_the_python_of_the_readme_runs(beginner: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in _blocks(ROOT / "README.md", "python"):
        exec(compile(beginner(block), "README.md", "exec"), names)
    assert "Score(value=" in capsys.readouterr().out


def test_the_python_for_files_of_any_size_runs(
    beginner: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained("single"), "runs/mine")
    (block,) = _blocks(ROOT / "docs" / "data.md", "python")
    exec(compile(beginner(block), "data.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(Path("dev.tsv").read_text(encoding="utf-8").splitlines()) - 1
    assert lines[0].startswith("dev.tsv:2 {'label': ")


def test_the_targets_of_the_readme_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for block in _blocks(page, "sh"):
            for target in re.findall(r"^make (\w+)", block, flags=re.M):
                assert re.search(rf"^{target}:", makefile, flags=re.M), f"{page.name}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_command_is_in_the_readme_or_its_help() -> None:
    for name in COMMANDS:
        assert (ROOT / "src" / "bertsmith" / "cli" / f"{name}.py").is_file()


def test_the_page_of_settings_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "settings_page.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout == (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), (
        "run: .venv/bin/python tools/settings_page.py > docs/settings.md"
    )
