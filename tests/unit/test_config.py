"""Settings: strict names and types, presets, run.toml and back."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.config import PRESETS, Settings, read_toml, resolve, write_toml
from bertsmith.errors import SettingsError
from bertsmith.tasks import names, task_class
from bertsmith.tasks.classify import Classify

NAMES = [*Settings.model_fields, *Classify.options(), "text", "text_b", "label", "task", "preset"]


def resolved(**values: Any) -> tuple[Any, Settings]:
    return resolve({"task": "classify", **values})


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("task", "preset")])
def test_a_name_with_a_letter_too_many_is_an_error_with_the_right_one(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^unknown setting '{name}x'; did you mean '{name}'"):
        resolved(**{f"{name}x": 1})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("epoch", "epochs"), ("lr", None), ("learning_rte", "learning_rate"), ("counts", "columns"), ("tsk", "task")],
)
def test_unknown_names(name: str, nearest: str | None) -> None:
    with pytest.raises(SettingsError) as caught:
        resolved(**{name: 1})
    hint = f"; did you mean {nearest!r}?" if nearest else ""
    assert str(caught.value) == f"unknown setting {name!r}{hint}"


def test_what_a_task_learns_is_no_setting() -> None:
    for name in ("thresholds", "counts", "rows", "pairs"):
        with pytest.raises(SettingsError, match=f"unknown setting '{name}'"):
            resolved(**{name: ()})


def test_options_of_another_task_are_unknown() -> None:
    with pytest.raises(SettingsError, match="unknown setting 'multi_label'"):
        resolve({"task": "regress", "multi_label": True})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "3"}, "epochs must be a valid number, got '3'"),
        ({"epochs": True}, "epochs must be a valid number, got True"),
        ({"epochs": 0}, "epochs must be greater than 0, got 0"),
        ({"epochs": -1.5}, "epochs must be greater than 0, got -1.5"),
        ({"epochs": math.inf}, "epochs must be a finite number, got inf"),
        ({"clip": math.inf}, "clip must be a finite number, got inf"),
        ({"clip": math.nan}, "clip must be a finite number, got nan"),
        ({"learning_rate": 0}, "learning_rate must be greater than 0, got 0"),
        ({"learning_rate": 2}, "learning_rate must be less than or equal to 1, got 2"),
        ({"learning_rate": math.nan}, "learning_rate must be a finite number, got nan"),
        ({"weight_decay": math.nan}, "weight_decay must be a finite number, got nan"),
        ({"warmup": 1.1}, "warmup must be less than or equal to 1, got 1.1"),
        ({"dev_fraction": 1}, "dev_fraction must be less than 1, got 1"),
        ({"batch_size": 0}, "batch_size must be greater than or equal to 1, got 0"),
        ({"batch_size": 2.0}, "batch_size must be a valid integer, got 2.0"),
        ({"batch_size": True}, "batch_size must be a valid integer, got True"),
        ({"seed": -1}, "seed must be greater than or equal to 0, got -1"),
        ({"header": "yes"}, "header must be a valid boolean, got 'yes'"),
        ({"overwrite": 1}, "overwrite must be a valid boolean, got 1"),
        ({"keep": "first"}, "keep must be 'best' or 'last', got 'first'"),
        ({"train": 3}, "train must be a valid path, got 3"),
        ({"freeze": -1}, "freeze must be greater than or equal to 0 or 'encoder', got -1"),
        ({"freeze": "2"}, "freeze must be a valid integer or 'encoder', got '2'"),
        ({"freeze": "all"}, "freeze must be a valid integer or 'encoder', got 'all'"),
        ({"freeze": True}, "freeze must be a valid integer or 'encoder', got True"),
        ({"columns": ["text"]}, "columns must be a table of inputs and their columns, got ['text']"),
        ({"columns": {"text": 1.5}}, "text must be a column's name or its number, got 1.5"),
        ({"text": True}, "text must be a column's name or its number, got True"),
        ({"label": None}, "label must be a column's name or its number, got None"),
        ({"threshold": 1}, "threshold must be less than 1, got 1"),
        ({"overlap": -1}, "overlap must be greater than or equal to 0, got -1"),
        ({"label_smoothing": 1}, "label_smoothing must be less than 1, got 1"),
        ({"labels": [0, 1]}, "labels must be a valid string, got 0"),
        ({"class_weights": "neg"}, "class_weights must be none, balanced, or label=weight,label=weight, got 'neg'"),
        ({"class_weights": "neg=x"}, "class_weights must be none, balanced, or label=weight,label=weight, got 'neg=x'"),
        ({"class_weights": {"neg": 0}}, "class_weights must be weights above 0, got {'neg': 0}"),
        ({"class_weights": {"neg": math.inf}}, "class_weights must be weights above 0, got {'neg': inf}"),
        ({"preset": "x"}, "preset must be one of 'stable', 'features', 'quick', got 'x'"),
        ({"preset": ["x"]}, "preset must be one of 'stable', 'features', 'quick', got ['x']"),
        ({"task": "classfy"}, "unknown task 'classfy'; the tasks are 'classify', 'regress'; did you mean 'classify'?"),
        ({"task": 3}, "unknown task 3; the tasks are 'classify', 'regress'"),
    ],
)  # fmt: skip
def test_wrong_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        resolved(**values)
    if "the tasks are" in message:  # more tasks may come
        message = message.replace("'classify', 'regress'", ", ".join(map(repr, names())))
    assert str(caught.value) == message


def test_errors_say_where_the_settings_were_written() -> None:
    for values in ({"epochs": 0}, {"epoch": 1}, {"preset": "x"}, {"text": True}, {"columns": 1}):
        with pytest.raises(SettingsError, match=r"^run.toml: "):
            resolve({"task": "classify", **values}, source="run.toml")
    with pytest.raises(SettingsError, match=r"^run.toml: 'task' is missing; it is one of '"):
        resolve({"epochs": 1}, source="run.toml")


def test_whole_numbers_do_for_fractions() -> None:
    _, found = resolved(epochs=2, learning_rate=1, warmup=0)
    assert (found.epochs, found.learning_rate, found.warmup) == (2.0, 1.0, 0.0)


def test_what_is_given_goes_before_a_preset() -> None:
    _, found = resolved(preset="stable", epochs=2.0)
    assert (found.epochs, found.learning_rate) == (2.0, PRESETS["stable"]["learning_rate"])


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_hold(preset: str) -> None:
    _, found = resolved(preset=preset)
    assert {name: getattr(found, name) for name in PRESETS[preset]} == dict(PRESETS[preset])


def test_inputs_are_columns() -> None:
    _, found = resolved(text="review", label=3)
    assert found.columns == {"text": "review", "label": "3"}
    _, found = resolved(columns={"text": 2, "label": "x"}, label="y")
    assert found.columns == {"text": "2", "label": "y"}


def test_labels_of_a_flag_and_of_a_file() -> None:
    for labels in ("neg, pos", ["neg", "pos"], ("neg", "pos")):
        assert resolved(labels=labels)[0].labels == ("neg", "pos")
    assert resolved(labels=["a, b", "c"])[0].labels == ("a, b", "c")


def test_class_weights_of_a_flag_and_of_a_file() -> None:
    for given_weights in ("neg=1, pos=2.5", {"neg": 1, "pos": 2.5}):
        assert resolved(class_weights=given_weights)[0].class_weights == {"neg": 1.0, "pos": 2.5}
    assert resolved(class_weights="a=b=2")[0].class_weights == {"a=b": 2.0}
    assert resolved(class_weights="balanced")[0].class_weights == "balanced"


def test_a_label_weighted_twice_is_an_error() -> None:
    with pytest.raises(SettingsError, match="class_weights must be one weight a label, got 'neg=1"):
        resolved(class_weights="neg=1,neg=2")


def test_a_file_with_either_kind_of_dash(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('task = "classify"\nlearning-rate = 1\nbatch_size = 4\n[columns]\ntext = 1\n', encoding="utf-8")
    assert read_toml(path) == {"task": "classify", "learning_rate": 1, "batch_size": 4, "columns": {"text": 1}}
    _, found = resolve(read_toml(path))
    assert (found.learning_rate, found.batch_size, found.columns) == (1.0, 4, {"text": "1"})


def test_a_name_given_in_both_ways_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("batch-size = 1\nbatch_size = 2\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"run.toml: 'batch_size' is there twice, as 'batch-size' too"):
        read_toml(path)


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff", b"epochs = 1\nepochs = 2\n"])
def test_no_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"run.toml: not a TOML file: "):
        read_toml(path)


def test_a_file_from_windows(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes('\ufefftask = "classify"\r\nseed = 3\r\n'.encode())
    assert read_toml(path) == {"task": "classify", "seed": 3}


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        read_toml(tmp_path / "run.toml")
    with pytest.raises(SettingsError, match="not a TOML file"):
        read_toml(tmp_path)


# anything that a name on disk or in a file may hold, and above all what a TOML string has to escape
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'\\\n\r\t\x00\x1f\x7f\x85\u2028="), max_size=12
)
NUMBERS = {
    "epochs": st.floats(0, 10_000, exclude_min=True),
    "learning_rate": st.floats(0, 1, exclude_min=True),
    "clip": st.floats(0, exclude_min=True, allow_infinity=False),
    "freeze": st.integers(0, 10) | st.just("encoder"),
    "seed": st.integers(0, 2**80),
    "header": st.booleans(),
    "delimiter": TEXTS,
    **dict.fromkeys(("train", "dev", "out", "encoder", "text", "label"), TEXTS),
}
OPTIONS = {
    "labels": st.lists(TEXTS, max_size=3),
    "class_weights": st.sampled_from(["none", "balanced"])
    | st.dictionaries(TEXTS, st.floats(0.001, 1000), min_size=1, max_size=3),
    "multi_label": st.booleans(),
    "separator": TEXTS.filter(bool),
    "metric": st.sampled_from(["accuracy", "mcc"]),
}


@given(st.fixed_dictionaries({}, optional={**NUMBERS, **OPTIONS}))
@settings(max_examples=60)
def test_settings_survive_run_toml(values: dict[str, Any]) -> None:
    task, found = resolve({"task": "classify", **values})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.toml"
        path.write_text(write_toml(task, found), encoding="utf-8")
        assert resolve(read_toml(path)) == (task, found)


@pytest.mark.parametrize("task", names())
@pytest.mark.parametrize("preset", PRESETS)
def test_every_task_survives_run_toml(task: str, preset: str, tmp_path: Path) -> None:
    first = resolve({"task": task, "preset": preset})
    (tmp_path / "run.toml").write_text(write_toml(*first), encoding="utf-8")
    assert resolve(read_toml(tmp_path / "run.toml")) == first
    assert isinstance(first[0], task_class(task))
