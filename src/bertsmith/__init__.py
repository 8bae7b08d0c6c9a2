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
    from bertsmith.checks import CheckReport, check
    from bertsmith.config import Settings
    from bertsmith.errors import BertsmithError, InputError, TrainingError
    from bertsmith.estimators import BertAnswerer, BertClassifier, BertRegressor, BertTagger
    from bertsmith.infer import Predictor
    from bertsmith.tasks.answer import Answer
    from bertsmith.tasks.classify import Classify
    from bertsmith.tasks.regress import Regress
    from bertsmith.tasks.tag import Tag

_MODULE_OF = {
    "Answer": "tasks.answer",
    "BertAnswerer": "estimators",
    "BertClassifier": "estimators",
    "BertRegressor": "estimators",
    "BertTagger": "estimators",
    "BertsmithError": "errors",
    "CheckReport": "checks",
    "Classify": "tasks.classify",
    "InputError": "errors",
    "Predictor": "infer",
    "Regress": "tasks.regress",
    "Run": "api",
    "Settings": "config",
    "Tag": "tasks.tag",
    "TrainingError": "errors",
    "check": "checks",
    "evaluate": "api",
    "load": "api",
    "train": "api",
}

__all__ = [
    "Answer",
    "BertAnswerer",
    "BertClassifier",
    "BertRegressor",
    "BertTagger",
    "BertsmithError",
    "CheckReport",
    "Classify",
    "InputError",
    "Predictor",
    "Regress",
    "Run",
    "Settings",
    "Tag",
    "TrainingError",
    "__version__",
    "check",
    "evaluate",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'bertsmith' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bertsmith.{_MODULE_OF[name]}"), name)
