"""The loop: it knows neither labels nor spans, only a task's loss and its main score."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bertsmith.batching import collate, grouped, mixed_seed, order, parts_of, within
from bertsmith.errors import BundleError, TrainingError
from bertsmith.events import Began, Ended, Listener, Saved, Scored, Stepped, nobody
from bertsmith.infer.engine import predict_calibrated
from bertsmith.nn.precision import name_of
from bertsmith.sequences import Sequences
from bertsmith.training.optim import clip, decay_of_words, optimizer_of, peak_rate, rate_factor, set_learning
from bertsmith.training.state import Position, load_state, save_state
from bertsmith.training.words import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from bertsmith.config import Settings
    from bertsmith.nn.heads import Model
    from bertsmith.records import Encoded
    from bertsmith.tasks import Draw, Task


@dataclass(frozen=True, slots=True)
class Prepared:
    """Examples with their encoded sequences, each sequence's `owner` being its example's number.

    tokens: of all sequences. draw: what is random in the sequences, drawn anew for every step; None if nothing is.
    """

    examples: Sequence[Any]
    encoded: Sequences
    tokens: int
    draw: Draw | None = None

    @classmethod
    def of(cls, examples: Sequence[Any], encoded: Iterable[Sequence[Encoded]], *, draw: Draw | None = None) -> Prepared:
        """Examples with all their sequences."""
        sequences = Sequences.of(encoded)
        return cls(examples, sequences, sequences.tokens, draw)

    def __len__(self) -> int:
        return len(self.examples)

    def step(self, rows: Sequence[int], *, seed: int, epoch: int) -> Sequence[Sequence[Encoded]]:
        """The sequences of these rows, as a step of an epoch sees them."""
        return [self.encoded[row] for row in rows] if self.draw is None else self.draw(rows, seed, epoch)


@dataclass(frozen=True, slots=True)
class Fit:
    """How training ended. stopped: on request, before its end; the state that was saved can be resumed."""

    steps: int
    best_step: int | None
    best_value: float | None
    stopped: bool


@dataclass(slots=True)
class _Best:
    """The best state so far, by dev's main score; the later of two equal ones does not replace the earlier."""

    step: int | None = None
    value: float | None = None
    stale: int = 0
    weights: dict[str, Tensor] | None = field(default=None, repr=False)

    def offer(self, step: int, value: float, model: Model, *, keep: bool) -> bool:
        if self.value is not None and value <= self.value:
            self.stale += 1
            return False
        self.step, self.value, self.stale = step, value, 0
        if keep:
            self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        return True


def fit(
    task: Task[Any, Any],
    model: Model,
    train: Prepared,
    dev: Prepared | None,
    settings: Settings,
    *,
    state: Path | None = None,
    run: str = "",
    attempt: int = 0,
    score_first: bool = False,
    listen: Listener = nobody,
    stop: Callable[[], bool] = lambda: False,
) -> Fit:
    """Train `model` in place, and leave it in its best state (or its last, as the settings say).

    state: where the state to resume from is written, and read if it is there already; None for neither.
    run: what a state must have been saved with to be resumed. score_first: score dev before the first step, too. stop:
    asked after every step.
    Same settings, data, threads and kind of processor give the same bits, resumed or not.
    Raises TrainingError at the first loss or gradient that is not finite, naming the rows.
    """
    steps_per_epoch = math.ceil(len(train) / settings.batch_size)
    steps = settings.max_steps or max(1, round(settings.epochs * steps_per_epoch))
    decay = partial(decay_of_words, model, settings, of_steps=steps, steps_per_epoch=steps_per_epoch)
    with words_of(model, train.encoded, *([dev.encoded] if dev else [])) as words:
        ended = _fit(
            task, model, train, dev, settings, steps=steps, steps_per_epoch=steps_per_epoch, unseen=words.unseen,
            state=state, run=run, attempt=attempt, score_first=score_first, listen=listen, stop=stop,
        )  # fmt: skip
        words.decay = decay(steps=ended.steps if ended.stopped or ended.best_step is None else ended.best_step)
    return ended


def _fit(
    task: Task[Any, Any],
    model: Model,
    train: Prepared,
    dev: Prepared | None,
    settings: Settings,
    *,
    steps: int,
    steps_per_epoch: int,
    unseen: int,
    state: Path | None,
    run: str,
    attempt: int,
    score_first: bool,
    listen: Listener,
    stop: Callable[[], bool],
) -> Fit:
    """`fit`, of a model that holds all parameters but `unseen`."""
    order_seed = _or(settings.order_seed, settings.seed)
    dropout_seed = _or(settings.dropout_seed, settings.seed)

    optimizer = optimizer_of(model, settings)
    rate = peak_rate(model, settings)
    best, first_step = _Best(), 0
    if state is not None and state.exists():
        position, weights = load_state(state, model, optimizer)
        if position.run != run:
            raise BundleError(f"{state}: was saved by another run")
        first_step = position.step
        best = _Best(position.best_step, position.best_value, position.stale, weights)

    def save(step: int) -> None:
        if state is not None:
            position = Position(step, best.step, best.value, best.stale, attempt, run)
            save_state(state, position, model, optimizer, best.weights)
            listen(Saved(step, str(state)))

    listen(
        Began(
            steps=steps,
            first_step=first_step,
            epochs=steps / steps_per_epoch,
            rows=len(train),
            tokens=train.tokens,
            parameters=unseen + sum(parameter.numel() for parameter in model.parameters()),
            device=str(model.device),
            precision=name_of(model.encoder.products),
            threads=torch.get_num_threads(),
        )
    )
    if dev is not None and score_first and first_step == 0:
        listen(_score(task, model, dev, 0, 0.0, best, keep=settings.keep == "best"))
    order_of_epoch = (-1, order(0, seed=order_seed, epoch=0))
    tokens_of = torch.from_numpy(train.encoded.tokens_of()) if settings.group_window else None
    saved_at, reason, step = time.monotonic(), "done", first_step
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        while step < steps:
            began = time.perf_counter()
            epoch, place = divmod(step, steps_per_epoch)
            if order_of_epoch[0] != epoch:
                in_order = order(len(train), seed=order_seed, epoch=epoch)
                if tokens_of is not None:
                    window = settings.group_window
                    in_order = grouped(in_order, tokens_of, batch_size=settings.batch_size, window=window)
                order_of_epoch = (epoch, in_order)
                set_learning(model, settings, epoch=epoch)
            rows = order_of_epoch[1][place * settings.batch_size : (place + 1) * settings.batch_size].tolist()
            sequences = train.step(rows, seed=settings.seed, epoch=epoch)

            # a pure function of seed and step: dropout needs no generator that a resumed run would have to restore
            torch.manual_seed(mixed_seed("dropout", dropout_seed, step))
            loss, targets, tokens = _backward(task, model, train, sequences, parts=settings.accumulate, step=step)
            norm = clip(model, settings.clip, divide_by=targets)
            if not math.isfinite(norm):
                raise _not_finite("gradient", step, train, rows)
            factor = rate_factor(step, steps=steps, warmup=settings.warmup, schedule=settings.schedule)
            for group in optimizer.groups:
                group.rate = rate * group.scale * factor
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            listen(
                Stepped(
                    step,
                    step / steps_per_epoch,
                    loss,
                    norm,
                    rate * factor,
                    tokens,
                    time.perf_counter() - began,
                )
            )

            if dev is not None and (step == steps or _is_scored(step, settings.evals_per_epoch, steps_per_epoch)):
                scored = _score(task, model, dev, step, step / steps_per_epoch, best, keep=settings.keep == "best")
                listen(scored)
                set_learning(model, settings, epoch=epoch)  # scoring left it in evaluation mode
                if settings.patience is not None and best.stale >= settings.patience:
                    reason = "plateau"
                    break
            if stop():
                reason = "stopped"
                save(step)
                break
            if step < steps and _is_due(step, settings.save_every, saved_at):
                save(step)
                saved_at = time.monotonic()
    model.requires_grad_(True).eval()
    if reason != "stopped" and settings.keep == "best" and best.weights is not None:
        model.load_state_dict(best.weights)
    kept = best.step if settings.keep == "best" else None
    listen(Ended(step, reason, kept))
    return Fit(steps=step, best_step=kept, best_value=best.value, stopped=reason == "stopped")


def _backward(
    task: Task[Any, Any],
    model: Model,
    train: Prepared,
    rows: Sequence[Sequence[Encoded]],
    *,
    parts: int,
    step: int,
) -> tuple[float, float, int]:
    """The gradient of the sum of the losses of the rows with these sequences, in parts; the mean loss, and how many
    targets and tokens."""
    total, targets, tokens = 0.0, 0.0, 0
    for sequences in _parts(task, rows, parts, most_tokens=most_tokens(model)):
        batch = collate(sequences, train.examples, device=model.device)
        loss = task.loss(model.head, model.hidden(batch.id_T, batch.segment_T, batch.layout), batch)
        value = float(loss.total.detach())
        if not math.isfinite(value):
            raise _not_finite("loss", step, train, list(dict.fromkeys(each.owner for each in sequences)))
        loss.total.backward()  # type: ignore[no-untyped-call]
        total, targets, tokens = total + value, targets + loss.targets, tokens + batch.layout.tokens
    # a batch of nothing but unknown words has no target, and so no gradient
    targets = targets or 1.0
    return total / targets, targets, tokens


# A part of a batch holds at most so many tokens, unless one row alone is longer and cannot be parted: long texts in
# windows would otherwise take all memory, some 0.3 MB a token of a MiniLM and four times that of a BERT-base.
MOST_TOKENS = {"cpu": 8_192}
MOST_TOKENS_ELSEWHERE = 32_768


def most_tokens(model: Model) -> int:
    """How many tokens of a batch are computed at once."""
    return MOST_TOKENS.get(model.device.type, MOST_TOKENS_ELSEWHERE)


def _parts(
    task: Task[Any, Any], rows: Sequence[Sequence[Encoded]], parts: int, *, most_tokens: int
) -> Iterator[list[Encoded]]:
    """The sequences of these rows, in parts; those of one row together, unless the loss is a sum over sequences."""
    for part in parts_of(range(len(rows)), parts=parts):
        units = [list(rows[row]) for row in part]
        if task.sums_sequences:
            units = [[sequence] for unit in units for sequence in unit]
        tokens = [sum(map(len, unit)) for unit in units]
        for chosen in within(range(len(units)), tokens, most_tokens=most_tokens):
            yield [sequence for index in chosen for sequence in units[index]]


def _score(
    task: Task[Any, Any], model: Model, dev: Prepared, step: int, epoch: float, best: _Best, *, keep: bool
) -> Scored:
    began = time.perf_counter()
    task, predictions = predict_calibrated(task, model, dev.examples, dev.encoded)
    scores = task.scorer(dev.examples, predictions)(np.arange(len(dev)))
    main = task.main_score()
    value = scores[main]
    is_best = best.offer(step, -math.inf if value is None else value, model, keep=keep)
    return Scored(step, epoch, scores, main, is_best, time.perf_counter() - began)


def _is_scored(step: int, evals_per_epoch: int, steps_per_epoch: int) -> bool:
    """Whether dev is scored after a step: so many times an epoch, as evenly as can be, the last time at its end."""
    return step * evals_per_epoch // steps_per_epoch > (step - 1) * evals_per_epoch // steps_per_epoch


def _is_due(step: int, save_every: int | None, saved_at: float) -> bool:
    return step % save_every == 0 if save_every else time.monotonic() - saved_at > 300


def _not_finite(what: str, step: int, train: Prepared, rows: Sequence[int]) -> TrainingError:
    return TrainingError(
        f"step {step + 1}: the {what} is not finite; its rows are {_places(train, rows)}. "
        "A lower learning rate or another seed may help"
    )


def _places(train: Prepared, rows: Sequence[int]) -> str:
    """Where the first of these rows were read, and how many more there are."""
    places = ", ".join(str(train.examples[row].place) for row in rows[:8])
    return places + (f" and {len(rows) - 8} more" if len(rows) > 8 else "")


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
