"""What all estimators share: settings as arguments, training on rows in memory, pickling."""

from __future__ import annotations

import os
import reprlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from bertsmith.config import Settings
from bertsmith.errors import DataError
from bertsmith.events import Said
from bertsmith.infer import Predictor
from bertsmith.infer.engine import pick_device
from bertsmith.strict import checked
from bertsmith.training import fit_examples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import BaseModel

    from bertsmith.events import Event
    from bertsmith.records import Row
    from bertsmith.tasks import Task


@dataclass(kw_only=True, eq=False, repr=False)
class BertEstimator(BaseEstimator):  # type: ignore[misc]
    """What all estimators share. The arguments are settings, by their names and defaults.

    As scikit-learn asks, `__init__` names all arguments and only stores them: a dataclass's does.
    """

    encoder: str | Path = "minilm"
    # unlike the command line's, for cross-validation already holds rows out
    dev_fraction: float = 0.0
    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 32
    group_window: int = 0
    accumulate: int = 1
    checkpointing: bool = False
    max_length: int | None = None
    learning_rate: float | None = None
    schedule: Literal["linear", "constant"] = "linear"
    warmup: float = 0.1
    weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    adam_beta2: float = 0.999
    clip: float = 1.0
    dropout: float | None = None
    layer_decay: float = 1.0
    freeze: int | Literal["encoder"] = 0
    gradual_unfreezing: bool = False
    reinit_top: int = 0
    evals_per_epoch: int = 4
    keep: Literal["best", "last"] = "best"
    patience: int | None = None
    restarts: int = 0
    seed: int = 1
    head_seed: int | None = None
    order_seed: int | None = None
    dropout_seed: int | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the trained bundle as a new folder, whole or not at all.

        Raises NotFittedError before `fit`, BundleError if the folder is there already and `overwrite` is not set.
        """
        check_is_fitted(self)
        self.bundle_.save(folder, overwrite=overwrite)

    def _arguments(self, model: type[BaseModel]) -> dict[str, Any]:
        """The arguments that are fields of `model`, of which Settings and the task share none."""
        arguments = self.get_params(deep=False).items()
        return {
            name: os.fspath(value) if isinstance(value, os.PathLike) else plain(value)
            for name, value in arguments
            if name in model.model_fields
        }

    def _fit(self, task: Task[Any, Any], rows: Sequence[Row]) -> None:
        """Train on rows that hold their targets, into ``bundle_``."""
        settings = checked(Settings, self._arguments(Settings))
        self.bundle_, _, _ = fit_examples(task, [task.read(row) for row in rows], None, settings, listen=_warn)

    def _predictions(self, rows: Sequence[Row]) -> list[Any]:
        """A task's predictions, one a row. A warning says how many texts were not read whole."""
        check_is_fitted(self)
        predictor = Predictor(self.bundle_, device=pick_device(self.device), precision=self.precision)
        answers = list(predictor.stream(rows))
        if cut := sum(answer.length.cut > 0 for answer in answers):
            limit = self.bundle_.max_length
            text = f"{cut:,} of {len(answers):,} rows are longer than {limit} tokens and were not read whole"
            warnings.warn(text, stacklevel=3)
        return [answer.prediction for answer in answers]

    def __getstate__(self) -> Any:
        """For pickle and joblib: on the CPU, so that a machine without this one's device can open it."""
        if hasattr(self, "bundle_"):
            self.bundle_.model.to("cpu")
        return super().__getstate__()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = True
        # pairs may come as an array of two columns; what this tag promises, though, is columns of numbers
        tags.input_tags.two_d_array = False
        return tags


def items_of(name: str, values: Any) -> list[Any]:
    """What a list, an array, a Series or a frame holds, row by row, as Python's own values."""
    # a list as objects, or numpy would make texts of None and of numbers between texts
    array = np.asarray(values) if hasattr(values, "__array__") else np.array(values, dtype=object)
    if array.ndim == 0:
        raise DataError(f"{name} must be a list, an array, a Series or a frame, got {reprlib.repr(values)}")
    if len(array) == 0:
        raise DataError(f"{name} must hold one row or more, got none")
    return [plain(item) for item in array.tolist()]


def plain(value: Any) -> Any:
    """Python's own values for numpy's scalars and arrays, however deep in lists these are: as parameter grids, lists of
    labels and columns of Parquet files hold them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def _warn(event: Event) -> None:
    if isinstance(event, Said) and event.warning:
        warnings.warn(event.text, stacklevel=2)
