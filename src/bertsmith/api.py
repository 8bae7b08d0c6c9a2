"""The library's front door: `train`, `evaluate`, `load`. The command line calls these same functions."""

from __future__ import annotations

import json
import math
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from bertsmith import tasks
from bertsmith.batching import mixed_seed, shuffled
from bertsmith.bundle import Bundle, check_replaceable, new_model
from bertsmith.checkpoint import Pretrained, load_pretrained
from bertsmith.config import Settings, checked, write_toml
from bertsmith.data import ReadOptions, open_rows
from bertsmith.errors import (
    BundleError,
    SettingsError,
    TrainingError,
    listed,
    nearest,
)
from bertsmith.evaluation import Evaluation, score
from bertsmith.files import check_space, move_folder, sha256, write_text
from bertsmith.infer import Length, Predictor
from bertsmith.infer.engine import predict_encoded
from bertsmith.records import Input
from bertsmith.training import Fit, fit
from bertsmith.training.events import Event, Listener, MetricsFile, Predicted, Said, TensorBoardFile, nobody
from bertsmith.training.loop import Prepared
from bertsmith.training.optim import check_layers, reinitialize_top
from bertsmith.training.state import Position, read_position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bertsmith.data import Rows
    from bertsmith.nn.heads import Model
    from bertsmith.tasks import Task

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


def fit_examples(
    task: Task[Any, Any],
    train_examples: Sequence[Any],
    dev_examples: Sequence[Any] | None,
    settings: Settings,
    *,
    state: Path | None = None,
    data: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    listen: Listener = nobody,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Bundle, Evaluation | None, Fit]:
    """Train on examples in memory: the bundle, dev's evaluation (None without dev), and how training ended.

    state: where to save what a stopped run resumes from, and to resume from if it is there. data: names the data in
    that state. Raises as `train` does.
    """
    # from all rows: which labels there are must not depend on which rows are held out
    task = task.learn(train_examples)
    if dev_examples is None and settings.dev_fraction:
        train_examples, dev_examples = _held_out(train_examples, settings, listen)
    for examples in (train_examples, dev_examples or ()):
        task.check(examples)
    if dev_examples is None:
        _check_without_dev(task, settings)
    pick_device(settings.device)  # before the work that a missing one would waste
    pretrained = load_pretrained(settings.encoder)
    max_length = _max_length(settings, pretrained)
    train_set = _prepared("train", task, train_examples, pretrained, max_length, listen)
    dev_set = _prepared("dev", task, dev_examples, pretrained, max_length, listen) if dev_examples else None

    run = json.dumps(_identity(task, settings, pretrained, data or {}))
    first_attempt = 0
    if state is not None:
        # a state is weights, best weights and two moments; an old and a new one stand together; then the bundle
        size = 9 * sum(parameter.nbytes for parameter in pretrained.encoder.parameters())
        check_space(state.parent, size, what="a run's saved state with the model")
        if state.exists():
            first_attempt = _resumable(state, run).attempt
    for attempt in range(first_attempt, settings.restarts + 1):
        attempt_settings = _reseeded(settings, attempt)
        model = _new_model(task, pretrained, attempt_settings, listen)
        ended = fit(
            task, model, train_set, dev_set, attempt_settings,
            state=state, run=run, attempt=attempt, listen=listen, stop=stop,
        )  # fmt: skip
        if ended.stopped or dev_set is None:
            break
        predictions = predict_encoded(task, model, dev_set.examples, dev_set.encoded)
        collapsed = task.collapsed(dev_set.examples, predictions)
        if not collapsed:
            break
        if attempt < settings.restarts:
            listen(Said(f"{collapsed}; starting anew with seed {settings.seed + attempt + 1}", warning=True))
            if state is not None:
                state.unlink(missing_ok=True)
            pretrained = load_pretrained(settings.encoder)
    evaluation = None
    if dev_set is not None and not ended.stopped:
        calibrated = task.calibrate(dev_set.examples, predictions)
        if calibrated is not task:
            task = calibrated
            predictions = predict_encoded(task, model, dev_set.examples, dev_set.encoded)
        evaluation = score(task, dev_set.examples, predictions)
        for warning in evaluation.warnings:
            listen(Said(warning, warning=True))
    bundle = Bundle(
        task=task,
        model=model.to("cpu"),
        tokenizer=pretrained.tokenizer,
        family=pretrained.family,
        max_length=max_length,
        raw_config=pretrained.raw_config,
        columns=columns or {},
        training={
            "encoder": {"name": pretrained.source.name, "revision": pretrained.source.revision},
            "settings": attempt_settings.model_dump(mode="json"),
            "steps": ended.steps,
            "best_step": ended.best_step,
            "attempt": attempt,
            "dev": {name: value for name, value in evaluation.record().items() if name != "details"}
            if evaluation
            else None,
        },
    )
    return bundle, evaluation, ended


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
    task.check([task.read(row) for row in rows])
    answers, began = [], time.perf_counter()
    for answer in predictor.stream(rows):
        answers.append(answer)
        if len(answers) % 256 == 0 or len(answers) == len(rows):
            listen(Predicted(len(answers), len(rows), time.perf_counter() - began))
    lengths = [answer.length for answer in answers]
    _say_lengths(opened.name, lengths, predictor.bundle.max_length, listen)
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
    rows = open_rows(path, task.wanted_inputs(), columns=columns, preferred=preferred, training=True, options=reading)
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
        training=training,
        options=reading or ReadOptions(),
    )


def pick_device(name: str) -> torch.device:
    """The device that a name asks for; ``auto`` is the first accelerator, or the processor.

    Raises SettingsError if there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise SettingsError(
            f"device {name!r} cannot be used here: {first}; devices are auto, cpu, cuda, cuda:1, mps …"
        ) from None
    return device


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


def _max_length(settings: Settings, pretrained: Pretrained) -> int:
    if settings.max_length is None:
        return min(pretrained.max_length, 512)
    if settings.max_length > pretrained.max_length:
        raise SettingsError(
            f"max_length must be at most {pretrained.max_length} for {pretrained.source.name}, "
            f"got {settings.max_length}"
        )
    return settings.max_length


def _prepared(
    name: str,
    task: Task[Any, Any],
    examples: Sequence[Any],
    pretrained: Pretrained,
    max_length: int,
    listen: Listener,
) -> Prepared:
    """Examples with their sequences; says how many rows and tokens exceed the limit."""
    prepared = Prepared(examples, task.encode(examples, pretrained.tokenizer, max_length=max_length))
    _say_lengths(name, [Length.of(sequences) for sequences in prepared.encoded], max_length, listen)
    return prepared


def _say_lengths(name: str, lengths: Sequence[Length], limit: int, listen: Listener) -> None:
    """Say how many rows and tokens there are, and how many exceed the limit: a warning where tokens are cut off."""
    tokens, cut = sum(length.tokens for length in lengths), sum(length.cut for length in lengths)
    rows_cut, several = sum(length.cut > 0 for length in lengths), sum(length.sequences > 1 for length in lengths)
    text = f"{name}: {len(lengths):,} rows, {tokens:,} tokens, limit {limit}"
    if several:
        text += f"; {several:,} rows are longer and read in windows"
    if rows_cut:
        share = 100 * cut / (cut + tokens)
        text += f"; {rows_cut:,} rows are longer: {cut:,} tokens ({share:.1f} %) are cut off"
    listen(Said(text, warning=rows_cut > 0))


def _new_model(task: Task[Any, Any], pretrained: Pretrained, settings: Settings, listen: Listener) -> Model:
    head_seed = settings.seed if settings.head_seed is None else settings.head_seed
    generator = torch.Generator().manual_seed(mixed_seed("head", head_seed))
    model, fresh = new_model(task, pretrained, generator=generator, dropout=settings.dropout)
    listen(Said(f"{pretrained.source.name}: new, set at random: {', '.join(fresh)} of the head"))
    check_layers(model, settings)
    _check_reach(model, settings, listen)
    reinitialize_top(model, settings.reinit_top, generator=generator)
    if settings.dropout is not None:
        model.encoder.set_dropout(settings.dropout)
    return model.to(pick_device(settings.device))


def _check_reach(model: Model, settings: Settings, listen: Listener) -> None:
    """Say if gradual unfreezing will not get down to all layers."""
    layers, reached = model.encoder.config.layers, math.ceil(settings.epochs) - 1
    if settings.gradual_unfreezing and reached < layers:
        text = f"gradual unfreezing trains one more layer in each epoch: in {settings.epochs:g} only the top {reached}"
        listen(Said(f"{text} of {layers}", warning=True))


def _held_out(
    examples: Sequence[Any], settings: Settings, listen: Listener
) -> tuple[Sequence[Any], Sequence[Any] | None]:
    """Training and dev rows out of the training rows, the same for the same seed."""
    count = min(round(len(examples) * settings.dev_fraction), len(examples) - 1)
    if count == 0:
        text = f"no dev given, and of {len(examples)} rows a dev_fraction of {settings.dev_fraction} is none"
        listen(Said(f"{text}: the last state is kept", warning=True))
        return examples, None
    order = shuffled(len(examples), seed=settings.seed, epoch=-1)
    held, rest = sorted(order[:count]), sorted(order[count:])
    listen(Said(f"no dev given: {count:,} of {len(examples):,} rows are held out for it"))
    return [examples[row] for row in rest], [examples[row] for row in held]


def _check_without_dev(task: Task[Any, Any], settings: Settings) -> None:
    """Raises SettingsError for a setting that needs scores on dev, where there are no dev rows."""
    asked = {"patience": settings.patience, "restarts": settings.restarts}
    asked |= {name: getattr(task, name) for name in task.tuned_on_dev}
    for name, value in asked.items():
        if value:
            raise SettingsError(f"{name} needs rows to score: give dev, or a dev_fraction above 0")


def _reseeded(settings: Settings, attempt: int) -> Settings:
    if attempt == 0:
        return settings
    seeds = {
        name: value + attempt
        for name in ("seed", "head_seed", "order_seed", "dropout_seed")
        if (value := getattr(settings, name)) is not None
    }
    return settings.model_copy(update=seeds)


def _identity(
    task: Task[Any, Any], settings: Settings, pretrained: Pretrained, data: Mapping[str, str]
) -> dict[str, Any]:
    """What must be the same for a saved state to fit: everything that the bits depend on, but for the threads."""
    free = {"train", "dev", "out", "overwrite", "save_every", "tensorboard", "threads", "device"}
    return {
        **data,
        "task": task.name,
        **settings.model_dump(mode="json", exclude=free),
        **task.model_dump(mode="json"),
        "encoder": {
            path.name: sha256(path)
            for path in sorted(pretrained.source.folder.iterdir())
            if path.suffix in (".safetensors", ".json", ".txt")
        },
    }


def _resumable(state: Path, run: str) -> Position:
    position = read_position(state)
    before, now = json.loads(position.run), json.loads(run)
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            raise BundleError(
                f"{state}: cannot resume: {name} was {before.get(name)!r} when the state was saved, "
                f"now it is {now.get(name)!r}"
            )
    return position


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
