"""The command line as people and scripts use it: every command, every format, progress, stopping, resuming."""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertsmith import __version__, tasks
from bertsmith.cli import COMMANDS, run
from bertsmith.cli.demo import SAMPLES
from bertsmith.files import replacing
from cli_runs import bertsmith, pairs, short, succeed, trained, write_jsonl
from small_runs import PIECES, labelled, write_tsv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PYTHON = [sys.executable, "-m", "bertsmith"]
SINGLE = [{"text": text, "label": label} for text, label in labelled(40)]
WHOLE = {"config.json", "model.safetensors", "tokenizer.json", "bertsmith.json", "run.toml", "metrics.jsonl"}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def train_tsv(tmp_path: Path) -> Path:
    return write_tsv(tmp_path / "train.tsv", labelled(40))


def weights_of(folder: str | Path) -> str:
    """Equal for equal bits."""
    return hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()


def environment(**more: str) -> dict[str, str]:
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**usual, "OMP_NUM_THREADS": "1", **more}


# Help, versions, unknown names


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(arguments: list[str]) -> None:
    outcome = succeed(*arguments)
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", outcome.out, re.MULTILINE)
    assert "Exit codes:" in outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str) -> None:
    outcome = succeed(command, "--help")
    assert f"bertsmith {command}" in outcome.out
    assert outcome.err == ""
    assert "\x1b" not in outcome.out


def test_help_of_a_task_has_its_own_flags() -> None:
    classify = succeed("train", "classify", "--help").out
    for flag in ("--multi-label", "--text-b", "--learning-rate", "--preset", "--config", "--resume"):
        assert flag in classify
    assert "--multi-label" not in succeed("train", "regress", "--help").out
    assert "[default: 32]" in classify


@pytest.mark.parametrize("task", tasks.names())
def test_help_of_a_task_says_what_it_does_and_how(task: str) -> None:
    kind = tasks.task_class(task)
    out = " ".join(succeed("train", task, "--help").out.split())
    head, _, _ = out.partition("Arguments")
    assert f"Train the task {task}: {kind.summary}." in head
    assert kind.example in head
    assert all(each.name in head for each in kind.inputs)
    assert "train TASK" not in head
    assert "train TASK --help" in succeed("train", "--help").out
    assert kind.example in succeed("tasks").out


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_help_tells_which_tasks_have_a_flag(command: str) -> None:
    panels = panels_of(succeed(command, "--help").out)
    for task in tasks.names():
        for name in tasks.task_class(task).options(at_use=True):
            (panel,) = [title for title, text in panels.items() if f"--{name.replace('_', '-')} " in text]
            assert task in re.findall(r"\w+", panel)
    assert "--scheme" in panels["Options of tag models"]
    assert ("--tags" in panels["Options of tag models"]) == (command == "evaluate")
    # of a model that is named, its task's own alone
    panels = panels_of(succeed(command, trained("single"), "--help").out)
    assert [title for title in panels if title.startswith("Options")] == ["Options of classify models"]
    assert all(flag in panels["Options of classify models"] for flag in ("--text ", "--long-texts ", "--overlap "))


def panels_of(shown: str) -> dict[str, str]:
    """The text of each panel of a help, by its title."""
    parts = re.split(r"^╭─ (.*?) ─*╮$", shown, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "MODEL", "good", "--scheme", "iob1"], "--scheme is an option of tag models, and here the task is"),
        (["predict", "MODEL", "good", "--scheme=iob1"], "--scheme is an option of tag models, and here the task is"),
        (["predict", "MODEL", "rows.csv", "--passage", "x"], "--passage is an option of answer models, and here"),
        (["evaluate", "MODEL", "rows.csv", "--n-best", "3"], "--n-best is an option of answer models, and here"),
        (["evaluate", "MODEL", "rows.csv", "--tags", "x"], "--tags is an option of tag models, and here the task is"),
        (["train", "classify", "--scheme", "iob1"], "--scheme is an option of tag models, and here the task is"),
        (["check", "classify", "rows.csv", "--spans", "x"], "--spans is an option of tag models, and here the task"),
    ],
)
def test_a_flag_of_another_task_is_refused(arguments: list[str], message: str) -> None:
    failed = bertsmith(*(str(trained("single")) if each == "MODEL" else each for each in arguments))
    assert failed.code == 2
    assert failed.err.startswith(f"error: {message}")
    assert "classify" in failed.err


@pytest.mark.parametrize("written", [None, "", "[]", "{", '{"task": "unheard of"}', '{"task": 3}', "\udcff"])
def test_help_beside_a_folder_that_is_no_model(written: str | None) -> None:
    if written is not None:
        Path("model").mkdir()
        Path("model/bertsmith.json").write_text(written, encoding="utf-8", errors="surrogateescape")
    assert succeed("predict", "model", "--help").out == succeed("predict", "--help").out
    assert bertsmith("predict", "model", "good", "--scheme", "iob1").err.startswith("error: model")


def test_paragraphs_of_help_have_no_line_ends_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    for command in COMMANDS:
        about, _, _ = succeed(command, "--help").out.partition("╭")
        assert not re.search(r"\S *\n *[^\s-]", about), about


def test_help_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in ([], *([command] for command in COMMANDS), *(["train", task] for task in tasks.names())):
        out = succeed(*arguments, "--help").out
        assert max(len(line.rstrip()) for line in out.splitlines()) <= 80


def test_version() -> None:
    assert succeed("--version").out == f"{__version__}\n"


def test_a_mistake_is_one_line_on_stderr() -> None:
    done = subprocess.run([*PYTHON, "trian"], capture_output=True, text=True, check=False, env=environment())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: unknown command 'trian'; the commands are {', '.join(COMMANDS)}; did you mean 'train'?"
    ]


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(Exception, match="unknown task 'clasify'"):
        bertsmith("train", "clasify", "--debug")


# Training


def as_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def as_gzipped_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    as_csv(path.with_suffix(""), rows)
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))


def as_headerless_tsv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join("\t".join(map(str, row.values())) + "\n" for row in rows), encoding="utf-8")


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


SEVERAL = [
    {"text": row["text"], "labels": [row["label"]] * (n % 3 > 0) + ["even"] * (n % 2)} for n, row in enumerate(SINGLE)
]
JOINED = [{"text": row["text"], "labels": "|".join(row["labels"])} for row in SEVERAL]
STARS = [{"text": row["text"], "stars": len(row["text"]) / 10} for row in SINGLE]


@pytest.mark.parametrize(
    ("task", "name", "write", "rows", "flags"),
    [
        ("classify", "train.csv", as_csv, SINGLE, ""),
        ("classify", "train.csv.gz", as_gzipped_csv, SINGLE, ""),
        ("classify", "train.tsv", as_headerless_tsv, SINGLE, "--text 1 --label 2"),
        ("classify", "train.jsonl", write_jsonl, SINGLE, ""),
        ("classify", "train.parquet", as_parquet, SINGLE, ""),
        ("classify", "pairs.csv", as_csv, pairs(30), ""),
        ("classify", "pairs.tsv", as_headerless_tsv, pairs(30), "--text 1 --text-b 2 --label 3"),
        ("classify", "several.jsonl", write_jsonl, SEVERAL, "--multi-label"),
        ("classify", "several.csv", as_csv, JOINED, "--multi-label --tune-thresholds"),
        ("regress", "stars.csv", as_csv, STARS, "--label stars"),
        ("regress", "pairs.parquet", as_parquet, pairs(30), "--label score"),
    ],
)  # fmt: skip
def test_train_from_any_format(
    task: str, name: str, write: Callable[[Path, list[dict[str, Any]]], Any], rows: list[dict[str, Any]], flags: str
) -> None:
    write(Path(name), rows)
    outcome = succeed("train", task, "--train", name, *flags.split(), *short(), "--out", "runs/new")
    assert "saved runs/new" in outcome.out
    assert outcome.err.startswith(f"{name}: ")
    assert "after step 4" in outcome.err
    assert {path.name for path in Path("runs/new").iterdir()} >= WHOLE
    assert not Path("runs/new.partial").exists()
    inputs = {key: value for key, value in rows[0].items() if key in ("text", "text_b")}
    answers = succeed("predict", "runs/new", *inputs.values()).record
    assert {**answers, **inputs} == answers
    assert ("value" if task == "regress" else "probabilities") in answers


def test_whoever_may_read_the_folder_may_read_the_model() -> None:
    model = trained("single")
    assert (model / "model.safetensors").stat().st_mode == (model / "config.json").stat().st_mode


def test_settings_from_a_file(train_tsv: Path) -> None:
    Path("run.toml").write_text(
        'task = "classify"\ntrain = "train.tsv"\nbatch_size = 8\nlearning-rate = 1e-2\nmax_steps = 4\n'
        f"encoder = {json.dumps(short()[1])}\ndevice = 'cpu'\nthreads = 1\nout = 'from-file'\nlabel-smoothing = 0.1\n",
        encoding="utf-8",
    )
    assert succeed("train", "--config", "run.toml", "--json").record["out"] == "from-file"
    # a flag goes before the file, a task's own flag too, and --config=FILE is --config FILE
    record = succeed(
        "train", "--config=run.toml", "--out", "from-flag", "--max-steps", "2", "--label-smoothing", "0.2", "--json"
    ).record
    assert (record["out"], record["steps"]) == ("from-flag", 2)
    settings = Path("from-flag/run.toml").read_text(encoding="utf-8").splitlines()
    assert {"label_smoothing = 0.2", "max_steps = 2", "batch_size = 8"} <= set(settings)


def test_a_run_can_be_run_again_from_its_own_settings(train_tsv: Path) -> None:
    succeed("train", "classify", "--train", train_tsv, *short(), "--out", "first", "--quiet")
    succeed("train", "--config", "first/run.toml", "--out", "second", "--quiet")
    assert weights_of("first") == weights_of("second")
    # and in its own place
    succeed("train", "--config", "first/run.toml", "--overwrite", "--quiet")
    assert weights_of("first") == weights_of("second")


def test_a_preset_gives_way_to_a_flag(train_tsv: Path) -> None:
    given = ["train", "classify", "--train", str(train_tsv), *short(), "--preset", "features", "--json"]
    assert succeed(*given, "--out", "a").record["steps"] == 4
    written = Path("a/run.toml").read_text(encoding="utf-8")
    assert 'freeze = "encoder"' in written
    assert "epochs = 10.0" in written
    assert "learning_rate = 0.01" in written  # short() gives it


def test_the_task_may_follow_its_flags(train_tsv: Path) -> None:
    record = succeed(
        "train", "--train", train_tsv, "--label-smoothing", "0.1", *short(), "--out", "x", "--json", "classify"
    )
    assert record.record["steps"] == 4


def test_json_is_all_there_is_on_stdout(train_tsv: Path) -> None:
    outcome = succeed("train", "classify", "--train", train_tsv, *short(), "--out", "run", "--json")
    assert outcome.record.keys() >= {"out", "steps", "dev"}
    assert outcome.record["dev"]["rows"] == 4
    _check_scores(outcome.record["dev"])


def test_json_without_dev(train_tsv: Path) -> None:
    outcome = succeed(
        "train", "classify", "--train", train_tsv, *short(), "--dev-fraction", "0", "--out", "run", "--json"
    )
    assert outcome.record["dev"] is None


def test_quiet_keeps_the_result(train_tsv: Path) -> None:
    outcome = succeed("train", "classify", "--train", train_tsv, *short(), "--out", "run", "--quiet")
    assert all(line.startswith("warning: ") for line in outcome.err.splitlines())
    assert "accuracy" in outcome.out
    assert "saved run" in outcome.out


def test_metrics_are_json_lines(train_tsv: Path) -> None:
    succeed("train", "classify", "--train", train_tsv, *short(), "--out", "run", "--quiet")
    events = [json.loads(line) for line in Path("run/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    kinds = [event["event"] for event in events]
    assert [event["step"] for event in events if event["event"] == "stepped"] == [1, 2, 3, 4]
    assert kinds.index("began") < kinds.index("stepped") < kinds.index("ended")
    assert {event["event"] for event in events if "accuracy" in event.get("scores", ())} == {"scored"}


# What is shown where


def test_plain_lines_when_piped(train_tsv: Path) -> None:
    outcome = succeed("train", "classify", "--train", train_tsv, *short(), "--out", "run")
    assert "\x1b" not in outcome.out + outcome.err
    assert "step 4 of 4" in outcome.err
    # labels in names of scores are no markup
    assert "f1[pos] " in outcome.err
    assert "f1[pos] " in outcome.out


@pytest.mark.parametrize("no_color", [False, True])
def test_colours_on_a_terminal_unless_they_are_not_wanted(no_color: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what a terminal would be
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    write_jsonl(Path("one-sided.jsonl"), [{"text": "good", "label": "neg"}, {"text": "good", "label": "pos"}])
    outcome = succeed("evaluate", trained("single"), "one-sided.jsonl")
    assert "warning:" in outcome.err
    assert bool(re.search(r"\x1b\[3\dm", outcome.err)) != no_color


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ("120", r"training ━+ 4/4 loss \d\.\d{4}  [\d,]+ tokens/s .* left "),
        ("60", r"4/4 loss \d\.\d{4}  [\d,]+ tokens/s "),
    ],
)
def test_a_bar_on_a_terminal(train_tsv: Path, columns: str, line: str) -> None:
    pty = pytest.importorskip("pty", reason="there are no terminals to test with here")
    ours, theirs = pty.openpty()
    command = [*PYTHON, "train", "classify", "--train", str(train_tsv), *short(), "--out", "run"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env=environment(TERM="xterm", COLUMNS=columns)
    ) as process:
        os.close(theirs)
        shown = b"".join(_read_terminal(ours)).decode()
        assert process.stdout is not None
        result = process.stdout.read().decode()
    os.close(ours)
    assert process.returncode == 0, shown
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)
    assert re.search(line, plain), plain
    assert "\x1b" not in result, "the result goes into a pipe"
    assert "saved run" in result


def _read_terminal(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(descriptor, 65_536)
        except OSError:  # on Linux, the other side has closed it
            return
        if not part:
            return
        yield part


# Stopping and resuming


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stderr is not None
    yield from process.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_stopped_run_goes_on_to_the_same_bits(number: signal.Signals, train_tsv: Path) -> None:
    steps = 100
    # in a process of its own and in this one
    flags = [
        "classify",
        "--train",
        str(train_tsv),
        *short(steps=steps),
        "--evals-per-epoch",
        "1",
        "--precision",
        "fp32",
    ]
    command = [*PYTHON, "train", *flags, "--out", "stopped"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        seen = []
        for line in _lines(process):
            seen.append(line)
            if line.startswith("training: "):
                process.send_signal(number)
        assert process.stdout is not None
        out, err = process.stdout.read(), "".join(seen)
    assert process.returncode == 4, err
    assert out == ""
    assert re.search(
        r"^error: stopped after step \d+; go on with: bertsmith train --resume stopped$", err, re.MULTILINE
    )
    assert err.count("\nstopping after this step") == 1
    assert err.count("training: ") == 1, "a signal in the midst of a line does not spoil what is shown"
    assert "Traceback" not in err
    assert not Path("stopped").exists()
    assert {path.name for path in Path("stopped.partial").iterdir()} == {
        "metrics.jsonl",
        "run.toml",
        "state.safetensors",
    }
    assert "go on with --resume" in bertsmith("predict", "stopped", "good").err

    if number == signal.SIGTERM:  # the same state
        return
    resumed = succeed("train", "--resume", "stopped", "--json").record
    assert resumed["steps"] == steps
    assert not Path("stopped.partial").exists()
    succeed("train", *flags, "--out", "whole", "--quiet")
    assert weights_of("stopped") == weights_of("whole")
    stepped = [json.loads(line) for line in Path("stopped/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["step"] for event in stepped if event["event"] == "stepped"] == list(range(1, steps + 1))


# Evaluation


def _check_scores(record: dict[str, Any]) -> None:
    assert record.keys() >= {"scores", "baseline", "rows"}
    assert record["scores"].keys() == record["baseline"].keys()
    for score in record["scores"].values():
        assert score.keys() == {"value", "low", "high"}
        assert score["value"] is None or score["low"] <= score["value"] <= score["high"]


@pytest.mark.parametrize(
    ("kind", "rows", "main"),
    [("single", SINGLE, "accuracy"), ("pair", pairs(30), "accuracy"), ("number", pairs(30), "pearson")],
)
def test_evaluate(kind: str, rows: list[dict[str, Any]], main: str) -> None:
    write_jsonl(Path("test.jsonl"), rows)
    asked = ["evaluate", str(trained(kind)), "test.jsonl", "--resamples", "200"]
    outcome = succeed(*asked, "--json", "--predictions", "answers.jsonl")
    record = outcome.record
    _check_scores(record)
    assert record["rows"] == len(rows)
    assert main in record["scores"]

    answers = [json.loads(line) for line in Path("answers.jsonl").read_text(encoding="utf-8").splitlines()]
    target = "score" if kind == "number" else "label"
    assert [answer["place"] for answer in answers] == [f"test.jsonl:{line + 1}" for line in range(len(rows))]
    assert [answer["target"] for answer in answers] == [row[target] for row in rows]
    if kind != "number":
        right = sum(answer["target"] == answer["label"] for answer in answers)
        assert record["scores"]["accuracy"]["value"] == right / len(rows)

    table = succeed(*asked).out
    assert f"test.jsonl: {len(rows)} rows" in table
    # the same each time
    for score in record["scores"].values():
        assert all(f"{score[part]:.4f}" in table for part in score)
    assert "baseline" in table


def test_evaluate_several_labels() -> None:
    write_jsonl(Path("test.jsonl"), [{"text": "good film", "label": ["pos", "long"]}, {"text": "bad", "label": []}])
    outcome = succeed("evaluate", trained("several"), "test.jsonl", "--json", "--predictions", "answers.jsonl")
    assert outcome.record["scores"].keys() == {"macro_f1", "micro_f1", "accuracy"}
    answers = [json.loads(line) for line in Path("answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [answer["target"] for answer in answers] == [["pos", "long"], []]
    assert all(isinstance(answer["labels"], list) for answer in answers)


def test_evaluate_finds_the_columns_of_training_or_takes_others() -> None:
    rows = [{"body": row["text"], "verdict": row["label"]} for row in SINGLE]
    as_csv(Path("other.csv"), rows)
    model = trained("single")
    assert "there is no column for text" in bertsmith("evaluate", model, "other.csv").err
    named = succeed("evaluate", model, "other.csv", "--text", "body", "--label", "verdict", "--json").record
    assert named["rows"] == len(rows)
    numbered = succeed("evaluate", model, "other.csv", "--header", "--text", "1", "--label", "2", "--json").record
    assert numbered == named


def test_evaluate_without_intervals() -> None:
    write_jsonl(Path("test.jsonl"), SINGLE)
    scores = succeed("evaluate", trained("single"), "test.jsonl", "--json", "--resamples", "0").record["scores"]
    assert {(score["low"], score["high"]) for score in scores.values()} == {(None, None)}


# Prediction


def texts_of(records: Iterable[dict[str, Any]]) -> list[str]:
    return [record["text"] for record in records]


def test_predict_a_text() -> None:
    record = succeed("predict", trained("single"), "a good film").record
    assert record["text"] == "a good film"
    assert record["probabilities"].keys() == {"neg", "pos"}
    assert record["label"] == max(record["probabilities"], key=record["probabilities"].__getitem__)
    assert sum(record["probabilities"].values()) == pytest.approx(1)


def test_predict_a_pair() -> None:
    record = succeed("predict", trained("pair"), "a good film", "a bad film").record
    assert (record["text"], record["text_b"]) == ("a good film", "a bad film")
    assert record["probabilities"].keys() == {"same", "other"}
    assert record != succeed("predict", trained("pair"), "a bad film", "a good film").record


def test_predict_a_number() -> None:
    record = succeed("predict", trained("number"), "good", "bad").record
    assert isinstance(record["value"], float)


@pytest.mark.parametrize(
    "text", ["", "good\tbad", "-5 good", "good [bold]film[/]", "ok.", "good " * 2000, "ünïcödé 🎬", "a/b"]
)
def test_predict_any_text(text: str) -> None:
    assert succeed("predict", trained("single"), "--", text).record["text"] == text


def test_a_cut_text_is_said_to_be_cut() -> None:
    assert succeed("predict", trained("single"), "good " * 100).record["truncated"] is True
    windows = ["--long-texts", "windows", "--overlap", "8"]
    assert "truncated" not in succeed("predict", trained("single"), "good " * 100, *windows).record


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.csv", as_csv),
        ("rows.csv.gz", as_gzipped_csv),
        ("rows.jsonl", write_jsonl),
        ("rows.parquet", as_parquet),
    ],
)
@pytest.mark.parametrize("label", ["pos", "never seen", ""])
def test_predict_a_file_whatever_its_labels(
    name: str, write: Callable[[Path, list[dict[str, Any]]], Any], label: str
) -> None:
    rows = [{"id": number, "text": row["text"], "label": label} for number, row in enumerate(SINGLE[:9])]
    write(Path(name), rows)
    records = succeed("predict", trained("single"), name).records
    assert texts_of(records) == texts_of(rows)
    assert {record["label"] for record in records} <= {"neg", "pos"}


def test_predict_a_file_of_lines() -> None:
    Path("rows.txt").write_text('good film\n\nbad, "very" bad\n', encoding="utf-8")
    assert texts_of(succeed("predict", trained("single"), "rows.txt").records) == ["good film", "", 'bad, "very" bad']


def test_predict_a_headerless_file() -> None:
    Path("rows.tsv").write_text("1\tgood\n2\tbad\n", encoding="utf-8")
    assert texts_of(succeed("predict", trained("single"), "rows.tsv", "--text", "2").records) == ["good", "bad"]


def test_predict_a_file_with_an_odd_name() -> None:
    Path("-").write_text("good\n", encoding="utf-8")
    Path("odd name").write_text("bad\n", encoding="utf-8")
    model = trained("single")
    assert texts_of(succeed("predict", model, "--file", "odd name", "--format", "lines").records) == ["bad"]
    assert texts_of(succeed("predict", model, "--file=-", stdin="fine\n").records) == ["fine"]


@pytest.mark.parametrize("dash", [[], ["-"]])
def test_predict_standard_input(dash: list[str]) -> None:
    model = trained("single")
    assert texts_of(succeed("predict", model, *dash, stdin="good film\n\nbad\n").records) == ["good film", "", "bad"]
    as_json = "".join(json.dumps({"text": text, "label": "odd"}) + "\n" for text in ("good\tfilm", "bad"))
    assert texts_of(succeed("predict", model, *dash, stdin=as_json).records) == ["good\tfilm", "bad"]
    as_table = succeed("predict", model, *dash, "--format", "csv", stdin='text,label\n"good, bad",x\n')
    assert texts_of(as_table.records) == ["good, bad"]


def test_predict_pairs_from_standard_input() -> None:
    records = succeed("predict", trained("pair"), "-", stdin="good film\tbad film\nfine\t\n").records
    assert [(record["text"], record["text_b"]) for record in records] == [("good film", "bad film"), ("fine", "")]
    failed = bertsmith("predict", trained("pair"), stdin="good film\tbad film\nfine\n")
    assert failed.code == 2
    assert "<stdin>:2: 0 tabs on the line, expected exactly one, between text and text_b" in failed.err


def test_predict_bad_bytes_on_standard_input() -> None:
    outcome = bertsmith("predict", trained("single"), stdin=b"good\ncaf\xe9\n")
    assert outcome.code == 2
    assert "<stdin>:2: byte 0xe9 at offset 3 of the line is not UTF-8" in outcome.err


def test_predict_keeps_further_columns() -> None:
    Path("rows.csv").write_text("id,text,url\n7,good,a\n8,bad,b\n", encoding="utf-8")
    records = succeed("predict", trained("single"), "rows.csv", "--keep", "url, id").records
    assert [(record["id"], record["url"]) for record in records] == [("7", "a"), ("8", "b")]
    assert texts_of(records) == ["good", "bad"]


@pytest.mark.skipif(not Path("/dev").is_dir(), reason="there is no /dev")
def test_standard_output_by_name_is_no_file_to_replace() -> None:
    # it may be a link to the very file that the shell sends it to
    with replacing(Path("/dev/stdout")) as path:
        assert path == Path("/dev/stdout")


def test_predict_to_a_file() -> None:
    model = trained("single")
    Path("rows.txt").write_text("good\nbad\n", encoding="utf-8")
    outcome = succeed("predict", model, "rows.txt", "--out", "answers.jsonl")
    assert outcome.out == ""
    assert Path("answers.jsonl").read_text(encoding="utf-8") == succeed("predict", model, "rows.txt").out
    # what is there is replaced only by something whole
    write_jsonl(Path("broken.jsonl"), [{"text": "fine"}, {"text": None}])
    before = Path("answers.jsonl").read_bytes()
    assert bertsmith("predict", model, "broken.jsonl", "--out", "answers.jsonl").code == 2
    assert Path("answers.jsonl").read_bytes() == before
    assert {path.name for path in Path().iterdir()} == {"rows.txt", "answers.jsonl", "broken.jsonl"}


@pytest.mark.parametrize("kind", ["single", "several", "number"])
def test_predict_to_csv(kind: str) -> None:
    asked = ['a "good", film', "two\nlines", "", "good " * 60]
    rows = [{"text": text, "text_b": "bad"} if kind == "number" else {"text": text} for text in asked]
    write_jsonl(Path("rows.jsonl"), rows)
    records = succeed("predict", trained(kind), "rows.jsonl").records
    table = list(csv.DictReader(io.StringIO(succeed("predict", trained(kind), "rows.jsonl", "--to", "csv").out)))
    assert texts_of(table) == asked
    if kind == "single":  # as the name of the file says
        succeed("predict", trained(kind), "rows.jsonl", "--out", "answers.csv")
        with Path("answers.csv").open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file)) == table
    assert [row["truncated"] for row in table] == ["False", "False", "False", "True"]
    for row, record in zip(table, records, strict=True):
        for label, probability in record.get("probabilities", {}).items():
            assert float(row[f"probabilities[{label}]"]) == probability
        if kind == "number":
            assert float(row["value"]) == record["value"]
        if kind == "single":
            assert row["label"] == record["label"]


def test_predict_streams_thousands_of_rows_in_their_order() -> None:
    asked = [f"{text} {'very ' * (number % 7)}" for number, (text, _) in enumerate(labelled(3000, longest=4))]
    Path("rows.txt").write_text("".join(text + "\n" for text in asked), encoding="utf-8")
    records = succeed("predict", trained("single"), "rows.txt").records
    assert texts_of(records) == asked
    # whatever rows share a window or a batch
    alone = succeed("predict", trained("single"), asked[2047]).record
    assert records[2047]["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-5)


@pytest.mark.skipif(os.name == "nt", reason="pipes that close are POSIX's")
def test_predict_answers_as_rows_come_and_minds_no_closed_pipe() -> None:
    command = [*PYTHON, "predict", str(trained("single")), "--look-ahead", "1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"good\nbad\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready, "the first answer comes before the last question"
        assert json.loads(process.stdout.readline())["text"] == "good"
        process.stdout.close()  # as head -1 does
        ended = time.monotonic() + 60
        with contextlib.suppress(BrokenPipeError):
            while process.poll() is None and time.monotonic() < ended:
                process.stdin.write(b"fine\n" * 100)
                process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        err = process.stderr.read().decode()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "rror" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_an_error() -> None:
    for words in (["--version"], ["predict", str(trained("single")), "good"]):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*PYTHON, *words], stdout=full, stderr=subprocess.PIPE, env=environment(), check=False
            )
        assert done.returncode == 2
        assert done.stderr.decode().endswith("error: [Errno 28] No space left on device\n")


def test_answers_before_an_error_are_written() -> None:
    Path("rows.txt").write_text("good\nbad\ncafé\n", encoding="utf-8")
    command = [*PYTHON, "predict", str(trained("single")), "rows.txt", "--to", "csv", "--look-ahead", "1"]
    settings = environment(PYTHONIOENCODING="ascii")  # café cannot be written
    done = subprocess.run(command, capture_output=True, env=settings, check=False)
    assert done.returncode == 1
    assert [line.partition(b",")[0] for line in done.stdout.splitlines()] == [b"text", b"good", b"bad"]
    assert b"error: unexpected UnicodeEncodeError" in done.stderr


def test_the_exit_code_is_right_where_nobody_reads_the_errors() -> None:
    with subprocess.Popen([*PYTHON, "nosuch"], stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stderr is not None
        process.stderr.close()
    assert process.returncode == 2


# The small commands


def test_tasks() -> None:
    record = succeed("tasks", "--json").record
    assert list(record) == tasks.names()
    for name, about in record.items():
        assert about.keys() >= {"summary", "example", "inputs", "options"}
        assert list(about["options"]) == list(tasks.task_class(name).options())
        assert any(item["required"] for item in about["inputs"].values())
    shown = succeed("tasks").out
    assert all(name in shown for name in ("classify", "regress", "multi_label", "text_b"))


def test_env() -> None:
    record = succeed("env", "--json").record
    assert record["bertsmith"] == __version__
    assert record["torch"].startswith(f"{__import__('torch').__version__}"[:3])
    assert set(succeed("env").out.splitlines()[0].split()) == {"bertsmith", __version__}


@pytest.fixture(scope="module")
def roomy_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with room for the samples' texts."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("roomy")
    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")
    return folder


def test_answers_as_conll_and_as_squads_file(roomy_encoder: Path) -> None:
    """What is written in a task's own form is read again in it."""
    samples = Path(str(files("bertsmith"))) / "data" / "samples"
    for task, suffix, to in (("tag", "conll", "conll"), ("answer", "json", "squad")):
        dev = samples / task / f"dev.{suffix}"
        flags = ("--max-steps", "2", "--dev-fraction", "0", "--device", "cpu", "--threads", "1")
        shown = succeed("train", task, "--train", dev, "--out", task, "--encoder", roomy_encoder, *flags).out
        asked = '"text"' if task == "tag" else '"question" "passage"'
        assert f"try: bertsmith predict {task} {asked}" in shown
        written = succeed("predict", task, dev, "--to", to).out
        records = succeed("predict", task, dev).records
        if to == "squad":
            assert json.loads(written) == {record["id"]: record["answer"] for record in records}
            continue
        tagged = records
        Path("dev.txt").write_bytes(dev.read_bytes())
        sentences = [block.split("\n") for block in written.strip().split("\n\n")]
        assert [[line.split("\t") for line in lines] for lines in sentences] == [
            [list(pair) for pair in zip(record["words"], record["tags"], strict=True)] for record in records
        ]
    as_text = succeed("predict", "tag", "dev.txt").records
    assert [record["words"] for record in as_text] == [record["words"] for record in tagged]
    # parted by blanks, words on a pipe look like texts: they are taken for such, but not in silence
    blanks = Path("dev.txt").read_text(encoding="utf-8").replace("\t", " ")
    for piped in (blanks, "\n".join(blanks.splitlines()[:4])):
        warned = succeed("predict", "tag", stdin=piped)
        assert warned.err.count("warning: <stdin>: the lines look like words with their tags, parted by blanks") == 1
        assert "offsets" in warned.records[0]
        for form in ("conll", "lines"):
            assert "warning: <stdin>" not in succeed("predict", "tag", "--format", form, stdin=piped).err
    assert "warning: <stdin>" not in succeed("predict", "tag", stdin="I am O\nhe is A\nshe is B\n").err
    refused = bertsmith("predict", "tag", "Ida sings.", "Ola, too.")
    assert (refused.code, "two texts are given, and a tag model answers for one" in refused.err) == (2, True)
    assert succeed("predict", "tag", "Ida sings.", "--scheme", "iob1").record["words"] == ["Ida", "sings", "."]
    refused = bertsmith("predict", "tag", "Ida sings.", "--scheme", "bioes")
    assert (refused.code, "labels must be those of the scheme BIOES, got ('O'," in refused.err) == (2, True)
    refused = bertsmith("predict", "answer", "Who?", "Ida.", "--to", "conll")
    assert (refused.code, "writes a tag for each word, and this model gives none" in refused.err) == (2, True)
    refused = bertsmith("predict", "answer", "Who?", "Ida.", "--to", "squad")
    assert (refused.code, "a question has none; --id says where" in refused.err) == (2, True)


@pytest.mark.parametrize(
    "task", [path.name for path in (files("bertsmith") / "data" / "samples").iterdir() if path.is_dir()]
)
def test_the_example_of_a_task_runs(task: str, roomy_encoder: Path) -> None:
    samples = Path(str(files("bertsmith"))) / "data" / "samples" / task
    for path in samples.iterdir():
        Path(path.name).write_bytes(path.read_bytes())
    started, *arguments = tasks.task_class(task).example.split()
    flags = ("--max-steps", "2", "--device", "cpu", "--threads", "1")
    assert started == "bertsmith"
    assert "saved runs/" in succeed(*arguments, "--encoder", roomy_encoder, *flags).out


def test_demo(roomy_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/somewhere/on/the/path/bertsmith")
    out = succeed("demo", "--encoder", roomy_encoder, "--out", "shown", "--quiet").out
    _, proposed = out.split("Try next:")
    commands = [line.strip() for line in proposed.splitlines() if line.strip()]
    assert all(command.startswith("bertsmith ") for command in commands)
    asked = [re.findall(r'"([^"]*)"|(\S+)', command) for command in commands if "predict" in command]
    assert [folder for _, _, (_, folder), *_ in asked] == [
        f"shown/{task}" for task in ("classify", "regress", "tag", "answer")
    ]
    for _, _, (_, folder), *questions in asked:
        succeed("predict", folder, *(text for text, _ in questions))
    assert "→" in out
    # again, in its own place
    record = succeed("demo", "--encoder", roomy_encoder, "--out", "shown", "--task", "classify", "--json").record
    assert record.keys() == {"classify"}
    _check_scores(record["classify"])


def test_demo_started_by_its_path_proposes_that_path(roomy_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(sys, "argv", [str(Path.cwd() / ".venv" / "bin" / "bertsmith"), "demo"])
    out = succeed("demo", "--encoder", roomy_encoder, "--out", "shown", "--task", "regress", "--quiet").out
    assert ".venv/bin/bertsmith predict shown/regress" in out


def test_demo_of_one_task_proposes_only_what_is_there(roomy_encoder: Path) -> None:
    out = succeed("demo", "--encoder", roomy_encoder, "--out", "shown", "--task", "regress", "--quiet").out
    assert "predict shown/regress" in out
    assert "shown/classify" not in out


def test_the_samples_are_where_the_demo_looks() -> None:
    # masked words and next sentences are learned from any text, and need no sample of their own
    assert {*tasks.names()} - {sample.task for sample in SAMPLES} == {"mlm", "nsp"}
    for task in (sample.task for sample in SAMPLES):
        folder = files("bertsmith") / "data" / "samples" / task
        assert {"train", "dev"} <= {Path(path.name).stem for path in folder.iterdir()}


def test_an_interruption_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bertsmith.cli.tasks.all_tasks.names", interrupted)
    assert run(["tasks"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"
