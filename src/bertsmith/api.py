"""The library's front door: `train`, `evaluate`, `load`. The command line calls these same functions.

What trains is imported by `train`, so that an exported model is opened, and answers, without torch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bertsmith import tasks
from bertsmith.bundle import Bundle
from bertsmith.data import ReadOptions, open_rows
from bertsmith.errors import SettingsError, TrainingError, listed, nearest
from bertsmith.evaluation import Evaluation, score
from bertsmith.events import nobody
from bertsmith.files import sha256
from bertsmith.infer import Predictor
from bertsmith.records import Input
from bertsmith.spool import Spool
from bertsmith.strict import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bertsmith.bundle import Outline
    from bertsmith.config import Settings
    from bertsmith.data import Rows
    from bertsmith.events import Listener
    from bertsmith.tasks import Task
    from bertsmith.training import Fit


@dataclass(frozen=True, slots=True)
class Run:
    """What `train` made. folder: the bundle. evaluation: of dev, None where there is none. fit: how training ended."""

    folder: Path
    bundle: Bundle
    evaluation: Evaluation | None
    fit: Fit


def load(
    folder: str | Path,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    options: Mapping[str, Any] | None = None,
) -> Predictor:
    """Open a trained model that bertsmith or transformers saved; ``load(folder).predict(["a text"])``.

    device: where torch computes: ``auto`` (an accelerator if there is one), cpu, cuda … Exported forms compute on the
    processor.
    backend: torch; onnx or openvino, if the model was exported so (``onnx-int8`` or ``openvino-int8`` of two); or
    ``auto``: an exported form if there is one and its runtime is installed, although there be an accelerator, unless
    a device other than the processor or a precision is asked for by name; else torch. Exported forms answer without
    torch.
    precision: of torch's matrix products: fp32, bf16, or ``auto``, which is bf16 where the processor has it. That of
    an exported form was fixed when it was exported.
    options: of the task, other than in training, as ``{"long_texts": "windows"}`` to read all of long texts.
    Raises BundleError, naming the file, if it cannot be used; SettingsError for an option, backend or precision that is
    unknown or does not go with the rest; MissingDependencyError for a backend that is not installed.
    """
    predictor = Predictor.load(folder, device=device, backend=backend, precision=precision)
    if not options:
        return predictor
    task = predictor.outline.task
    allowed = task.options(at_use=True)
    for name in options:
        if name not in allowed:
            raise SettingsError(
                f"{name!r} cannot change for a trained {task.name} model; allowed: {listed(allowed)}"
                f"{nearest(name, allowed)}"
            )
    return predictor.with_task(checked(type(task), {**task.model_dump(), **options}))


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
    from bertsmith.checkpoint import find, read_config
    from bertsmith.config import write_toml
    from bertsmith.events import Said
    from bertsmith.pretraining import ADAPTED, adapt_to_texts
    from bertsmith.tasks._masks import NoMaskTokenError
    from bertsmith.training.folder import RunFolder
    from bertsmith.training.optim import check_layers
    from bertsmith.training.run import divided, fit_divided, threads

    if isinstance(task, str):
        task = tasks.task_class(task)()
    if settings.train is None:
        raise SettingsError("'train' is missing: the file of rows to learn from, as in --train train.csv")
    if not settings.adapt and settings.adapt_epochs != type(settings).model_fields["adapt_epochs"].default:
        raise SettingsError(f"adapt_epochs is {settings.adapt_epochs:g}, and adapt is false: give --adapt, too")
    folder = RunFolder.of(settings.out, resume=resume, overwrite=settings.overwrite)

    with threads(settings.threads):
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
        # only now that the files are known to be readable
        with folder.running(
            write_toml(task, settings),
            resume=resume,
            tensorboard=settings.tensorboard,
            listen=listen,
            keep=(ADAPTED, f"{ADAPTED}.partial"),
        ) as everyone:
            task, rows, dev_rows = divided(task, train_examples, dev_examples, settings, listen=everyone)
            start = settings
            if settings.adapt:  # without the rows that are held out
                family, config = read_config(find(settings.encoder))
                family.form(task.head_kind)  # now, not when it has adapted
                check_layers(config.layers, settings)
                texts = (text for example in rows for text in task.content(example))
                encoder = adapt_to_texts(texts, settings, folder=folder, listen=listen, stop=stop)
                start = settings.model_copy(update={"encoder": str(encoder)})
            try:
                bundle, evaluation, ended = fit_divided(
                    task,
                    rows,
                    dev_rows,
                    start,
                    state=folder.state,
                    data=_fingerprint(settings),
                    columns=columns,
                    listen=everyone,
                    stop=stop,
                )
            except NoMaskTokenError:
                raise NoMaskTokenError(settings.encoder) from None
    if ended.stopped:
        raise TrainingError(f"stopped after step {ended.steps}; go on with: bertsmith train --resume {folder.out}")
    if settings.adapt:
        bundle = _adapted(bundle, settings.encoder)
    folder.finish(bundle, without=(ADAPTED, f"{ADAPTED}.jsonl"))
    return Run(folder=folder.out, bundle=Bundle.load(folder.out), evaluation=evaluation, fit=ended)


def _adapted(bundle: Bundle, encoder: str) -> Bundle:
    """The bundle, which says that it came from this encoder, adapted."""
    came = bundle.training
    start = {"name": encoder, "revision": None, "adapted": True}
    return replace(bundle, training={**came, "encoder": start, "settings": {**came["settings"], "encoder": encoder}})


def evaluate(
    model: Predictor | str | Path,
    file: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    reading: ReadOptions | None = None,
    backend: str = "auto",
    resamples: int = 1000,
    listen: Listener = nobody,
) -> Evaluation:
    """Score a trained model on a file with labels, with 95 % bootstrap intervals and the baseline beside.

    columns: where its inputs stand, if not where they stood in training and not guessable. backend: what computes, of
    a model given by its folder; see `load`.
    Raises InputError for what is wrong with the model or the file, before anything is computed.
    """
    from bertsmith.events import Predicted, Said
    from bertsmith.infer.lengths import Lengths

    predictor = model if isinstance(model, Predictor) else load(model, backend=backend)
    task = predictor.outline.task
    opened = rows_for(predictor.outline, file, columns=columns, reading=reading, training=True)
    listen(Said(opened.describe()))
    rows = list(opened)
    known = [task.read(row) for row in rows]
    task.check(known)
    for remark in task.remarks(known):
        listen(Said(f"{opened.name}: {remark}", warning=True))
    answers, began = [], time.perf_counter()
    for answer in predictor.stream(rows, scoring=True, threaded=True):
        answers.append(answer)
        if len(answers) % 256 == 0 or len(answers) == len(rows):
            listen(Predicted(len(answers), len(rows), time.perf_counter() - began))
    lengths = Lengths.of([answer.length for answer in answers])
    lengths.say(opened.name, predictor.outline.max_length, listen)
    examples, predictions = [answer.example for answer in answers], [answer.prediction for answer in answers]
    return replace(
        score(task, examples, predictions, resamples=resamples),
        rows_cut=lengths.rows_cut,
        tokens_cut=lengths.cut,
    )


def read_examples(
    task: Task[Any, Any],
    path: Path,
    columns: Mapping[str, str],
    reading: ReadOptions,
    *,
    preferred: Mapping[str, str] | None = None,
) -> tuple[Spool, Rows]:
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
    return Spool(rows, task.read), rows


def rows_for(
    outline: Outline,
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
        (*outline.task.wanted_inputs(), *(Input(name, names=(name,), needed_to_train=False) for name in keep)),
        columns={**(columns or {}), **{name: name for name in keep}},
        preferred=outline.columns,
        texts=outline.task.asked,
        training=training,
        options=reading or ReadOptions(),
    )


def _say_what_may_spoil(
    task: Task[Any, Any], settings: Settings, train: Sequence[Any], dev: Sequence[Any] | None, listen: Listener
) -> None:
    from bertsmith.checks import before_training
    from bertsmith.events import Said

    files = [(str(settings.train), train)] + ([] if dev is None else [(str(settings.dev), dev)])
    for warning in before_training(task, files, held_out=dev is None and settings.dev_fraction > 0):
        listen(Said(warning, warning=True))


def _fingerprint(settings: Settings) -> dict[str, str]:
    files = {"train data": settings.train, "dev data": settings.dev}
    # a pipe, or standard input, was read once and cannot be read again
    return {name: sha256(path) for name, path in files.items() if path is not None and path.is_file()}
