"""The settings of a training run: one flat, strict set of names, the same as flags and in run.toml."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, ConfigDict, Field

from bertsmith import tasks
from bertsmith.data import FormatName, Quoting, ReadOptions
from bertsmith.errors import SettingsError, listed, nearest
from bertsmith.strict import Strict, checked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bertsmith.tasks import Task


def _text_of_path(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


# `nn.precision` says what they are in torch
Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

# TOML and the command line both give paths as text
FilePath = Annotated[Path, Field(strict=False)]


class Settings(Strict):
    """Everything about a run but the task's own options. Every default is the literature's; docs/settings.md tells."""

    model_config = ConfigDict(allow_inf_nan=False)

    train: FilePath | None = Field(
        default=None,
        description="the rows to learn from: .csv, .tsv, .jsonl, .parquet, .conll, .conllu, .json (also .gz)",
    )
    dev: FilePath | None = Field(
        default=None,
        description="the rows that pick the best state; left out, dev_fraction of train is held out",
    )
    dev_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="the share of train held out where no dev is given; 0 for none"
    )
    encoder: Annotated[str, BeforeValidator(_text_of_path)] = Field(
        default="minilm", description="a folder, minilm (packaged) or org/name on the hub"
    )
    out: FilePath | None = Field(default=None, description="the folder that the trained bundle is written to")
    overwrite: bool = Field(default=False, description="replace an existing out folder")

    columns: dict[str, str] = Field(
        default_factory=dict, description="column of each input by name or number from 1, where not guessed"
    )
    format: FormatName = Field(
        default="auto",
        description="the files' format: auto (by suffix), csv, tsv, jsonl, parquet, conll, conllu, squad or lines",
    )
    header: bool | None = Field(default=None, description="whether line 1 names the columns; left out, found out")
    delimiter: str | None = Field(default=None, description="what stands between columns; left out, by format")
    quoting: Quoting = Field(
        default="auto", description="whether quotation marks enclose fields: auto, csv (they do) or none"
    )
    encoding: str = Field(default="utf-8", description="the files' character encoding")

    epochs: float = Field(default=3.0, gt=0, le=10_000, description="how often the training rows are seen")
    max_steps: int | None = Field(default=None, ge=1, description="end after so many steps, instead of epochs")
    batch_size: int = Field(default=32, ge=1, le=65_536, description="rows in a step")
    group_window: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="batches that exchange rows so that each holds like lengths: faster, less random; 0 for none",
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        description="parts that a batch is computed in, for less memory; the gradient is the same",
    )
    checkpointing: bool = Field(
        default=False,
        description="compute each layer once more for its gradient, for less memory and a quarter to a third more time",
    )
    max_length: int | None = Field(
        default=None, ge=4, description="most tokens of a sequence; left out, the encoder's limit, up to 512"
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="the highest rate; left out, by width: 1e-4 small, 3e-5 base, 2e-5 large",
    )
    schedule: Literal["linear", "constant"] = Field(
        default="linear", description="the rate after warm-up: linear (to zero) or constant"
    )
    warmup: float = Field(default=0.1, ge=0, le=1, description="the share of the steps in which the rate rises")
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="decay of weights, not of biases and norms")
    adam_epsilon: float = Field(default=1e-8, gt=0, le=1, description="epsilon of AdamW")
    adam_beta2: float = Field(default=0.999, ge=0, lt=1, description="how slowly AdamW forgets squared gradients")
    clip: float = Field(default=1.0, gt=0, description="the largest norm of a step's gradient")
    dropout: float | None = Field(default=None, ge=0, lt=1, description="all dropout; left out, as config.json says")

    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="factor of the rate from each layer to the next lower"
    )
    freeze: Annotated[int, Field(ge=0)] | Literal["encoder"] = Field(
        default=0,
        description="how many lower layers stay as they are, embeddings with them; or encoder, for all",
    )
    gradual_unfreezing: bool = Field(
        default=False, description="train the head first, then one more layer from the top in each epoch"
    )
    reinit_top: int = Field(default=0, ge=0, description="how many top layers start at random")

    adapt: bool = Field(default=False, description="first train the encoder on with masked words of the training texts")
    adapt_epochs: float = Field(
        default=100.0, gt=0, le=10_000, description="how often adapt sees the training texts (Gururangan et al. 2020)"
    )

    evals_per_epoch: int = Field(default=4, ge=1, le=1000, description="how often dev is scored in an epoch")
    keep: Literal["best", "last"] = Field(default="best", description="the state to keep: best on dev, or last")
    patience: int | None = Field(default=None, ge=1, description="stop after so many dev scores without a better one")
    restarts: int = Field(default=0, ge=0, le=20, description="how often a collapsed run starts anew, seed + 1")

    seed: int = Field(default=1, ge=0, description="the seed of all that is random")
    head_seed: int | None = Field(default=None, ge=0, description="seed of the head's first weights alone")
    order_seed: int | None = Field(default=None, ge=0, description="seed of the order of the rows alone")
    dropout_seed: int | None = Field(default=None, ge=0, description="seed of dropout alone")

    precision: Precision = Field(
        default="auto",
        description="of matrix products: bf16 or fp32; auto is bf16 where the processor has it. Weights are fp32",
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps …")
    threads: int | None = Field(default=None, ge=1, le=1024, description="processor threads; left out, torch's choice")
    save_every: int | None = Field(
        default=None, ge=1, description="steps between saved states to resume from; left out, every 5 minutes"
    )
    tensorboard: bool = Field(default=False, description="write TensorBoard events beside metrics.jsonl, too")

    @classmethod
    def hint(cls, name: str) -> str:
        """Where a name belongs that is no setting of every run."""
        kinds = [tasks.task_class(each) for each in tasks.names()]
        having = [kind.__name__ for kind in kinds if name in kind.options()]
        if having:
            return f"; it is an option of the task, as in {' or '.join(f'{kind}({name}=…)' for kind in having)}"
        for kind in kinds:
            if name in (each.name for each in kind.inputs):
                return f"; a column is named as in columns={{{name!r}: 'COLUMN'}}"
        if name == "preset":
            return f"; a preset's settings are given by name, as in **PRESETS['stable'] of {__name__}"
        return super().hint(name)

    @property
    def reading(self) -> ReadOptions:
        """How the files are read."""
        return ReadOptions(
            format=self.format,
            header=self.header,
            delimiter=self.delimiter,
            quoting=self.quoting,
            encoding=self.encoding,
        )


# Sets of settings under one name; what is given beside a preset goes before it.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Mosbach et al. 2021: small data sets want a low rate, many epochs, warm-up and the best state
    "stable": {"epochs": 20.0, "learning_rate": 2e-5, "warmup": 0.1, "keep": "best"},
    # the encoder as a feature extractor: only the head learns, so its rate may be high
    "features": {"freeze": "encoder", "epochs": 10.0, "learning_rate": 1e-3},
    # a first look
    "quick": {"max_steps": 100},
}


def resolve(values: Mapping[str, Any], *, source: str = "") -> tuple[Task[Any, Any], Settings]:
    """The task and the settings that a flat set of names asks for, as in run.toml.

    values: ``task``, optionally ``preset``, and any name of Settings, of the task's options or of its inputs (whose
    value is a column). Raises SettingsError for an unknown name, with the nearest known one, and for a value of a
    wrong type or out of range; `source` is where they were written.
    """
    at = f"{source}: " if source else ""
    values = dict(values)
    task_name = values.pop("task", None)
    if task_name is None:
        raise SettingsError(f"{at}'task' is missing; it is one of {listed(tasks.names())}")
    try:
        kind = tasks.task_class(task_name)
    except SettingsError as error:
        raise SettingsError(f"{at}{error}") from None
    preset = values.pop("preset", None)
    if preset is not None and preset not in list(PRESETS):
        raise SettingsError(
            f"{at}preset must be one of {listed(PRESETS)}, got {preset!r}{nearest(str(preset), PRESETS)}"
        )
    of_preset = dict(PRESETS[preset]) if preset else {}
    if "epochs" in values:
        of_preset.pop("max_steps", None)  # it would go before the epochs that were asked for
    values = {**of_preset, **values}
    options = {name: values.pop(name) for name in list(values) if name in kind.options()}
    columns = values.pop("columns", {})
    if not isinstance(columns, dict):
        raise SettingsError(f"{at}columns must be a table of inputs and their columns, got {columns!r}")
    columns = {**columns, **{item.name: values.pop(item.name) for item in kind.inputs if item.name in values}}
    for name, column in columns.items():
        if isinstance(column, bool) or not isinstance(column, str | int):
            raise SettingsError(f"{at}{name} must be a column's name or its number, got {column!r}")
        columns[name] = str(column)
    known = {*Settings.model_fields, *kind.options(), *(item.name for item in kind.inputs), "task", "preset"}
    for name, value in values.items():
        if name not in Settings.model_fields and isinstance(value, dict):
            raise SettingsError(f"{at}[{name}] is a table; settings stand at the top of the file, in none")
        if name not in Settings.model_fields:
            raise SettingsError(f"{at}unknown setting {name!r}{nearest(name, known)}")
    return checked(kind, options, at=at), checked(Settings, {**values, "columns": columns}, at=at)


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, names with ``_`` or ``-``. Raises SettingsError if it is missing or not TOML."""
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except (IsADirectoryError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from None
    values: dict[str, Any] = {}
    for name, value in written.items():
        plain = name.replace("-", "_")
        if plain in values:
            raise SettingsError(f"{path}: {plain!r} is there twice, as {plain.replace('_', '-')!r} too")
        values[plain] = value
    return values


def write_toml(task: Task[Any, Any], settings: Settings) -> str:
    """The resolved settings as run.toml holds them: every name with its value, None left out."""
    options = {name: getattr(task, name) for name in task.options()}
    plain = settings.model_dump(mode="python", exclude={"columns"})
    return toml_of({"task": task.name, **plain, **options, **settings.columns})


def toml_of(values: Mapping[str, Any]) -> str:
    """A TOML file of these names, None left out."""
    return "".join(f"{name} = {_toml(value)}\n" for name, value in values.items() if value is not None)


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case Path() | str():
            # a TOML basic string has JSON's escapes
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case dict():
            return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
        case _:
            raise TypeError(f"no TOML for {value!r}")
