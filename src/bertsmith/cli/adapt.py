"""``bertsmith adapt``, and what it shares with ``bertsmith pretrain``."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter
from rich.table import Table

from bertsmith import pretraining
from bertsmith.cli import show
from bertsmith.cli.flags import flag, of_settings, parse, with_flags
from bertsmith.cli.stopping import plain, settings_of_stopped, stop_on_signal
from bertsmith.config import Settings, read_toml
from bertsmith.corpus.settings import PRESETS, CorpusSettings, NewEncoder
from bertsmith.errors import SettingsError
from bertsmith.tasks.mlm import Mlm

if TYPE_CHECKING:
    import inspect
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo

    from bertsmith.pretraining import Adapted

# In this order.
PANELS = {
    name: Group(name, sort_key=place)
    for place, name in enumerate(("Corpus", "New encoder", "Objective", "Run", "Training"))
}
RUN_FLAGS = ("encoder", "out", "overwrite", "device", "threads", "save_every", "tensorboard")


def run(arguments: list[str]) -> None:
    """Train an encoder on with the words of a corpus."""
    parse(with_flags(adapt, [*flags_of("adapt"), _preset()]), "adapt", arguments)


def adapt(
    *corpus: Annotated[Path, Parameter(help="files of text (.txt, .jsonl, .parquet, .csv, .tsv), or folders of them")],
    config: Annotated[Path | None, Parameter(help="a TOML file of settings; flags go before it")] = None,
    resume: Annotated[Path | None, Parameter(help="go on with a run that was stopped, by its out folder")] = None,
    json: Annotated[
        bool, Parameter(help="print the result as one JSON object", negative=(), show_default=False)
    ] = False,
    quiet: Annotated[bool, Parameter(help="no progress, warnings alone", negative=(), show_default=False)] = False,
    **flags: Any,
) -> None:
    """Train an encoder on with the masked words of a corpus, before it is fine-tuned for a task of that domain.

    bertsmith adapt abstracts.txt --encoder minilm --out runs/medical, then: bertsmith train … --encoder runs/medical

    Blank lines part the documents of plain text. Every flag is a key of a settings file, with _ for -.
    """
    train("adapt", corpus, flags, config=config, resume=resume, json=json, quiet=quiet)


def train(
    command: str,
    files: Sequence[Path],
    flags: Mapping[str, Any],
    *,
    config: Path | None,
    resume: Path | None,
    json: bool,
    quiet: bool,
) -> None:
    """Adapt or pretrain, and show what came of it."""
    if resume is not None:
        if files or flags or config:
            raise SettingsError("--resume takes the settings of the run it goes on with; give no others beside it")
        values = settings_of_stopped(command, resume)
    else:
        written = read_toml(config) if config else {}
        if written.get("command", command) != command:
            raise SettingsError(f"{config}: its command is {written['command']!r}, not {command!r}")
        if written:  # alone first, so that the file is not blamed for a flag
            pretraining.resolve_corpus(written, command=command, source=str(config))
        values = {**written, **plain(flags)}
        if files:
            values["corpus"] = [str(file) for file in files]
    corpus, new, task, settings = pretraining.resolve_corpus(values, command=command)
    with show.Watch(quiet=quiet or json) as watch, stop_on_signal(watch) as stop:
        again = resume is not None
        if command == "adapt":
            made = pretraining.adapt(corpus, task, settings, resume=again, listen=watch.listen, stop=stop)
        else:
            made = pretraining.pretrain(corpus, new, task, settings, resume=again, listen=watch.listen, stop=stop)
    if json:
        after = made.evaluation.record() if made.evaluation else None
        show.print_json({"out": str(made.folder), "steps": made.fit.steps, "before": made.before, "held_out": after})
    else:
        _show(made, quiet=quiet)


def flags_of(command: str) -> list[inspect.Parameter]:
    """The flags of the corpus, the objective, the run and the training."""
    fields = {
        name: _described(field, pretraining.DEFAULTS.get(name, field.default), DESCRIBED.get(name))
        for name, field in Settings.model_fields.items()
        if name not in pretraining.NOT_HERE
    }
    corpus = {name: field for name, field in CorpusSettings.model_fields.items() if name != "corpus"}
    corpus["dev_fraction"] = fields.pop("dev_fraction")
    flags = of_settings(corpus, group=PANELS["Corpus"])
    flags.append(flag("next_sentence", bool, _NEXT[command], group=PANELS["Objective"]))
    flags += of_settings(
        {name: field for name, field in Mlm.options().items() if name != "top"}, group=PANELS["Objective"]
    )
    if command == "pretrain":
        flags += of_settings(NewEncoder.model_fields, group=PANELS["New encoder"])
    of_run = {name: fields.pop(name) for name in RUN_FLAGS}
    if command == "pretrain":
        del of_run["encoder"]
    flags += of_settings(of_run, group=PANELS["Run"])
    return flags + of_settings(fields, group=PANELS["Training"])


def _described(field: FieldInfo, default: Any, description: str | None) -> FieldInfo:
    """The field with what is true of it here."""
    here = copy(field)
    here.default, here.description = default, description or field.description
    return here


# What of the settings is another thing here than where rows have labels.
DESCRIBED = {
    "dev_fraction": "share of the documents that is held out, if no --held-out is given; 0 for none",
    "evals_per_epoch": "how often the held-out rows are scored in an epoch",
    "keep": "the state to keep: best on the held-out rows, or last",
    "patience": "stop after so many held-out scores without a better one",
    "epochs": "how often the corpus is seen",
    "learning_rate": "the highest rate; left out, by width: 5e-4 small, 1e-4 base and large",
    "out": "the folder that is written: a bundle, and an encoder to train on from",
}

_NEXT = {
    "adapt": "learn whether one text follows another, too; of encoders of the BERT family alone",
    "pretrain": "learn whether one text follows another, too [default: true]",
}


def _preset() -> inspect.Parameter:
    return flag(
        "preset", str, f"settings to start from: {', '.join(PRESETS)} (Gururangan et al. 2020)", group="Training"
    )


def _show(made: Adapted, *, quiet: bool) -> None:
    console = show.stdout()
    if made.evaluation is not None:
        scores = made.evaluation.scores
        table = Table(title=f"held out: {scores.rows:,} rows", title_justify="left")
        for column in ("score", "before", "after", "95 % interval", "unigrams alone"):
            table.add_column(column, justify="left" if column == "score" else "right")
        for name, score in scores.values.items():
            without = scores.baseline.get(name)
            table.add_row(
                name,
                show.number((made.before or {}).get(name)),
                show.number(score.value),
                show.interval(score),
                show.number(without.value if without else None),
            )
        console.print(table)
    console.print(f"saved {made.folder}", markup=False)
    if not quiet:
        console.print(f'try: bertsmith fill {made.folder} "the ____ of the study"', markup=False)
        console.print(f"     bertsmith train TASK --encoder {made.folder} --train FILE --out DIR", markup=False)
