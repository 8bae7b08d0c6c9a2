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
    from bertsmith.corpus.settings import CorpusSettings, NewEncoder
    from bertsmith.errors import BertsmithError, InputError, TrainingError
    from bertsmith.estimators import BertAnswerer, BertClassifier, BertRegressor, BertTagger
    from bertsmith.exporting import Exported, export
    from bertsmith.infer import Predictor
    from bertsmith.infer.language import (
        Coherence,
        TextScore,
        coherence,
        fill,
        next_sentence,
        pseudo_log_likelihood,
    )
    from bertsmith.pretraining import Adapted, adapt, pretrain
    from bertsmith.tasks.answer import Answer
    from bertsmith.tasks.classify import Classify
    from bertsmith.tasks.mlm import Mlm
    from bertsmith.tasks.nsp import Nsp
    from bertsmith.tasks.regress import Regress
    from bertsmith.tasks.tag import Tag

_MODULE_OF = {
    "Adapted": "pretraining",
    "Answer": "tasks.answer",
    "BertAnswerer": "estimators",
    "BertClassifier": "estimators",
    "BertRegressor": "estimators",
    "BertTagger": "estimators",
    "BertsmithError": "errors",
    "CheckReport": "checks",
    "Classify": "tasks.classify",
    "Coherence": "infer.language",
    "CorpusSettings": "corpus.settings",
    "Exported": "exporting",
    "InputError": "errors",
    "Mlm": "tasks.mlm",
    "NewEncoder": "corpus.settings",
    "Nsp": "tasks.nsp",
    "Predictor": "infer",
    "Regress": "tasks.regress",
    "Run": "api",
    "Settings": "config",
    "Tag": "tasks.tag",
    "TextScore": "infer.language",
    "TrainingError": "errors",
    "adapt": "pretraining",
    "check": "checks",
    "coherence": "infer.language",
    "evaluate": "api",
    "export": "exporting",
    "fill": "infer.language",
    "load": "api",
    "next_sentence": "infer.language",
    "pretrain": "pretraining",
    "pseudo_log_likelihood": "infer.language",
    "train": "api",
}

__all__ = [
    "Adapted",
    "Answer",
    "BertAnswerer",
    "BertClassifier",
    "BertRegressor",
    "BertTagger",
    "BertsmithError",
    "CheckReport",
    "Classify",
    "Coherence",
    "CorpusSettings",
    "Exported",
    "InputError",
    "Mlm",
    "NewEncoder",
    "Nsp",
    "Predictor",
    "Regress",
    "Run",
    "Settings",
    "Tag",
    "TextScore",
    "TrainingError",
    "__version__",
    "adapt",
    "check",
    "coherence",
    "evaluate",
    "export",
    "fill",
    "load",
    "next_sentence",
    "pretrain",
    "pseudo_log_likelihood",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'bertsmith' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bertsmith.{_MODULE_OF[name]}"), name)
