"""``bertsmith evaluate``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from bertsmith import api
from bertsmith.cli import show
from bertsmith.cli.answering import BACKEND_HELP, say_what_answers
from bertsmith.cli.flags import parse, whole_number, with_flags
from bertsmith.cli.reading import columns_of, flags_of_others, options_of, reading_flags, reading_of, task_of_model
from bertsmith.errors import SettingsError
from bertsmith.files import check_writable, replacing
from bertsmith.infer.backends import BackendName
from bertsmith.infer.backends.openvino import without_converter


def run(arguments: list[str]) -> None:
    """Score a model on a file."""
    task = task_of_model(arguments)
    command = with_flags(evaluate, reading_flags(task, labels=True))
    if task is None:
        command.__doc__ = f"{command.__doc__}\n\nbertsmith evaluate MODEL --help lists the options of that model alone."
    parse(command, "evaluate", arguments, elsewhere=lambda: flags_of_others(task, labels=True, at_use=True))


def evaluate(
    model: Annotated[Path, Parameter(help="the folder of a trained model")],
    file: Annotated[Path, Parameter(help="the rows, with their labels")],
    /,
    *,
    resamples: Annotated[
        int, Parameter(help="bootstrap resamples for the intervals; 0 for none", converter=whole_number)
    ] = 1000,
    predictions: Annotated[Path | None, Parameter(help="write every row's prediction to this JSONL file, too")] = None,
    device: Annotated[str, Parameter(help="auto, cpu, cuda …")] = "auto",
    backend: Annotated[BackendName, Parameter(help=BACKEND_HELP, show_choices=False)] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], Parameter(help="of torch's products; auto, bf16 where the processor has it")
    ] = "auto",
    json: Annotated[
        bool, Parameter(help="print the scores as one JSON object", negative=(), show_default=False)
    ] = False,
    quiet: Annotated[bool, Parameter(help="no progress, warnings alone", negative=(), show_default=False)] = False,
    **flags: Any,
) -> None:
    """Score a trained model on a file: with 95 % bootstrap intervals, beside the baseline that needs no model."""
    if resamples < 0:
        raise SettingsError(f"--resamples must be at least 0, got {resamples}")
    if predictions is not None:
        check_writable(predictions)  # before the work is done
    with without_converter():
        predictor = api.load(model, device=device, backend=backend, precision=precision, options=options_of(flags))
    with show.Watch(quiet=quiet or json) as watch:
        say_what_answers(predictor, watch)
        evaluation = api.evaluate(
            predictor,
            file,
            columns=columns_of(flags),
            reading=reading_of(flags),
            resamples=resamples,
            listen=watch.listen,
        )
    if predictions is not None:
        with replacing(predictions) as temporary, temporary.open("w", encoding="utf-8") as out:
            for example, prediction in zip(evaluation.examples, evaluation.predictions, strict=True):
                target = predictor.outline.task.target_record(example.target)
                record = {"place": str(example.place), "target": target, **prediction.record()}
                out.write(json_module.dumps(record, ensure_ascii=False) + "\n")
    for warning in evaluation.warnings:
        show.stderr().print(f"[yellow]warning:[/] {show.escape(warning)}")
    if json:
        show.print_json(evaluation.record())
    else:
        show.show_evaluation(show.stdout(), evaluation, title=str(file))
