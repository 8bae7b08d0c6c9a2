"""bertsmith: fine-tune BERT-family encoders on your texts, and use what comes out.

    import bertsmith

    run = bertsmith.train("classify", bertsmith.Settings(train="train.tsv", dev="dev.tsv", out="runs/mine"))
    model = bertsmith.load("runs/mine")
    model.predict(["a fine film"])

Names are imported when they are first used, so that ``import bertsmith`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bertsmith.api import Run, evaluate, load, train
    from bertsmith.config import Settings
    from bertsmith.errors import BertsmithError, InputError, TrainingError
    from bertsmith.estimators import BertClassifier, BertRegressor
    from bertsmith.infer import Predictor
    from bertsmith.tasks.classify import Classify
    from bertsmith.tasks.regress import Regress

_MODULE_OF = {
    "BertClassifier": "estimators",
    "BertRegressor": "estimators",
    "BertsmithError": "errors",
    "Classify": "tasks.classify",
    "InputError": "errors",
    "Predictor": "infer",
    "Regress": "tasks.regress",
    "Run": "api",
    "Settings": "config",
    "TrainingError": "errors",
    "evaluate": "api",
    "load": "api",
    "train": "api",
}

__all__ = [
    "BertClassifier",
    "BertRegressor",
    "BertsmithError",
    "Classify",
    "InputError",
    "Predictor",
    "Regress",
    "Run",
    "Settings",
    "TrainingError",
    "__version__",
    "evaluate",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'bertsmith' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bertsmith.{_MODULE_OF[name]}"), name)
