"""A run on examples: what is learned before the loop and after it, and anew if the loop collapsed."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bertsmith.batching import mixed_seed, order
from bertsmith.bundle import Bundle, kept_tensors, new_model
from bertsmith.checkpoint import Pretrained, load_pretrained, sequence_limit
from bertsmith.errors import BundleError, DataError, SettingsError
from bertsmith.evaluation import Evaluation, score
from bertsmith.events import Listener, Said, nobody
from bertsmith.files import check_space, sha256
from bertsmith.infer.engine import pick_device, predict_calibrated
from bertsmith.infer.lengths import Lengths
from bertsmith.nn.precision import name_of, pick_precision
from bertsmith.sequences import Sequences
from bertsmith.spool import Some
from bertsmith.training.loop import Fit, Prepared, fit
from bertsmith.training.optim import check_layers, reinitialize_top
from bertsmith.training.state import Position, read_position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bertsmith.config import Settings
    from bertsmith.nn.heads import Model
    from bertsmith.records import Encoded
    from bertsmith.tasks import Task

_ENCODED_AT_ONCE = 4096  # examples


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
    """Train on examples: the bundle, dev's evaluation (None without dev), and how training ended.

    state: where to save what a stopped run resumes from, and to resume from if it is there. data: names the data in
    that state. Raises as `train` does.
    """
    task, train_examples, dev_examples = divided(task, train_examples, dev_examples, settings, listen=listen)
    return fit_divided(
        task, train_examples, dev_examples, settings, state=state, data=data, columns=columns, listen=listen, stop=stop
    )


def divided(
    task: Task[Any, Any],
    train_examples: Sequence[Any],
    dev_examples: Sequence[Any] | None,
    settings: Settings,
    *,
    listen: Listener = nobody,
) -> tuple[Task[Any, Any], Sequence[Any], Sequence[Any] | None]:
    """The task, having learned from the rows, the rows to train on, and those to score (None for none), held out of
    train where the settings say so.

    What is wrong with rows and settings is found here, before the work that it would waste.
    """
    for example in train_examples:
        if example.target is None:
            raise DataError("this row has no target, and training needs one", place=example.place)
    # from all rows: which labels there are must not depend on which rows are held out
    task = task.learn(train_examples)
    if dev_examples is None and settings.dev_fraction:
        train_examples, dev_examples = _held_out(task, train_examples, settings, listen)
    for examples in (train_examples, dev_examples or ()):
        task.check(examples)
    if dev_examples is None:
        check_without_dev(task, settings)
        if untuned := task.untuned():
            listen(Said(untuned, warning=True))
    pick_device(settings.device)
    return task, train_examples, dev_examples


def fit_divided(
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
    """`fit_examples`, of what `divided` gave."""
    pretrained = load_pretrained(settings.encoder)
    tokenizer = pretrained.tokenizer
    max_length = sequence_limit(settings.max_length, most=pretrained.max_length, name=pretrained.source.name)
    train_set = _trained_on(task, _prepared("train", task, train_examples, pretrained, max_length, listen), listen)
    task = task.learn_pieces(train_set.encoded, tokenizer)
    train_set = replace(train_set, draw=task.drawing(train_set.encoded, tokenizer))
    dev_set = None
    if dev_examples:
        dev_set = _prepared("dev", task, dev_examples, pretrained, max_length, listen)
        dev_set = Prepared.of(dev_examples, task.for_scoring(dev_set.encoded, tokenizer))
    return fit_sets(
        task, train_set, dev_set, settings,
        pretrained=pretrained, anew=lambda: load_pretrained(settings.encoder), max_length=max_length,
        state=state, data=data, columns=columns, listen=listen, stop=stop,
    )  # fmt: skip


def fit_sets(
    task: Task[Any, Any],
    train_set: Prepared,
    dev_set: Prepared | None,
    settings: Settings,
    *,
    pretrained: Pretrained,
    anew: Callable[[], Pretrained],
    max_length: int,
    state: Path | None = None,
    data: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    score_first: bool = False,
    listen: Listener = nobody,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Bundle, Evaluation | None, Fit]:
    """Train on examples that are prepared, starting from `pretrained`; `fit_examples` says the rest.

    anew: the encoder once more, as it was, for a run that starts again because it collapsed.
    """
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
            state=state, run=run, attempt=attempt, score_first=score_first, listen=listen, stop=stop,
        )  # fmt: skip
        if ended.stopped or dev_set is None:
            break
        calibrated, predictions = predict_calibrated(task, model, dev_set.examples, dev_set.encoded)
        collapsed = calibrated.collapsed(dev_set.examples, predictions)
        if not collapsed:
            break
        if attempt < settings.restarts:
            listen(Said(f"{collapsed}; starting anew with seed {settings.seed + attempt + 1}", warning=True))
            if state is not None:
                state.unlink(missing_ok=True)
            pretrained = anew()
    model.encoder.products = None  # in which type a bundle computes is for those to say who use it
    evaluation = None
    if dev_set is not None and not ended.stopped:
        task = calibrated
        if tuned := task.tuned():
            listen(Said(f"tuned on dev: {tuned}"))
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
            "data": dict(data or {}),
            "steps": ended.steps,
            "best_step": ended.best_step,
            "attempt": attempt,
            "dev": {name: value for name, value in evaluation.record().items() if name != "details"}
            if evaluation
            else None,
        },
        kept=kept_tensors(pretrained.family.form(task.head_kind), pretrained.head_tensors),
    )
    return bundle, evaluation, ended


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads; None for as many as torch takes."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _prepared(
    name: str,
    task: Task[Any, Any],
    examples: Sequence[Any],
    pretrained: Pretrained,
    max_length: int,
    listen: Listener,
) -> Prepared:
    """Examples with their sequences; says how many rows and tokens exceed the limit."""
    encoded = Sequences(_encoded(task, examples, pretrained, max_length))
    for remark in task.remarks(examples):
        listen(Said(f"{name}: {remark}", warning=True))
    Lengths.of_sequences(encoded).say(name, max_length, listen)
    return Prepared.of(examples, encoded)


def _encoded(
    task: Task[Any, Any], examples: Sequence[Any], pretrained: Pretrained, max_length: int
) -> Iterator[Sequence[Encoded]]:
    """The sequences of each example, made for some thousand at a time."""
    for start in range(0, len(examples), _ENCODED_AT_ONCE):
        some = examples[start : start + _ENCODED_AT_ONCE]
        yield from task.encode(some, pretrained.tokenizer, max_length=max_length)


def _trained_on(task: Task[Any, Any], prepared: Prepared, listen: Listener) -> Prepared:
    """The examples and sequences that the task trains on."""
    chosen = task.for_training(prepared.examples, prepared.encoded)
    for remark in chosen.remarks:
        listen(Said(f"train: {remark}"))
    encoded = Sequences.of(chosen.encoded)
    rows = np.flatnonzero(encoded.counts())
    if not len(rows):
        raise DataError(f"{prepared.examples[0].place.source}: no row can be trained on")
    if len(rows) == len(encoded):
        return Prepared.of(prepared.examples, encoded)
    return Prepared.of(Some(prepared.examples, rows), (encoded[row] for row in rows))


def _new_model(task: Task[Any, Any], pretrained: Pretrained, settings: Settings, listen: Listener) -> Model:
    head_seed = settings.seed if settings.head_seed is None else settings.head_seed
    generator = torch.Generator().manual_seed(mixed_seed("head", head_seed))
    model, fresh = new_model(task, pretrained, generator=generator, dropout=settings.dropout)
    if settings.reinit_top:
        fresh = list(pretrained.family.form(task.head_kind).names)
    new = f"new, set at random: {', '.join(fresh)} of the head" if fresh else "with the head that pretraining made"
    listen(Said(f"{pretrained.source.name}: {new}"))
    check_layers(model.encoder.config.layers, settings)
    _check_reach(model, settings, listen)
    reinitialize_top(model, settings.reinit_top, generator=generator)
    if settings.dropout is not None:
        model.encoder.set_dropout(settings.dropout)
    model = model.to(pick_device(settings.device))
    model.encoder.checkpointing = settings.checkpointing
    model.encoder.products = pick_precision(settings.precision, model.device)
    return model


def _check_reach(model: Model, settings: Settings, listen: Listener) -> None:
    """Say if gradual unfreezing will not get down to all layers."""
    layers, reached = model.encoder.config.layers, math.ceil(settings.epochs) - 1
    if settings.gradual_unfreezing and reached < layers:
        text = f"gradual unfreezing trains one more layer in each epoch: in {settings.epochs:g} only the top {reached}"
        listen(Said(f"{text} of {layers}", warning=True))


def _held_out(
    task: Task[Any, Any], examples: Sequence[Any], settings: Settings, listen: Listener
) -> tuple[Sequence[Any], Sequence[Any] | None]:
    """Training and dev rows out of the training rows, the same for the same seed.

    Rows on one source (questions on one passage) stay together, so that dev holds none that was trained on.
    """
    count = min(round(len(examples) * settings.dev_fraction), len(examples) - 1)
    if count == 0:
        text = f"no dev given, and of {len(examples)} rows a dev_fraction of {settings.dev_fraction} is none"
        listen(Said(f"{text}: the last state is kept", warning=True))
        return examples, None
    group_R = _groups(task, examples)
    size_G = np.bincount(group_R)
    if len(size_G) < 2:
        raise DataError(f"{examples[0].place.source}: all rows are on one source, so none can be held out; give dev")
    order_G = order(len(size_G), seed=settings.seed, epoch=-1).numpy()
    reach_G = np.cumsum(size_G[order_G])
    # whole groups, until there are enough rows, but never all
    taken = int(((reach_G - size_G[order_G] < count) & (reach_G < len(examples))).argmin())
    is_held_G = np.zeros(len(size_G), dtype=bool)
    is_held_G[order_G[:taken]] = True
    held, rest = np.flatnonzero(is_held_G[group_R]), np.flatnonzero(~is_held_G[group_R])
    listen(Said(f"no dev given: {len(held):,} of {len(examples):,} rows are held out for it"))
    return Some(examples, rest), Some(examples, held)


def _groups(task: Task[Any, Any], examples: Sequence[Any]) -> NDArray[np.int64]:
    """The number of each row's group, int64 [rows], counted as they come: rows on one source are a group, and each
    without a source."""
    numbers: dict[tuple[str, ...], int] = {}
    group_R, groups = np.empty(len(examples), dtype=np.int64), 0
    for row, example in enumerate(examples):
        sources = task.sources(example)
        group_R[row] = numbers.setdefault(sources, groups) if sources else groups
        groups += group_R[row] == groups
    return group_R


def check_without_dev(task: Task[Any, Any], settings: Settings) -> None:
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
        "precision": name_of(pick_precision(settings.precision, pick_device(settings.device))),
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
