"""A run that was stopped or killed goes on to the bit, or says what has changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from bertsmith.api import Run, train
from bertsmith.config import Settings, read_toml, resolve, write_toml
from bertsmith.errors import BundleError, TrainingError
from bertsmith.tasks.classify import Classify
from bertsmith.training.folder import METRICS, RUN, STATE
from bertsmith.training.state import read_position
from small_runs import changed, labelled, settings_of, weights, write_tsv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bertsmith.tasks import Task


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a run of 12 steps that saves every other one and scores dev between them."""
    return settings_of(
        train=write_tsv(tmp_path / "train.tsv", labelled(30)),
        out=tmp_path / "out",
        max_steps=12,
        batch_size=5,
        evals_per_epoch=2,
        save_every=2,
        gradual_unfreezing=True,
    )


def partial(settings: Settings) -> Path:
    assert settings.out is not None
    return settings.out.with_name("out.partial")


def elsewhere(settings: Settings, **values: Any) -> Settings:
    """The same run, to another folder."""
    assert settings.out is not None
    return settings.model_copy(update={"out": settings.out.with_name("other"), **values})


def after(steps: int) -> Callable[[], bool]:
    """A `stop` that says so after so many steps."""
    left = iter(range(steps - 1, -1, -1))
    return lambda: next(left) == 0


def stopped(settings: Settings, steps: int, *, task: Task[Any, Any] | str = "classify", resume: bool = False) -> None:
    with pytest.raises(TrainingError, match=r"^stopped after step \d+; go on with: bertsmith train --resume .*out$"):
        train(task, settings, stop=after(steps), resume=resume)


def events(folder: Path) -> list[dict[str, Any]]:
    """What metrics.jsonl says of steps and scores, but for times."""
    lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [
        {name: value for name, value in record.items() if name not in ("time", "seconds")}
        for record in records
        if record["event"] in ("stepped", "scored") or (record["event"] == "ended" and record["reason"] != "stopped")
    ]


def assert_same(one: Run, other: Run) -> None:
    assert changed(weights(one.bundle.model), weights(other.bundle.model)) == set()
    assert (one.folder / "model.safetensors").read_bytes() == (other.folder / "model.safetensors").read_bytes()
    assert events(one.folder) == events(other.folder)
    assert one.fit == other.fit
    assert one.evaluation is not None
    assert other.evaluation is not None
    assert one.evaluation.record() == other.evaluation.record()


@pytest.mark.parametrize("steps", [1, 5, 6, 11, 12])
def test_a_stopped_run_goes_on_to_the_bit(settings: Settings, steps: int) -> None:
    stopped(settings, steps)
    assert settings.out is not None
    assert not settings.out.exists()
    resumed = train("classify", settings, resume=True)
    assert_same(resumed, train("classify", elsewhere(settings)))
    assert not partial(settings).exists()
    assert not (resumed.folder / STATE).exists()


def test_a_stopped_run_of_like_lengths_in_bfloat16_goes_on_to_the_bit(settings: Settings) -> None:
    settings = settings.model_copy(update={"group_window": 2, "precision": "bf16", "checkpointing": True})
    stopped(settings, 5)
    assert_same(train("classify", settings, resume=True), train("classify", elsewhere(settings)))


def test_a_run_stopped_twice(settings: Settings) -> None:
    stopped(settings, 3)
    stopped(settings, 4, resume=True)
    assert_same(train("classify", settings, resume=True), train("classify", elsewhere(settings)))


def test_the_best_state_so_far_outlives_a_stop(settings: Settings) -> None:
    # at a rate that ruins the model, whose best state is then an early one
    settings = settings.model_copy(update={"learning_rate": 1.0, "schedule": "constant", "max_steps": 15})
    whole = train("classify", elsewhere(settings))
    assert whole.fit.best_step is not None
    assert whole.fit.best_step < 12
    stopped(settings, 12)
    assert_same(train("classify", settings, resume=True), whole)


def test_patience_counts_on(settings: Settings) -> None:
    # a rate of nothing: no score is better than the first
    settings = settings.model_copy(update={"learning_rate": 1e-30, "patience": 2})
    whole = train("classify", elsewhere(settings))
    assert whole.fit.steps < 12
    stopped(settings, whole.fit.steps - 1)
    assert_same(train("classify", settings, resume=True), whole)


SCRIPT = """
import os, signal, sys
from pathlib import Path
from bertsmith.api import train
from bertsmith.config import read_toml, resolve
from bertsmith.events import Stepped

def listen(event):
    if isinstance(event, Stepped) and event.step == 7:
        os.kill(os.getpid(), signal.SIGKILL)

train(*resolve(read_toml(Path(sys.argv[1]))), listen=listen)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_killed_run_goes_on_to_the_bit(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "given.toml").write_text(write_toml(Classify(), settings), encoding="utf-8")
    killed = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "given.toml")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [event["step"] for event in events(partial(settings)) if event["event"] == "stepped"][-1] == 7
    assert read_position(partial(settings) / STATE).step == 6
    # as the command line does: the settings are those that the run wrote down
    task, written = resolve(read_toml(partial(settings) / RUN))
    assert (task, written) == (Classify(), settings)
    assert_same(train(task, written, resume=True), train("classify", elsewhere(settings)))


def test_a_run_killed_before_it_saved_anything_begins_anew(settings: Settings) -> None:
    stopped(settings, 3)
    (partial(settings) / STATE).unlink()
    assert_same(train("classify", settings, resume=True), train("classify", elsewhere(settings)))


def test_what_a_kill_left_behind_is_not_in_the_bundle(settings: Settings) -> None:
    stopped(settings, 3)
    (partial(settings) / f".{STATE}.4711.tmp").write_bytes(b"half")
    with (partial(settings) / METRICS).open("ab") as file:
        file.write('{"event": "stepped", "step": 4, "text": "caf\u00e9'.encode()[:-1])
    resumed = train("classify", settings, resume=True)
    assert [path.name for path in resumed.folder.iterdir() if path.name.startswith(".")] == []
    assert_same(resumed, train("classify", elsewhere(settings)))


def test_a_restarted_run_goes_on_to_the_bit(settings: Settings) -> None:
    # every text is the same, so each attempt collapses and is started anew
    assert settings.train is not None
    write_tsv(settings.train, [("the film", label) for _, label in labelled(30)])
    settings = settings.model_copy(update={"restarts": 2, "max_steps": 4, "save_every": 1})
    stopped(settings, 7)
    resumed = train("classify", settings, resume=True)
    whole = train("classify", elsewhere(settings))
    assert resumed.bundle.training["attempt"] == whole.bundle.training["attempt"] == 2
    assert_same(resumed, whole)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": 1e-4}, "learning_rate was 0.001 when the state was saved, now it is 0.0001"),
        ({"max_steps": 20}, "max_steps was 12 when the state was saved, now it is 20"),
        ({"seed": 2}, "seed was 1 when the state was saved, now it is 2"),
        ({"accumulate": 2}, "accumulate was 1 when the state was saved, now it is 2"),
    ],
)
def test_other_settings_are_refused_by_name(settings: Settings, values: dict[str, Any], message: str) -> None:
    stopped(settings, 3)
    with pytest.raises(BundleError) as caught:
        train("classify", settings.model_copy(update=values), resume=True)
    assert str(caught.value) == f"{partial(settings) / STATE}: cannot resume: {message}"
    assert (partial(settings) / STATE).exists()
    train("classify", settings, resume=True)


def test_other_options_of_the_task_are_refused_by_name(settings: Settings) -> None:
    stopped(settings, 3)
    with pytest.raises(BundleError, match=r"cannot resume: class_weights was 'none' .*, now it is 'balanced'"):
        train(Classify(class_weights="balanced"), settings, resume=True)


def test_other_data_is_refused(settings: Settings) -> None:
    stopped(settings, 3)
    assert settings.train is not None
    rows = labelled(30)
    write_tsv(settings.train, [*rows[1:], rows[0]])
    with pytest.raises(BundleError, match=r"cannot resume: train data was '[0-9a-f]+'"):
        train("classify", settings, resume=True)


def test_data_may_move_and_saving_may_change(settings: Settings, tmp_path: Path) -> None:
    stopped(settings, 3)
    assert settings.train is not None
    (tmp_path / "moved").mkdir()
    moved = settings.train.rename(tmp_path / "moved" / "rows.tsv")
    assert_same(
        train("classify", settings.model_copy(update={"train": moved, "save_every": 1}), resume=True),
        train("classify", elsewhere(settings, train=moved)),
    )


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "no position"])
def test_a_damaged_state_is_an_error(settings: Settings, damage: str) -> None:
    stopped(settings, 3)
    state = partial(settings) / STATE
    whole = state.read_bytes()
    if damage == "no position":
        save_file({"model.x": torch.zeros(1)}, state)
    else:
        state.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello, world" * 10}[damage])
    with pytest.raises(BundleError, match=r"state\.safetensors: not a whole state of a run: "):
        train("classify", settings, resume=True)
    assert state.exists()


@pytest.mark.parametrize("missing", ["model.head.output.weight", "optimizer.exp_avg.head.output.weight"])
def test_a_state_that_lacks_a_tensor_is_an_error(settings: Settings, missing: str) -> None:
    stopped(settings, 3)
    state = partial(settings) / STATE
    with safe_open(state, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != missing}  # noqa: SIM118
        metadata = file.metadata()
    save_file(tensors, state, metadata=metadata)
    with pytest.raises(BundleError, match=rf"state\.safetensors: .*'{missing.removeprefix('model.')}'"):
        train("classify", settings, resume=True)


def test_nothing_to_resume(settings: Settings) -> None:
    with pytest.raises(BundleError, match=r"out\.partial: there is no run to resume"):
        train("classify", settings, resume=True)
    assert not partial(settings).exists()
