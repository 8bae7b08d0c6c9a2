"""The loop: gradients of whole batches, the same bits for the same seeds, the state that is kept, honest ends."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

import bertsmith
from bertsmith.api import train
from bertsmith.bundle import Bundle
from bertsmith.config import Settings
from bertsmith.errors import BundleError, CheckpointError, DataError, InputError, SettingsError, TrainingError
from bertsmith.events import Began, Ended, Said, Saved, Scored, Stepped
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.regress import Regress
from bertsmith.training import Fit, fit, fit_examples
from bertsmith.training.loop import Prepared, _backward
from small_runs import (
    changed,
    examples_of,
    labelled,
    losses,
    model_of,
    prepared,
    settings_of,
    texts,
    tiny_bert,
    weights,
    write_tsv,
)

if TYPE_CHECKING:
    from pathlib import Path

    from bertsmith.events import Event
    from bertsmith.nn.heads import Model
    from bertsmith.tasks import Task

ROWS = [(text, (label,)) for text, label in labelled(40)]
EXAMPLES = examples_of(ROWS[:24])
DEV = examples_of(ROWS[24:], source="dev")
TASK = Classify().learn(EXAMPLES)

SEVERAL = [(text, ("pos",) if feeling > 1 else ("neg",) if feeling < -1 else ("pos", "neg") if feeling == 1 else ())
           for text, feeling in texts(24)]  # fmt: skip


def run(
    task: Task[Any, Any] = TASK,
    data: Prepared | None = None,
    *,
    dev: bool = False,
    dropout: float | None = None,
    **values: Any,
) -> tuple[Model, Fit, list[Event]]:
    """A short run of `fit`: the model it leaves, how it ended, its events."""
    events: list[Event] = []
    stop = values.pop("stop", lambda: False)
    settings = settings_of(dropout=dropout, **values)
    model = model_of(task, seed=settings.seed, dropout=dropout)
    ended = fit(
        task, model, prepared(task, EXAMPLES), prepared(task, DEV) if dev else None, settings,
        listen=events.append, stop=stop,
    )  # fmt: skip
    return model, ended, events


# gradients


def tasks_and_rows() -> dict[str, tuple[Task[Any, Any], list[Any]]]:
    weighted: Any = {"class_weights": {"pos": 3.0}}
    return {
        "classes": (Classify(), ROWS),
        "weighted": (Classify(**weighted), ROWS),
        "balanced": (Classify(class_weights="balanced"), ROWS[20:]),
        "smoothed": (Classify(label_smoothing=0.1, **weighted), ROWS),
        "several": (Classify(multi_label=True, **weighted), SEVERAL),
        "windows": (Classify(long_texts="windows", overlap=2), ROWS),
        "numbers": (Regress(), texts(24)),
        "numbers in windows": (Regress(long_texts="windows", overlap=2), texts(24)),
    }


@pytest.mark.parametrize("kind", tasks_and_rows())
def test_parts_of_a_batch_add_up_to_its_gradient(kind: str) -> None:
    task, rows = tasks_and_rows()[kind]
    examples = examples_of(rows[:11])
    task = task.learn(examples)
    data = prepared(task, examples, max_length=8 if "windows" in kind else 48)
    assert ("windows" in kind) == any(len(sequences) > 1 for sequences in data.encoded)
    found = []
    for parts in (1, 4, 11, 50):
        model = model_of(task, dropout=0.0).double()  # so that nothing hides behind rounding
        loss, targets, tokens = _backward(task, model, data, data.encoded[:11], parts=parts, step=0)
        found.append((loss, targets, tokens, [parameter.grad for parameter in model.parameters()]))
    whole_loss, whole_targets, whole_tokens, whole = found[0]
    assert whole_tokens == data.tokens
    for loss, targets, tokens, gradients in found[1:]:
        assert loss == pytest.approx(whole_loss, rel=1e-6)
        assert targets == pytest.approx(whole_targets)
        assert tokens == whole_tokens
        for gradient, expected in zip(gradients, whole, strict=True):
            assert gradient is not None
            torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-7)


def test_a_run_in_parts_ends_where_the_whole_one_ends() -> None:
    # with a large epsilon AdamW does not blow up the rounding of gradients that are nearly zero
    one, _, whole = run(dropout=0.0, adam_epsilon=1e-3)
    other, _, parts = run(dropout=0.0, adam_epsilon=1e-3, accumulate=3)
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-5)
    for name, tensor in weights(one).items():
        torch.testing.assert_close(weights(other)[name], tensor, atol=1e-5, rtol=1e-5)


def test_a_gradient_longer_than_clip_is_cut() -> None:
    # with the momentum off, plain clipping by a tiny norm leaves AdamW's step, so look at the norm that is told
    _, _, events = run(max_steps=3, clip=1e-3)
    norms = [event.gradient_norm for event in events if isinstance(event, Stepped)]
    assert all(norm > 1e-3 for norm in norms)
    still = model_of(TASK, seed=1)
    start = weights(still)
    # an epsilon far above the clipped gradient makes the step as short as the gradient is
    clipped, _, _ = run(max_steps=1, clip=1e-3, adam_epsilon=1.0, weight_decay=0.0, learning_rate=1.0, dropout=0.0)
    moved = math.sqrt(sum(float((weights(clipped)[name] - start[name]).square().sum()) for name in start))
    assert moved == pytest.approx(1e-3, rel=0.02)


# bits


def bits(**values: Any) -> dict[str, torch.Tensor]:
    return weights(run(**values)[0])


def test_the_same_seed_gives_the_same_bits() -> None:
    assert changed(bits(), bits()) == set()
    assert changed(bits(dev=True), bits(dev=True)) == set()


def test_scoring_and_listening_change_no_bit_of_training() -> None:
    assert changed(bits(keep="last", dev=True), bits(keep="last")) == set()


SCRIPT = """
import json, sys
from pathlib import Path
from bertsmith.api import train
from bertsmith.config import Settings
values = json.loads(sys.argv[1])
train("classify", Settings(**values))
"""


def test_another_process_gives_the_same_bits(tmp_path: Path) -> None:
    data = write_tsv(tmp_path / "train.tsv", labelled(30))
    values = settings_of(train=data, out=tmp_path / "here", max_steps=5).model_dump(mode="json", exclude_none=True)
    train("classify", Settings(**values))
    values["out"] = str(tmp_path / "there")
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT, json.dumps(values)], check=True)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def trained(**values: Any) -> tuple[Bundle, list[Event]]:
    """A short run of `fit_examples`, from the encoder on."""
    events: list[Event] = []
    bundle, _, _ = fit_examples(
        Classify(), EXAMPLES, values.pop("dev", DEV), settings_of(**values), listen=events.append
    )
    return bundle, events


def moved(one: Model, other: Model) -> set[str]:
    """The names of the tensors that differ by more than a step at hardly any rate."""
    return {name for name, tensor in weights(one).items() if (weights(other)[name] - tensor).abs().max() > 1e-20}


def first_loss(**values: Any) -> float:
    return losses(trained(max_steps=1, **values)[1])[0]


def test_each_seed_changes_only_what_is_its_own() -> None:
    still = {"learning_rate": 1e-30, "weight_decay": 0.0}  # weights stay as they begin
    whole = {"batch_size": 24, "dropout": 0.0}  # neither order nor dropout can matter

    start, _ = trained(max_steps=1, **still)
    for seed in ("order_seed", "dropout_seed"):
        other, _ = trained(max_steps=1, **still, **{seed: 7})
        assert moved(start.model, other.model) == set()
    other, _ = trained(max_steps=1, **still, head_seed=7)
    assert moved(start.model, other.model) == {"head.output.weight"}

    assert first_loss(**whole, order_seed=7) == pytest.approx(first_loss(**whole), rel=1e-6)
    assert first_loss(**whole, dropout_seed=7) == first_loss(**whole)
    assert first_loss(**whole, head_seed=7) != first_loss(**whole)
    assert first_loss(dropout=0.0, order_seed=7) != first_loss(dropout=0.0)
    assert first_loss(batch_size=24, dropout_seed=7) != first_loss(batch_size=24)

    # the seed stands for those that are not given
    assert first_loss(seed=7) == first_loss(head_seed=7, order_seed=7, dropout_seed=7)


def test_the_users_random_numbers_are_left_alone() -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    trained(max_steps=3, dev=None, reinit_top=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_users_random_numbers_do_not_matter() -> None:
    torch.manual_seed(1)
    one, _ = trained(max_steps=2, reinit_top=1)
    torch.manual_seed(2)
    other, _ = trained(max_steps=2, reinit_top=1)
    assert changed(weights(one.model), weights(other.model)) == set()


# how long, and how often


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ({"epochs": 2.0}, 6),
        ({"epochs": 0.5}, 2),
        ({"epochs": 1e-6}, 1),
        ({"epochs": 1.0, "batch_size": 5}, 5),
        ({"epochs": 2.0, "batch_size": 1000}, 2),
        ({"max_steps": 4, "epochs": 100.0}, 4),
        ({"max_steps": 7, "epochs": 1.0}, 7),
    ],
)
def test_how_many_steps(values: dict[str, Any], steps: int) -> None:
    _, ended, events = run(**values)
    assert ended == Fit(steps=steps, best_step=None, best_value=None, stopped=False)
    taken = [event for event in events if isinstance(event, Stepped)]
    assert [event.step for event in taken] == list(range(1, steps + 1))
    (began,) = (event for event in events if isinstance(event, Began))
    assert (began.steps, began.first_step, began.rows, began.device) == (steps, 0, 24, "cpu")
    assert began.epochs == pytest.approx(taken[-1].epoch)
    assert began.tokens == prepared(TASK, EXAMPLES).tokens
    assert events[-1] == Ended(steps, "done", None)


def test_an_epoch_sees_every_row_once() -> None:
    _, _, events = run(epochs=1.0, batch_size=5)
    assert sum(event.tokens for event in events if isinstance(event, Stepped)) == prepared(TASK, EXAMPLES).tokens


@pytest.mark.parametrize("evals", [1, 2, 3, 4, 5, 8, 100])
@pytest.mark.parametrize("batch_size", [1, 4, 24])
def test_dev_is_scored_so_often_an_epoch(evals: int, batch_size: int) -> None:
    per_epoch = 24 // batch_size
    _, _, events = run(dev=True, evals_per_epoch=evals, batch_size=batch_size, max_steps=2 * per_epoch)
    scored = [event.step for event in events if isinstance(event, Scored)]
    assert len(scored) == 2 * min(evals, per_epoch)
    assert {per_epoch, 2 * per_epoch} <= set(scored)  # at an epoch's end, too
    gaps = [stop - start for start, stop in zip([0, *scored], scored, strict=False)]
    assert max(gaps) - min(gaps) <= 1


def test_dev_is_scored_at_the_end() -> None:
    _, _, events = run(dev=True, evals_per_epoch=1, max_steps=4)
    assert [event.step for event in events if isinstance(event, Scored)] == [3, 4]


# what is kept


class Scripted(Classify):
    """Scores as a test wrote them, in turn."""

    script: tuple[float | None, ...] = ()
    _turn: list[int] = [0]  # noqa: RUF012 (a private attribute of pydantic, copied to each)

    def scorer(self, examples: Any, predictions: Any) -> Any:
        value = self.script[self._turn[0]]
        self._turn[0] += 1
        return lambda rows: {"accuracy": value}


def scripted(*values: float | None, **more: Any) -> tuple[dict[int, dict[str, torch.Tensor]], Model, Fit, list[Event]]:
    """A run whose dev scores are these, one each step: the weights after each step, too."""
    task = Scripted(script=values).learn(EXAMPLES)
    model = model_of(task)
    after: dict[int, dict[str, torch.Tensor]] = {}
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Stepped):
            after[event.step] = weights(model)

    settings = settings_of(max_steps=len(values), evals_per_epoch=1000, **more)
    ended = fit(task, model, prepared(task, EXAMPLES), prepared(task, DEV), settings, listen=listen)
    return after, model, ended, events


@pytest.mark.parametrize(
    ("values", "best"),
    [((0.1, 0.5, 0.3, 0.4), 2), ((0.1, 0.2, 0.3), 3), ((0.5, 0.5, 0.5), 1), ((None, 0.1, None), 2), ((None, None), 1)],
)
def test_the_best_state_is_kept(values: tuple[float | None, ...], best: int) -> None:
    after, model, ended, events = scripted(*values)
    assert changed(after[best], weights(model)) == set()
    assert (ended.best_step, ended.steps) == (best, len(values))
    assert [event.step for event in events if isinstance(event, Scored) and event.best][-1] == best
    assert events[-1] == Ended(len(values), "done", best)


def test_the_last_state_is_kept_if_asked_for() -> None:
    after, model, ended, _ = scripted(0.1, 0.5, 0.3, keep="last")
    assert changed(after[3], weights(model)) == set()
    assert ended.best_step is None


def test_patience_ends_a_run_at_a_plateau() -> None:
    after, model, ended, events = scripted(0.1, 0.5, 0.5, 0.4, 0.9, patience=2)
    assert events[-1] == Ended(4, "plateau", 2)
    assert (ended.steps, ended.best_step, ended.stopped) == (4, 2, False)
    assert changed(after[2], weights(model)) == set()


def test_a_score_resets_patience() -> None:
    _, _, ended, _ = scripted(0.1, 0.0, 0.2, 0.1, 0.3, 0.2, patience=2)
    assert ended.steps == 6


def test_stop_ends_a_run_after_a_step() -> None:
    _, ended, events = run(stop=lambda: True)
    assert ended.stopped
    assert events[-1] == Ended(1, "stopped", None)
    assert not any(isinstance(event, Saved) for event in events)  # nowhere to save it


# what goes wrong


def test_a_loss_that_is_not_finite_stops_at_once() -> None:
    task = Regress().learn(examples_of(texts(20)))
    examples = examples_of([*texts(20)[:19], ("a film", math.inf)])
    data = prepared(task, examples)
    events: list[Event] = []
    model = model_of(task)
    with pytest.raises(TrainingError, match=r"^step \d: the loss is not finite; its rows are rows:\d+, ") as caught:
        fit(task, model, data, None, settings_of(batch_size=4, epochs=1.0), listen=events.append)
    assert "rows:21" in str(caught.value)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    assert all(math.isfinite(loss) for loss in losses(events))


def test_a_gradient_that_is_not_finite_stops_before_the_step() -> None:
    model = model_of(TASK)
    parameter = next(model.head.parameters())
    parameter.register_hook(lambda gradient: gradient * math.nan)  # type: ignore[no-untyped-call]
    before = weights(model)
    with pytest.raises(TrainingError, match=r"^step 1: the gradient is not finite; its rows are .* and 2 more"):
        fit(TASK, model, prepared(TASK, EXAMPLES), None, settings_of(batch_size=10))
    assert changed(before, weights(model)) == set()


def test_weights_that_are_not_numbers_leave_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(*arguments: Any, **options: Any) -> Any:
        model, fresh = bertsmith.bundle.new_model(*arguments, **options)
        torch.nn.init.constant_(model.get_parameter("head.output.weight"), math.nan)
        return model, fresh

    monkeypatch.setattr("bertsmith.training.run.new_model", poisoned)
    settings = settings_of(train=write_tsv(tmp_path / "train.tsv", labelled(20)), out=tmp_path / "out")
    with pytest.raises(TrainingError, match=r"^step 1: the loss is not finite; its rows are .*train\.tsv:\d+, "):
        train("classify", settings)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError):
        Bundle.load(tmp_path / "out.partial")


# dev


def test_no_dev(tmp_path: Path) -> None:
    settings = settings_of(
        train=write_tsv(tmp_path / "train.tsv", labelled(20)), out=tmp_path / "out", dev_fraction=0.0, max_steps=2
    )
    events: list[Event] = []
    result = train("classify", settings, listen=events.append)
    assert result.evaluation is None
    assert (result.fit.best_step, result.fit.steps) == (None, 2)
    assert not any(isinstance(event, Scored) for event in events)
    (began,) = (event for event in events if isinstance(event, Began))
    assert began.rows == 20


def held_out(tmp_path: Path, rows: int, **values: Any) -> tuple[list[str], list[Event]]:
    """The texts that a run held out for dev."""
    data = write_tsv(
        tmp_path / "train.tsv", [(f"{text} {number}", label) for number, (text, label) in enumerate(labelled(rows))]
    )
    events: list[Event] = []
    result = train(
        "classify",
        settings_of(train=data, out=tmp_path / "out", max_steps=1, overwrite=True, **values),
        listen=events.append,
    )
    return [] if result.evaluation is None else [example.text for example in result.evaluation.examples], events


def test_dev_is_held_out_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first, events = held_out(tmp_path, 40)
    assert len(first) == 4
    said = [event.text for event in events if isinstance(event, Said)]
    assert "no dev given: 4 of 40 rows are held out for it" in said
    assert held_out(tmp_path, 40, order_seed=9, head_seed=9, dropout_seed=9)[0] == first
    assert held_out(tmp_path, 40, seed=9)[0] != first
    assert len(held_out(tmp_path, 40, dev_fraction=0.5)[0]) == 20


def test_too_few_rows_to_hold_one_out(tmp_path: Path) -> None:
    found, events = held_out(tmp_path, 4)
    assert found == []
    warned = [event.text for event in events if isinstance(event, Said) and event.warning]
    assert "no dev given, and of 4 rows a dev_fraction of 0.1 is none: the last state is kept" in warned


def test_a_row_is_left_to_learn_from(tmp_path: Path) -> None:
    # 95 % of 4 rows round to 4
    found, _ = held_out(tmp_path, 4, dev_fraction=0.95)
    assert len(found) == 3


def test_a_label_that_only_held_out_rows_have_is_known(tmp_path: Path) -> None:
    # which rows are held out is chance: a rare label must not make a run fail, or not, by its seed
    rows = [*labelled(39), ("the song", "neutral")]
    for seed in range(4):
        data = write_tsv(tmp_path / "train.tsv", rows)
        settings = settings_of(
            train=data, out=tmp_path / "out", max_steps=1, overwrite=True, dev_fraction=0.5, seed=seed
        )
        assert train("classify", settings).bundle.task.model_dump()["labels"] == ("neg", "neutral", "pos")


# folders


def wrong(tmp_path: Path, kind: type[InputError], match: str | None, **values: Any) -> None:
    settings = settings_of(
        **{"train": write_tsv(tmp_path / "train.tsv", labelled(20)), "out": tmp_path / "out", "max_steps": 1, **values}
    )
    with pytest.raises(kind, match=match):
        train("classify", settings)


def test_what_is_missing(tmp_path: Path) -> None:
    wrong(tmp_path, SettingsError, "'train' is missing", train=None)
    wrong(tmp_path, SettingsError, "'out' is missing", out=None)
    for out in (".", "", ".."):
        wrong(tmp_path, SettingsError, "out must be a folder's name", out=out)


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    wrong(tmp_path, BundleError, r"out: is there already; choose another --out, or replace it with --overwrite")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["precious"]
    assert not (tmp_path / "out.partial").exists()


def test_overwrite_replaces_a_bundle_only_when_the_new_one_is_done(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    wrong(tmp_path, BundleError, "did not write it and will not replace it", overwrite=True)
    (tmp_path / "out" / "bertsmith.json").write_text("{}")
    wrong(tmp_path, SettingsError, "reinit_top must be at most 2", reinit_top=3, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bertsmith.json", "precious"]
    data = write_tsv(tmp_path / "train.tsv", labelled(20))
    train("classify", settings_of(train=data, out=tmp_path / "out", max_steps=1, overwrite=True))
    assert not (tmp_path / "out" / "precious").exists()
    assert bertsmith.load(tmp_path / "out").predict(["good film"])[0].label in ("neg", "pos")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "train.tsv"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (CheckpointError, {"encoder": "./nowhere"}),
        (SettingsError, {"reinit_top": 3}),
        (SettingsError, {"max_length": 1000}),
        (SettingsError, {"device": "cuda:99"}),
    ],
)
def test_a_mistake_can_be_mended_and_the_command_repeated(
    tmp_path: Path, kind: type[InputError], values: dict[str, Any]
) -> None:
    wrong(tmp_path, kind, None, **values)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.tsv"]


def test_a_run_that_has_not_ended_is_not_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "run.toml").write_text("")
    wrong(
        tmp_path,
        BundleError,
        r"out\.partial: a run that has not ended is there; go on with --resume .*out",
    )
    assert (tmp_path / "out.partial" / "run.toml").exists()


def test_a_label_of_dev_alone_is_an_error_before_training(tmp_path: Path) -> None:
    dev = write_tsv(tmp_path / "dev.tsv", [("good film", "pos"), ("bad film", "ngative")])
    wrong(tmp_path, DataError, r"dev\.tsv:3: label 'ngative' is not one of 'neg', 'pos'", dev=dev)


def test_a_run_leaves_the_bundle_its_settings_and_its_events(tmp_path: Path) -> None:
    data = write_tsv(tmp_path / "train.tsv", labelled(30))
    result = train("classify", settings_of(train=data, out=tmp_path / "runs" / "out", max_steps=3, save_every=1))
    assert {path.name for path in result.folder.iterdir()} == {
        "bertsmith.json", "config.json", "metrics.jsonl", "model.safetensors", "run.toml", "special_tokens_map.json",
        "tokenizer.json", "tokenizer_config.json", "vocab.txt",
    }  # fmt: skip
    events = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "stepped"] == [1, 2, 3]
    assert changed(weights(result.bundle.model), weights(Bundle.load(result.folder).model)) == set()


def test_rows_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_tsv(tmp_path / "train.tsv", labelled(20)).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    settings = settings_of(train="-", format="tsv", out=tmp_path / "out", max_steps=1)
    assert train("classify", settings).bundle.task.model_dump()["labels"] == ("neg", "pos")


def test_threads_are_as_they_were(tmp_path: Path) -> None:
    tiny_bert()
    before = torch.get_num_threads()
    data = write_tsv(tmp_path / "train.tsv", labelled(10))
    events: list[Event] = []
    train("classify", settings_of(train=data, out=tmp_path / "out", max_steps=1, threads=2), listen=events.append)
    assert [event.threads for event in events if isinstance(event, Began)] == [2]
    assert torch.get_num_threads() == before


def test_a_batch_larger_than_the_data_is_the_data() -> None:
    task = Classify(labels=("neg", "pos"))
    one = examples_of([("good film", ("pos",))])
    bundle, evaluation, ended = fit_examples(task, one, None, settings_of(epochs=3.0, batch_size=32))
    assert (ended.steps, evaluation) == (3, None)
    assert bundle.task.model_dump()["labels"] == ("neg", "pos")


def test_a_collapsed_run_starts_anew_with_the_next_seed() -> None:
    events: list[Event] = []
    settings = settings_of(max_steps=1, learning_rate=1e-30, restarts=2, head_seed=5)
    # two equal texts get one answer, whatever the weights
    rows = examples_of([("the", ("pos",)), ("the", ("neg",))] * 4)
    bundle, evaluation, _ = fit_examples(Classify(), rows, rows[:2], settings, listen=events.append)
    said = [event.text for event in events if isinstance(event, Said) and event.warning]
    assert [text.rpartition("; ")[2] for text in said[:2]] == ["starting anew with seed 2", "starting anew with seed 3"]
    assert (bundle.training["attempt"], bundle.training["settings"]["seed"]) == (2, 3)
    assert bundle.training["settings"]["head_seed"] == 7
    assert evaluation is not None
    assert evaluation.warnings[0].startswith("collapsed: every text is answered with")
