"""Tasks: one file each. A file in this folder whose name has no leading underscore defines ``TASK``, a `Task`.

Training, evaluation and prediction all go through the same methods, so what serves is what was trained:

    row ─read▶ example ─encode▶ [encoded …] ─collate▶ batch ─encoder▶ hidden ─head▶ output ─decode▶ prediction
                                                                         └─loss▶ gradient      ─scorer▶ scores
"""

from __future__ import annotations

import importlib
import operator
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bertsmith.errors import CheckpointError, InputError, SettingsError, listed, nearest
from bertsmith.records import Row
from bertsmith.strict import Strict

if TYPE_CHECKING:
    import torch
    from pydantic.fields import FieldInfo
    from torch import Tensor

    from bertsmith.batching import Batch
    from bertsmith.families import HeadForm
    from bertsmith.nn.encoder import EncoderConfig
    from bertsmith.nn.heads import Head
    from bertsmith.records import Encoded, Finding, Input, Place
    from bertsmith.tokenizer import Tokenizer

ExampleT = TypeVar("ExampleT")
PredictionT = TypeVar("PredictionT")

# Row numbers (with repeats, as a bootstrap draws them) to the scores of those rows; None where one is undefined.
Scorer: TypeAlias = Callable[[NDArray[np.int64]], Mapping[str, float | None]]
Output: TypeAlias = Mapping[str, NDArray[np.float32]]
# What a library user may ask about: a text, several (a pair, a question and its passage), or a task's inputs by name.
Question: TypeAlias = str | Sequence[str] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Loss:
    """The sum of a batch's losses and how many targets it is of; a step divides by the targets of all its parts."""

    total: Tensor
    targets: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """The sequences of every example that are trained on, none of some examples; and what to say of the choice."""

    encoded: Sequence[Sequence[Encoded]]
    remarks: Sequence[str] = ()


# Row numbers to the sequences of each, what is random in them drawn anew: a pure function of rows, seed and epoch, so
# that a resumed run draws the same. The rows are those of a whole step.
Draw: TypeAlias = Callable[[Sequence[int], int, int], Sequence[Sequence["Encoded"]]]


def option(default: Any, help: str, *, at_use: bool = False, **bounds: Any) -> Any:  # noqa: A002
    """A task's option: a flag of the command line and a key of run.toml, by its name.

    at_use: it may differ from training when a trained model is used, as how much of long texts is read.
    """
    return Field(default=default, description=help, json_schema_extra={"at_use": at_use}, **bounds)


def learned(default: Any) -> Any:
    """What a task learns from the training data, and a bundle keeps."""
    return Field(default=default, json_schema_extra={"learned": True})


class Task(Strict, Generic[ExampleT, PredictionT]):
    """One use of an encoder: its options and what it learned from the data, frozen.

    name: as on the command line. example: a command that trains it, on files of its usual form. head_kind: which of a
    family's head forms it takes. part: what `details` are of. decides: what `agreeing` counts, for messages. inputs:
    what it reads from a row. asked: the inputs that unnamed texts are, in their order. scores: their names.
    tuned_on_dev: options that ask for dev rows. sums_sequences: the loss of a row is the sum of its sequences' losses,
    so that they need not be in one batch.
    Every example has a `target` (None where its row has none) and a `place`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    example: ClassVar[str]
    head_kind: ClassVar[str]
    part: ClassVar[str] = "label"
    decides: ClassVar[str] = "rows"
    sums_sequences: ClassVar[bool] = False
    inputs: ClassVar[tuple[Input, ...]]
    asked: ClassVar[tuple[str, ...]]
    scores: ClassVar[tuple[str, ...]]
    tuned_on_dev: ClassVar[tuple[str, ...]] = ()
    below_baseline: ClassVar[str] = "do the labels mean the same here as in training?"

    def read(self, row: Row) -> ExampleT:
        """A typed example of a row; its target is None where the row has none. May raise DataError."""
        raise NotImplementedError

    @classmethod
    def ask(cls, question: Question, place: Place) -> Row:
        """A row of what a library user asks, without the targets, which prediction never reads.

        Raises InputError, naming the place, for what is no question.
        """
        if isinstance(question, Mapping):
            targets = {each.name for each in cls.inputs if each.needed_to_train and not each.required}
            return Row({name: value for name, value in question.items() if name not in targets}, place)
        texts = (question,) if isinstance(question, str | bytes) else question  # bytes are refused as no string
        least = sum(each.required for each in cls.inputs if each.name in cls.asked)
        if not isinstance(texts, Sequence) or not least <= len(texts) <= len(cls.asked):
            wanted = " and ".join(cls.asked[:least]) + "".join(f", perhaps {name}" for name in cls.asked[least:])
            raise InputError(f"wanted {wanted}, or a mapping of them, got {question!r}", place=place)
        return Row(dict(zip(cls.asked, texts, strict=False)), place)

    def wanted_inputs(self) -> tuple[Input, ...]:
        """The inputs that rows for this task, having learned, must have."""
        return self.inputs

    def learn(self, examples: Sequence[ExampleT]) -> Self:
        """This task with what the training examples teach (label names, mean of the targets). May raise DataError."""
        raise NotImplementedError

    def check(self, examples: Sequence[ExampleT]) -> None:
        """Raises DataError for the first example whose target this task, having learned, does not know."""
        raise NotImplementedError

    def remarks(self, examples: Sequence[ExampleT]) -> Sequence[str]:
        """What to warn of in a set of examples before it is used."""
        return ()

    def content(self, example: ExampleT) -> tuple[str, ...]:
        """The texts that make a row what it is: rows of the same texts are duplicates.

        Left as it is: those of the inputs in `asked` that the example holds as texts, under the same names.
        """
        texts = (getattr(example, name, None) for name in self.asked)
        return tuple(text for text in texts if isinstance(text, str))

    def sources(self, example: ExampleT) -> tuple[str, ...]:
        """Of `content`, texts that many rows may share within one file (the passage of a question).

        That two files share one is leakage, however the rows differ.
        """
        return ()

    def classes(self, example: ExampleT) -> Sequence[str]:
        """The names in a row's target that are counted and compared between files; () where targets are no names."""
        return ()

    def contradicts(self, examples: Sequence[ExampleT]) -> Callable[[Any, Any], bool]:
        """Tells of two targets, among rows like these, whether they contradict each other for one and the same text."""
        return operator.ne

    def findings(self, examples: Sequence[ExampleT]) -> Sequence[Finding]:
        """What a check of a file's data finds that only this task knows of, once it has learned."""
        return ()

    def encode(self, examples: Sequence[ExampleT], tokenizer: Tokenizer, *, max_length: int) -> list[list[Encoded]]:
        """The sequences of every example, `owner` being its position: one, or several windows of a long text."""
        raise NotImplementedError

    def for_training(self, examples: Sequence[ExampleT], encoded: Sequence[Sequence[Encoded]]) -> Chosen:
        """Which of the sequences of the training examples are trained on; most tasks train on all."""
        return Chosen(encoded)

    def learn_pieces(self, encoded: Sequence[Sequence[Encoded]], tokenizer: Tokenizer) -> Self:
        """This task with what the sequences of the training examples teach; most learn from the examples alone."""
        return self

    def drawing(self, encoded: Sequence[Sequence[Encoded]], tokenizer: Tokenizer) -> Draw | None:
        """How what is random in the training sequences (which words are masked) is drawn in each step; None if nothing
        is."""
        return None

    def for_scoring(self, encoded: Sequence[Sequence[Encoded]], tokenizer: Tokenizer) -> Sequence[Sequence[Encoded]]:
        """The sequences from which examples are answered to be scored; for most tasks those of any question.

        What is masked in them depends on nothing but the sequence itself.
        """
        return encoded

    def head(self, config: EncoderConfig, form: HeadForm, *, dropout: float) -> Head:
        """A new head, its weights not yet set. Its `reads` says which tokens it sees."""
        raise NotImplementedError

    def start_head(self, head: Head, *, deviation: float, generator: torch.Generator) -> None:
        """Set a new head's weights at random, before those that pretraining already made are copied in."""
        raise NotImplementedError

    def loss(self, head: Head, hidden: Tensor, batch: Batch) -> Loss:
        """The loss of a batch's examples, from the hidden states that the head reads."""
        raise NotImplementedError

    def decode(self, example: ExampleT, encoded: Sequence[Encoded], outputs: Sequence[Output]) -> PredictionT:
        """The prediction of an example from the head's outputs of each of its sequences."""
        raise NotImplementedError

    def spelled(self, prediction: PredictionT, example: ExampleT, tokenizer: Tokenizer) -> PredictionT:
        """A prediction with the pieces in it written out, for those who asked."""
        return prediction

    def calibrate(self, examples: Sequence[ExampleT], predictions: Sequence[PredictionT]) -> Self:
        """This task with what the dev set tunes after training (thresholds, say); most tasks tune nothing."""
        return self

    def decide(self, prediction: PredictionT) -> PredictionT:
        """A prediction as this task, calibrated since it was made, would have decided it."""
        return prediction

    def tuned(self) -> str | None:
        """What to say of what `calibrate` tuned; None if it tunes nothing."""
        return None

    def untuned(self) -> str | None:
        """What to say if there are no dev rows for `calibrate`; None if nothing waits for them."""
        return None

    def agreeing(self, examples: Sequence[ExampleT]) -> Callable[[PredictionT, PredictionT], Sequence[bool]]:
        """Tells of two predictions for a row, among rows like these, which of its decisions are the same in both.

        Left as it is, there is one decision a row: all of the prediction.
        """
        return lambda one, other: [one == other]

    def baseline(self, examples: Sequence[ExampleT]) -> Sequence[PredictionT] | None:
        """What one predicts without a model: the commonest label or the mean of the training data.

        None where the training data is not known, as for a model that transformers trained.
        """
        raise NotImplementedError

    def collapsed(self, examples: Sequence[ExampleT], predictions: Sequence[PredictionT]) -> str | None:
        """What to say of predictions that are all the same although the targets are not; None if they are sound."""
        raise NotImplementedError

    def main_score(self) -> str:
        """The name of the score, higher being better, by which the best state of a run is picked."""
        raise NotImplementedError

    def scorer(self, examples: Sequence[ExampleT], predictions: Sequence[PredictionT]) -> Scorer:
        """A function from row numbers to scores, the same ones for every call."""
        raise NotImplementedError

    def target_record(self, target: Any) -> Any:
        """A target as a prediction's record would give it, for files in which both stand."""
        return target

    def details(
        self, examples: Sequence[ExampleT], predictions: Sequence[PredictionT]
    ) -> Mapping[str, Mapping[str, float]]:
        """Scores a part (precision, recall, F1 and support of every label, say), for tables."""
        return {}

    @classmethod
    def from_transformers(cls, config: Mapping[str, Any]) -> Self | None:
        """The task of a model that transformers saved, from its config.json; None if it is not of this task.

        May raise CheckpointError for labels that are none.
        """
        return None

    def to_transformers(self) -> Mapping[str, Any]:
        """The keys of config.json that tell transformers what the head's outputs mean."""
        return {}

    @classmethod
    def options(cls, *, at_use: bool = False) -> Mapping[str, FieldInfo]:
        """The fields that are options, not learned, by name; with `at_use` those that a trained model may change."""
        wanted = (True,) if at_use else (True, False)
        return {name: info for name, info in cls.model_fields.items() if _extra(info).get("at_use") in wanted}


def _extra(info: FieldInfo) -> Mapping[str, Any]:
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def label_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of a model that transformers saved, in the order of its outputs.

    transformers leaves out what it takes for granted: two labels. Raises CheckpointError if they are in no order.
    """
    id2label = config.get("id2label")
    if id2label is None:
        count = config.get("num_labels", 2)
        if type(count) is not int or not 1 <= count <= 1_000_000:
            raise CheckpointError(f"num_labels must be a whole number from 1 to 1000000, got {count!r}")
        return tuple(f"LABEL_{number}" for number in range(count))
    numbers = {str(number) for number in range(len(id2label))} if isinstance(id2label, dict) else set()
    if not numbers or set(id2label) != numbers or len({str(label) for label in id2label.values()}) < len(numbers):
        raise CheckpointError(f"id2label must map '0', '1', '2' … to labels that differ, got {str(id2label)[:200]}")
    return tuple(str(id2label[str(number)]) for number in range(len(id2label)))


def names() -> list[str]:
    """The names of all tasks, found by scanning this folder; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def task_class(name: str) -> type[Task[Any, Any]]:
    """The task of this name. Raises SettingsError for an unknown one, with the nearest known name."""
    if name not in names():
        raise SettingsError(f"unknown task {name!r}; the tasks are {listed(names())}{nearest(str(name), names())}")
    found: type[Task[Any, Any]] = importlib.import_module(f"{__name__}.{name}").TASK
    return found
