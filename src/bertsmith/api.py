"""The library's front door: `train`, `evaluate`, `load`. The command line calls these same functions."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from bertsmith import tasks
from bertsmith.bundle import Bundle, check_replaceable
from bertsmith.checks import before_training
from bertsmith.config import Settings, write_toml
from bertsmith.data import ReadOptions, open_rows
from bertsmith.errors import (
    BundleError,
    SettingsError,
    TrainingError,
    listed,
    nearest,
)
from bertsmith.evaluation import Evaluation, score
from bertsmith.files import move_folder, sha256, write_text
from bertsmith.infer import Predictor
from bertsmith.infer.engine import pick_device
from bertsmith.records import Input
from bertsmith.strict import checked
from bertsmith.training.events import Event, Listener, MetricsFile, Predicted, Said, TensorBoardFile, nobody
from bertsmith.training.run import fit_examples, say_lengths
from bertsmith.training.state import read_position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bertsmith.data import Rows
    from bertsmith.tasks import Task
    from bertsmith.training import Fit

STATE = "state.safetensors"
METRICS = "metrics.jsonl"
RUN = "run.toml"


@dataclass(frozen=True, slots=True)
class Run:
    """What `train` made. folder: the bundle. evaluation: of dev, None where there is none. fit: how training ended."""

    folder: Path
    bundle: Bundle
    evaluation: Evaluation | None
    fit: Fit


def load(folder: str | Path, *, device: str = "auto", options: Mapping[str, Any] | None = None) -> Predictor:
    """Open a trained model that bertsmith or transformers saved; ``load(folder).predict(["a text"])``.

    device: ``auto`` (an accelerator if there is one), cpu, cuda …
    options: of the task, other than in training, as ``{"long_texts": "windows"}`` to read all of long texts.
    Raises BundleError, naming the file, if it cannot be used; SettingsError for an unknown option.
    """
    predictor = Predictor.load(folder, device=pick_device(device))
    if not options:
        return predictor
    task = predictor.bundle.task
    allowed = task.options(at_use=True)
    for name in options:
        if name not in allowed:
            raise SettingsError(
                f"{name!r} cannot change for a trained {task.name} model; allowed: {listed(allowed)}"
                f"{nearest(name, allowed)}"
            )
    changed = checked(type(task), {**task.model_dump(), **options})
    return Predictor(replace(predictor.bundle, task=changed))


def train(
    task: Task[Any, Any] | str,
    settings: Settings,
    *,
    resume: bool = False,
    listen: Listener = nobody,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train a task on files and write the bundle to ``settings.out``, whole or not at all.

    While it runs, everything is in ``<out>.partial``: run.toml (the resolved settings), metrics.jsonl (the events)
    and the state that a stopped or killed run resumes from, to the bit. stop: asked after every step; True saves the
    state and raises TrainingError.
    Raises InputError for what is wrong with files or settings, before any training; TrainingError if the loss is not
    finite.
    """
    if isinstance(task, str):
        task = tasks.task_class(task)()
    if settings.train is None:
        raise SettingsError("'train' is missing: the file of rows to learn from, as in --train train.csv")
    if settings.out is None:
        raise SettingsError("'out' is missing: the folder for the trained model, as in --out runs/mine")
    out = settings.out
    if out.name in ("", ".."):
        raise SettingsError(f"out must be a folder's name, got {str(out)!r}")
    partial = out.with_name(f"{out.name}.partial")
    _check_out(out, partial, resume=resume, overwrite=settings.overwrite)

    with _threads(settings.threads):
        train_examples, reading = read_examples(task, settings.train, settings.columns, settings.reading)
        listen(Said(reading.describe()))
        columns = {choice.input: choice.column for choice in reading.choices}
        dev_examples = None
        if settings.dev is not None:
            dev_examples, dev_reading = read_examples(
                task.learn(train_examples), settings.dev, settings.columns, settings.reading, preferred=columns
            )
            listen(Said(dev_reading.describe()))
        _say_what_may_spoil(task, settings, train_examples, dev_examples, listen)
        if not resume and partial.exists():  # only now that the files are known to be readable
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        if (partial / STATE).exists():
            position = read_position(partial / STATE)
            MetricsFile.cut_after(partial / METRICS, attempt=position.attempt, step=position.step)
        else:  # a new run, or one that was killed before it saved anything
            (partial / METRICS).unlink(missing_ok=True)
            write_text(partial / RUN, write_toml(task, settings))
        try:
            with _listening(partial, settings, listen) as everyone:
                bundle, evaluation, ended = fit_examples(
                    task,
                    train_examples,
                    dev_examples,
                    settings,
                    state=partial / STATE,
                    data=_fingerprint(settings),
                    columns=columns,
                    listen=everyone,
                    stop=stop,
                )
        except BaseException:
            if not (partial / STATE).exists():
                shutil.rmtree(partial)  # there is nothing to go on with: out of the way of the mended command
            raise
    if ended.stopped:
        raise TrainingError(f"stopped after step {ended.steps}; go on with: bertsmith train --resume {out}")
    bundle.write(partial)
    for leftover in partial.glob(".*.tmp"):  # of a run that was killed while it saved
        leftover.unlink()
    move_folder(partial, out)
    (out / STATE).unlink(missing_ok=True)  # only now: until here, a kill costs no more than the last steps
    return Run(folder=out, bundle=Bundle.load(out), evaluation=evaluation, fit=ended)


def evaluate(
    model: Predictor | str | Path,
    file: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    reading: ReadOptions | None = None,
    resamples: int = 1000,
    listen: Listener = nobody,
) -> Evaluation:
    """Score a trained model on a file with labels, with 95 % bootstrap intervals and the baseline beside.

    columns: where its inputs stand, if not where they stood in training and not guessable.
    Raises InputError for what is wrong with the model or the file, before anything is computed.
    """
    predictor = model if isinstance(model, Predictor) else load(model)
    task = predictor.bundle.task
    opened = rows_for(predictor.bundle, file, columns=columns, reading=reading, training=True)
    listen(Said(opened.describe()))
    rows = list(opened)
    known = [task.read(row) for row in rows]
    task.check(known)
    for remark in task.remarks(known):
        listen(Said(f"{opened.name}: {remark}", warning=True))
    answers, began = [], time.perf_counter()
    for answer in predictor.stream(rows):
        answers.append(answer)
        if len(answers) % 256 == 0 or len(answers) == len(rows):
            listen(Predicted(len(answers), len(rows), time.perf_counter() - began))
    lengths = [answer.length for answer in answers]
    say_lengths(opened.name, lengths, predictor.bundle.max_length, listen)
    examples, predictions = [answer.example for answer in answers], [answer.prediction for answer in answers]
    return replace(
        score(task, examples, predictions, resamples=resamples),
        rows_cut=sum(length.cut > 0 for length in lengths),
        tokens_cut=sum(length.cut for length in lengths),
    )


def read_examples(
    task: Task[Any, Any],
    path: Path,
    columns: Mapping[str, str],
    reading: ReadOptions,
    *,
    preferred: Mapping[str, str] | None = None,
) -> tuple[list[Any], Rows]:
    """All rows of a file as the task's examples, with how the file was read.

    preferred: columns that are taken before others are guessed, as those of train for dev.
    """
    rows = open_rows(
        path,
        task.wanted_inputs(),
        columns=columns,
        preferred=preferred,
        texts=task.asked,
        training=True,
        options=reading,
    )
    return [task.read(row) for row in rows], rows


def rows_for(
    bundle: Bundle,
    file: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    reading: ReadOptions | None = None,
    training: bool,
    keep: Sequence[str] = (),
) -> Rows:
    """The rows of a file for a trained model. Columns not given are looked for where they stood in training, then
    guessed. keep: further columns, by name or number, that rows shall hold under that name."""
    return open_rows(
        file,
        (*bundle.task.wanted_inputs(), *(Input(name, names=(name,), needed_to_train=False) for name in keep)),
        columns={**(columns or {}), **{name: name for name in keep}},
        preferred=bundle.columns,
        texts=bundle.task.asked,
        training=training,
        options=reading or ReadOptions(),
    )


def _say_what_may_spoil(
    task: Task[Any, Any], settings: Settings, train: Sequence[Any], dev: Sequence[Any] | None, listen: Listener
) -> None:
    files = [(str(settings.train), train)] + ([] if dev is None else [(str(settings.dev), dev)])
    for warning in before_training(task, files, held_out=dev is None and settings.dev_fraction > 0):
        listen(Said(warning, warning=True))


def _check_out(out: Path, partial: Path, *, resume: bool, overwrite: bool) -> None:
    if resume:
        if not (partial / RUN).is_file():
            raise BundleError(f"{partial}: there is no run to resume")
        return
    if out.is_dir() and not overwrite:
        raise BundleError(f"{out}: is there already; choose another --out, or replace it with --overwrite")
    check_replaceable(out)
    if partial.exists() and not overwrite:
        raise BundleError(
            f"{partial}: a run that has not ended is there; go on with --resume {out}, or begin anew with --overwrite"
        )
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir():
        raise BundleError(f"{out}: {above} is a file, and cannot hold a folder; choose another --out")


def _fingerprint(settings: Settings) -> dict[str, str]:
    files = {"train data": settings.train, "dev data": settings.dev}
    # a pipe, or standard input, was read once and cannot be read again
    return {name: sha256(path) for name, path in files.items() if path is not None and path.is_file()}


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _listening(partial: Path, settings: Settings, listen: Listener) -> Iterator[Listener]:
    """A listener that tells the caller's, metrics.jsonl and, if asked for, TensorBoard."""
    files: list[MetricsFile | TensorBoardFile] = [MetricsFile(partial / METRICS)]
    if settings.tensorboard:
        files.append(TensorBoardFile(partial / "tensorboard"))

    def everyone(event: Event) -> None:
        for file in files:
            file(event)
        listen(event)

    try:
        yield everyone
    finally:
        for file in files:
            file.close()
