"""The library's front door, where the command line's tests do not lead: options at use, lengths, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification

import bertsmith
from bertsmith.batching import within
from bertsmith.config import Settings, resolve
from bertsmith.errors import BundleError, DataError, SettingsError
from bertsmith.families import families
from bertsmith.infer.lengths import Length
from bertsmith.records import Encoded
from tiny import Case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = "It is what it is , and not a minute too long , says the critic . " * 20


@pytest.fixture
def encoder(tiny_checkpoint: Callable[[Case], Path]) -> Path:
    return tiny_checkpoint(Case(families()["bert"]))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.tsv"
    path.write_text("text\tlabel\n" + "A fine film\tpos\nThe plot is thin\tneg\n" * 6, encoding="utf-8")
    return path


def trained(encoder: Path, rows: Path, **more: Any) -> bertsmith.Run:
    values = {"train": rows, "dev": rows, "encoder": encoder, "out": rows.parent / "run", "max_steps": 2, **more}
    return bertsmith.train("classify", Settings(**values))


def test_long_texts_are_read_in_windows_by_a_model_that_was_trained_without(encoder: Path, rows: Path) -> None:
    run = trained(encoder, rows)
    (cut,) = bertsmith.load(run.folder).predict([LONG])
    (whole,) = bertsmith.load(run.folder, options={"long_texts": "windows", "overlap": 8}).predict([LONG])
    assert (cut.truncated, whole.truncated) == (True, False)


@pytest.mark.parametrize("options", [{"labels": ["pos", "neg"]}, {"threshold": 0.9}, {"multi_label": True}])
def test_what_a_model_learned_cannot_be_changed_when_it_is_loaded(
    encoder: Path, rows: Path, options: dict[str, Any]
) -> None:
    run = trained(encoder, rows)
    with pytest.raises(SettingsError, match="cannot change for a trained classify model; allowed: 'long_texts'"):
        bertsmith.load(run.folder, options=options)


def test_cut_tokens_are_counted_once_however_many_windows_there_are() -> None:
    ids = np.zeros(10, dtype=np.int32)
    windows = [Encoded(ids=ids, second=10, owner=0, cut=7)] * 3
    assert Length.of(windows) == Length(tokens=30, cut=7, sequences=3)


def test_evaluation_says_what_was_cut(encoder: Path, rows: Path) -> None:
    run = trained(encoder, rows)
    rows.write_text(f"text\tlabel\n{LONG}\tpos\nA film\tneg\n", encoding="utf-8")
    events: list[Any] = []
    record = bertsmith.evaluate(run.folder, rows, listen=events.append).record()
    assert record["cut"]["rows"] == 1
    assert record["cut"]["tokens"] > 100
    assert any(getattr(event, "warning", False) and "are cut off" in event.text for event in events)


@pytest.mark.parametrize("settings", [{"patience": 2}, {"restarts": 1}])
def test_what_needs_dev_is_refused_without(encoder: Path, rows: Path, settings: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="needs rows to score: give dev"):
        trained(encoder, rows, dev=None, dev_fraction=0, **settings)


def test_dev_is_read_as_train_was(encoder: Path, rows: Path, tmp_path: Path) -> None:
    """Dev's columns are those of train, not whatever would be guessed first."""
    rows.write_text("sentence\tlabel\nA fine film\tpos\nThe plot is thin\tneg\n", encoding="utf-8")
    dev = tmp_path / "dev.tsv"
    dev.write_text("text\tsentence\tsentence2\tlabel\nno\tA fine film\tno\tpos\n", encoding="utf-8")
    run = trained(encoder, rows, dev=dev)
    assert run.evaluation is not None
    assert [(each.text, each.text_b) for each in run.evaluation.examples] == [("A fine film", None)]


def test_a_folder_that_bertsmith_did_not_write_is_not_replaced(encoder: Path, rows: Path) -> None:
    (rows.parent / "run").mkdir()
    (rows.parent / "run" / "thesis.txt").write_text("three years")
    with pytest.raises(BundleError, match="will not replace it"):
        trained(encoder, rows, overwrite=True)
    assert (rows.parent / "run" / "thesis.txt").read_text() == "three years"


def test_a_model_of_transformers_has_no_baseline(encoder: Path, rows: Path, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(encoder, id2label={0: "neg", 1: "pos"})
    model.save_pretrained(tmp_path / "theirs")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "theirs" / name).write_bytes((encoder / name).read_bytes())
    evaluation = bertsmith.evaluate(tmp_path / "theirs", rows)
    assert evaluation.scores.baseline == {}
    assert 0 <= (evaluation.scores.values["accuracy"].value or 0) <= 1


def test_epochs_go_before_the_steps_of_a_preset() -> None:
    _, settings = resolve({"task": "classify", "preset": "quick", "epochs": 2.0})
    assert (settings.max_steps, settings.epochs) == (None, 2.0)
    _, settings = resolve({"task": "classify", "preset": "quick"})
    assert settings.max_steps == 100


def test_predicting_reads_no_labels(encoder: Path, rows: Path) -> None:
    model = bertsmith.load(trained(encoder, rows).folder)
    assert model.predict([{"text": "fine", "label": ""}]) == model.predict(["fine"])


def test_half_a_surrogate_pair_is_named_by_its_row(encoder: Path, rows: Path) -> None:
    model = bertsmith.load(trained(encoder, rows).folder)
    with pytest.raises(DataError, match="question 2: text holds half a surrogate pair at character 1"):
        model.predict(["fine", "a\ud800"])


def test_bytes_are_no_text(encoder: Path, rows: Path) -> None:
    model = bertsmith.load(trained(encoder, rows).folder)
    with pytest.raises(DataError, match="question 2: text must be a string, got bytes b'fine'"):
        model.predict(["fine", b"fine"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("tokens", "parts"),
    [([3, 3, 3], [[0, 1], [2]]), ([9, 1, 1], [[0], [1, 2]]), ([1, 9, 1], [[0], [1], [2]]), ([6], [[0]]), ([], [])],
)
def test_parts_keep_within_the_budget(tokens: list[int], parts: list[list[int]]) -> None:
    assert [list(part) for part in within(range(len(tokens)), tokens, most_tokens=6)] == parts


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Settings, {"learning_rte": 1e-4}, "unknown setting 'learning_rte'; did you mean 'learning_rate'?"),
        (Settings, {"epochs": -1}, "epochs must be greater than 0, got -1"),
        (Settings, {"freeze": "encodr"}, "freeze must be a valid integer or 'encoder', got 'encodr'"),
        (
            Settings,
            {"overlap": 3},
            "'overlap'; it is an option of the task, as in Answer(overlap=…) or Classify(overlap=…)",
        ),
        (Settings, {"text": "a"}, "'text'; a column is named as in columns={'text': 'COLUMN'}"),
        (bertsmith.Classify, {"class_wieghts": "none"}, "'class_wieghts'; did you mean 'class_weights'?"),
    ],
)
def test_wrong_settings_are_told_in_python_as_on_the_command_line(
    kind: type[Any], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        kind(**values)
    assert message in str(caught.value)


def test_empty_texts_are_said_before_training(encoder: Path, rows: Path) -> None:
    rows.write_text("text\tlabel\nA fine film\tpos\n \tneg\n", encoding="utf-8")
    events: list[Any] = []
    bertsmith.train(
        "classify",
        Settings(train=rows, dev=rows, encoder=str(encoder), out=rows.parent / "run", max_steps=1),
        listen=events.append,
    )
    said = [event.text for event in events if getattr(event, "warning", False)]
    assert f"train: 1 rows hold an empty text, the first of them {rows}:3" in said


def test_a_target_that_no_float32_can_square_is_named(encoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "numbers.tsv"
    path.write_text("text\tlabel\nA\t1\nB\t1e308\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"numbers\.tsv:3: label '1e308' is too large: at most 1e\+15"):
        bertsmith.train("regress", Settings(train=path, encoder=str(encoder), out=tmp_path / "run"))
