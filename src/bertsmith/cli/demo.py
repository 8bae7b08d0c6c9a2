"""``bertsmith demo``."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bertsmith import api
from bertsmith.cli import show
from bertsmith.cli.flags import parse
from bertsmith.config import resolve
from bertsmith.errors import SettingsError, listed, nearest


@dataclass(frozen=True, slots=True)
class Sample:
    """A packaged sample: its task, the settings that suit it, and questions to try the model with."""

    task: str
    about: str
    suffix: str
    settings: dict[str, Any]
    questions: tuple[str | tuple[str, str], ...]

    def prediction(self, folder: Path) -> str:
        """The command that asks a trained model the first question."""
        first = self.questions[0]
        texts = (first,) if isinstance(first, str) else first
        return " ".join([f"bertsmith predict {folder}", *(f'"{text}"' for text in texts)])


SAMPLES = (
    Sample(
        task="classify",
        about="messages to a shop's support → what the customer wants",
        suffix="tsv",
        settings={"epochs": 4.0, "learning_rate": 2e-4, "evals_per_epoch": 1, "max_length": 96},
        questions=(
            "the tracking page has not moved since tuesday, is my parcel lost?",
            "I changed my mind about the lamp, please stop the order before it ships",
            "Does the kettle switch off by itself?",
        ),
    ),
    Sample(
        task="regress",
        about="two sentences → how alike their meanings are, 0 to 5",
        suffix="tsv",
        settings={"epochs": 4.0, "learning_rate": 1e-4, "evals_per_epoch": 1, "max_length": 96},
        questions=(
            ("A dog runs across the beach.", "A dog is running along the shore."),
            ("A dog runs across the beach.", "The library closes at six."),
        ),
    ),
    Sample(
        task="tag",
        about="sentences of the news → the persons, organisations, places and events they name",
        suffix="conll",
        settings={"epochs": 6.0, "learning_rate": 3e-4, "batch_size": 16, "evals_per_epoch": 1, "max_length": 96},
        questions=(
            "Ida Holm of the Norrland Institute flew to Oslo on Tuesday.",
            "Bremen beat Lyon in the final of the Harbour Cup.",
        ),
    ),
    Sample(
        task="answer",
        about="a question and a passage → where the passage answers it",
        suffix="json",
        settings={"epochs": 2.0, "learning_rate": 2e-4, "batch_size": 8, "evals_per_epoch": 1, "max_length": 256},
        questions=(
            (
                "Who keeps the lighthouse now?",
                "The lighthouse was lit in 1871. Since the last keeper retired, a club of sailors keeps it.",
            ),
        ),
    ),
)


def run(arguments: list[str]) -> None:
    """Train on the packaged samples."""
    parse(demo, "demo", arguments)


def demo(
    *,
    out: Annotated[Path, Parameter(help="the folder for the trained models; older ones are replaced")] = Path(
        "demo-runs"
    ),
    encoder: Annotated[str, Parameter(help="the encoder to start from")] = "minilm",
    task: Annotated[str | None, Parameter(help="only this task's sample")] = None,
    json: Annotated[
        bool, Parameter(help="print the scores as one JSON object", negative=(), show_default=False)
    ] = False,
    quiet: Annotated[bool, Parameter(help="no progress", negative=(), show_default=False)] = False,
) -> None:
    """Train the tasks on the samples that come with bertsmith: scores beside the baselines, and a few answers."""
    known = [sample.task for sample in SAMPLES]
    if task is not None and task not in known:
        raise SettingsError(f"there is no sample for {task!r}, only for {listed(known)}{nearest(task, known)}")
    console, began, scores = show.stdout(), time.monotonic(), {}
    for sample in SAMPLES:
        if task not in (None, sample.task):
            continue
        if not json:
            console.print(f"\n[bold]{sample.task}[/]: {sample.about}")
        with (
            as_file(files("bertsmith") / "data" / "samples" / sample.task) as folder,
            show.Watch(quiet=quiet or json) as watch,
        ):
            train, dev = (str(folder / f"{split}.{sample.suffix}") for split in ("train", "dev"))
            values = {
                "task": sample.task, "train": train, "dev": dev, "out": str(out / sample.task), "overwrite": True,
                "encoder": encoder, **sample.settings,
            }  # fmt: skip
            chosen, settings = resolve(values)
            result = api.train(chosen, settings, listen=watch.listen)
        assert result.evaluation is not None, "the samples have a dev file"
        scores[sample.task] = result.evaluation.record()
        if json:
            continue
        show.show_evaluation(console, result.evaluation, title=f"{sample.task}, dev")
        predictor = api.load(result.folder)
        for question, prediction in zip(sample.questions, predictor.predict(sample.questions), strict=True):
            shown = question if isinstance(question, str) else " | ".join(question)
            console.print(f"  {shown}\n    → {_short(prediction.record())}", markup=False)
    if json:
        show.print_json(scores)
        return
    # the demo may have been started by its path, without the folder of scripts on PATH
    program = "bertsmith" if shutil.which("bertsmith") else os.path.relpath(sys.argv[0])
    console.print(f"\nDone in {time.monotonic() - began:.0f} s. Try next:", markup=False)
    for line in (
        *(sample.prediction(out / sample.task) for sample in SAMPLES if sample.task in scores),
        "bertsmith train classify --train YOUR.csv --out runs/mine     (columns text and label; or --text and --label)",
        "bertsmith train classify --help",
    ):
        console.print(f"  {line.replace('bertsmith ', f'{program} ', 1)}", markup=False)


def _short(record: dict[str, Any]) -> str:
    if "answer" in record:
        return f"{record['answer'] or 'no answer'} ({record['probability']:.2f})"
    if "entities" in record:
        found = (f"{each['text']} = {each['type']} ({each['probability']:.2f})" for each in record["entities"])
        return ", ".join(found) or "no entity"
    if "probabilities" in record:
        return f"{record['label']} ({max(record['probabilities'].values()):.2f})"
    return f"{record['value']:.1f}"
