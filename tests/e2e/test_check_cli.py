"""`bertsmith check` as people and scripts use it: exit codes, what is shown where, broken files."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from bertsmith import tasks
from bertsmith.cli import show
from cli_runs import bertsmith, short, succeed
from small_runs import labelled, tiny_bert, write_tsv

ENCODER = ["--encoder", str(tiny_bert())]
ROWS = [(f"{number} {text}", label) for number, (text, label) in enumerate(labelled(60))]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    write_tsv(Path("train.tsv"), ROWS[:50])
    write_tsv(Path("dev.tsv"), ROWS[50:])


def lines_of(text: str, check: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(rf"  (good|warn|fail) {check} ", line)]


def test_sound_files() -> None:
    outcome = succeed("check", "classify", "train.tsv", "dev.tsv", *ENCODER)
    assert outcome.err == ""
    assert "\x1b" not in outcome.out
    first, *_, last = outcome.out.splitlines()
    assert first.startswith("train.tsv  50 rows; header on line 1, tab-separated, no quoting; text = 'text' (guessed)")
    assert re.fullmatch(r"\d+ good, \d+ warnings?, 0 failures", last)
    assert "across files" in outcome.out
    assert len(lines_of(outcome.out, "rows")) == 2
    assert len(lines_of(outcome.out, "lengths")) == 2


def test_a_row_of_train_in_dev_is_a_warning_and_strict_makes_it_a_failure() -> None:
    write_tsv(Path("dev.tsv"), [*ROWS[50:], *ROWS[50:54], ROWS[3]])
    asked = ["check", "classify", "train.tsv", "dev.tsv", *ENCODER]
    outcome = succeed(*asked)
    leak = "dev.tsv: 1 row of 15 (6.7 %) also in train.tsv: dev.tsv:16 = train.tsv:5"
    assert lines_of(outcome.out, "leakage") == [f"  warn {'leakage':<{_width(outcome.out)}}  {leak}"]
    assert "line 12 = line 2" in lines_of(outcome.out, "duplicates")[1]
    assert bertsmith(*asked, "--strict").code == 2
    quiet = succeed(*asked, "--quiet").out
    assert "  good " not in quiet
    assert lines_of(quiet, "leakage")


def _width(out: str) -> int:
    return max(len(match[1]) for match in re.finditer(r"^  (?:good|warn|fail) (\S+) ", out, re.MULTILINE))


def test_json_is_one_object_on_stdout() -> None:
    write_tsv(Path("dev.tsv"), [*ROWS[50:], ("a fine film", "poss")])
    outcome = bertsmith("check", "classify", "train.tsv", "dev.tsv", *ENCODER, "--json")
    assert outcome.code == 2
    record = outcome.record
    assert record.keys() == {"task", "files", "across", "good", "warn", "fail"}
    assert [(file["file"], file["rows"]) for file in record["files"]] == [("train.tsv", 50), ("dev.tsv", 11)]
    (finding,) = [finding for finding in record["across"] if finding["level"] == "fail"]
    assert finding["check"] == "new-classes"
    assert finding["places"] == ["dev.tsv:12 'poss'; did you mean 'pos'?"]
    assert record["fail"] == 1


def test_a_label_only_in_dev_is_said_with_its_place() -> None:
    write_tsv(Path("dev.tsv"), [*ROWS[50:], ("a fine film", "poss")])
    outcome = bertsmith("check", "classify", "train.tsv", "dev.tsv", *ENCODER)
    assert outcome.code == 2
    (line,) = lines_of(outcome.out, "new-classes")
    assert "dev.tsv:12 'poss'; did you mean 'pos'?" in line
    assert outcome.out.splitlines()[-1].endswith("1 failure")
    # training would have stopped there, too
    assert (
        "dev.tsv:12: label 'poss'"
        in bertsmith("train", "classify", "--train", "train.tsv", "--dev", "dev.tsv", *short(), "--out", "run").err
    )


def test_broken_files() -> None:
    Path("wide.tsv").write_text("text\tlabel\na\tpos\nb\tneg\tc\n", encoding="utf-8")
    Path("latin.tsv").write_bytes(b"text\tlabel\ncaf\xe9\tpos\n")
    outcome = bertsmith("check", "classify", "train.tsv", "wide.tsv", "latin.tsv", "missing.tsv", *ENCODER)
    assert (outcome.code, outcome.err) == (2, "")
    assert "      wide.tsv:3: 3 fields, expected 2 as on line 1" in outcome.out
    assert "      latin.tsv:2: byte 0xe9 at offset 3 of the line is not UTF-8" in outcome.out
    assert "      missing.tsv: no such file" in outcome.out
    assert len(lines_of(outcome.out, "structure")) == 3
    assert "3 failures" in outcome.out


def test_all_refused_rows_are_counted() -> None:
    write_tsv(Path("numbers.tsv"), [(f"text {n}", n / 3 if n % 2 else f"about {n}") for n in range(40)])
    outcome = bertsmith("check", "regress", "numbers.tsv", *ENCODER)
    assert outcome.code == 2
    assert "20 rows of 40 cannot be used" in outcome.out
    assert outcome.out.count("is not a finite number") == 5
    assert "numbers.tsv:2: label 'about 0' is not a finite number" in outcome.out


def test_columns_formats_options_and_lengths() -> None:
    Path("train.txt").write_text("".join(f"{label};{text}\n" for text, label in ROWS), encoding="utf-8")
    reading = ["--format", "csv", "--delimiter", ";", "--no-header", "--text", "2", "--label", "1"]
    record = succeed("check", "classify", "train.txt", *reading, *ENCODER, "--max-length", "6", "--json").record
    (file,) = record["files"]
    assert file["rows"] == 60
    (lengths,) = [finding for finding in file["findings"] if finding["check"] == "lengths"]
    assert (lengths["level"], lengths["numbers"]["limit"]) == ("warn", 6)
    several = ["--multi-label", "--separator", "o"]
    record = succeed("check", "classify", "train.txt", *reading, *several, *ENCODER, "--json").record
    (classes,) = [finding for finding in record["files"][0]["findings"] if finding["check"] == "classes"]
    assert classes["numbers"].keys() == {"p", "s", "neg"}


def test_standard_input() -> None:
    text = Path("train.tsv").read_text(encoding="utf-8")
    outcome = succeed("check", "classify", "-", "--format", "tsv", *ENCODER, stdin=text)
    assert outcome.out.startswith("<stdin>  50 rows")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clasify", "train.tsv"], "unknown task 'clasify'; the tasks are"),
        (["clasify", "train.tsv"], "did you mean 'classify'?"),
        (["classify"], "which files? as in: bertsmith check classify train.tsv dev.tsv"),
        ([], "TASK is missing"),
        (["classify", "train.tsv", "--lable", "2"], "unknown flag '--lable'; did you mean '--label'?"),
        (["classify", "train.tsv", "--max-length", "4096"], "max_length must be at most 48"),
        (["classify", "train.tsv", "--encoder", "./nowhere"], "nowhere: no such folder"),
    ],
)
def test_mistakes(arguments: list[str], message: str) -> None:
    given = arguments if "--encoder" in arguments else [*arguments, *ENCODER]
    outcome = bertsmith("check", *given)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_help_tells_the_exit_codes_and_the_tasks_flags() -> None:
    out = succeed("check", "classify", "--help").out
    assert "--multi-label" in out
    assert "else 2" in out
    assert ", ".join(tasks.names()) in " ".join(out.split())
    assert ", ".join(tasks.names()) in " ".join(succeed("train", "--help").out.split())
    assert "--multi-label" not in succeed("check", "regress", "--help").out


@pytest.mark.parametrize("no_color", [False, True])
def test_signs_and_colours_on_a_terminal(no_color: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what a terminal would be
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    write_tsv(Path("dev.tsv"), [*ROWS[50:], *ROWS, ("fine [bold]film[/]", "po[s]")])
    outcome = bertsmith("check", "classify", "train.tsv", "dev.tsv", *ENCODER)
    assert outcome.code == 2
    assert all(sign in outcome.out for sign in "✓!✗")
    assert ("\x1b[32m" in outcome.out) is not no_color
    assert "po[s]" in outcome.out  # no markup


class Terminal(io.StringIO):
    """What is shown on a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    asked = ["check", "classify", "train.tsv", "dev.tsv", *ENCODER]
    shown = Terminal()
    monkeypatch.setattr(show, "stderr", lambda: Console(file=shown))
    outcome = succeed(*asked)
    assert "comparing dev.tsv with train.tsv" in shown.getvalue()
    assert outcome.out.startswith("train.tsv  50 rows")
    for flag in ("--quiet", "--json"):
        shown.truncate(0)
        succeed(*asked, flag)
        assert shown.getvalue() == ""


def test_no_progress_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert succeed("check", "classify", "train.tsv", *ENCODER).err == ""


def test_training_says_what_may_spoil_it() -> None:
    write_tsv(Path("dev.tsv"), [*ROWS[50:], ROWS[3], ("It\x92s bad", "neg")])
    outcome = succeed("train", "classify", "--train", "train.tsv", "--dev", "dev.tsv", *short(), "--out", "run")
    warnings = [line for line in outcome.err.splitlines() if line.startswith("warning: dev.tsv: ")]
    assert warnings == [
        "warning: dev.tsv: 1 row (8.3 %) with control characters, the first of them dev.tsv:13",
        "warning: dev.tsv: 1 row of 12 (8.3 %) also in train.tsv, the first of them dev.tsv:12 = train.tsv:5",
    ]
