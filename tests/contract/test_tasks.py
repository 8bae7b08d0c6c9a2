"""What every task keeps to, on every encoder family. A new file in `tasks` is tested by existing.

A task needs rows of its own kind, though: give them in ROWS.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.testing import assert_close

from bertsmith import tasks
from bertsmith.batching import collate
from bertsmith.checkpoint import Pretrained, load_pretrained
from bertsmith.config import Settings
from bertsmith.errors import BertsmithError, DataError
from bertsmith.evaluation import score
from bertsmith.families import families
from bertsmith.infer import Predictor
from bertsmith.records import Place, Row
from bertsmith.strict import checked
from bertsmith.training import fit_examples
from tiny import Case, bundle_of, cases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bertsmith.bundle import Bundle
    from bertsmith.records import Encoded
    from bertsmith.tasks import Task


@dataclass(frozen=True)
class Sample:
    """Four rows that a task can learn by heart, and some that it must refuse.

    broken: rows that `read` refuses. unknown: a row whose target `check` refuses, once the four are learned. odd: a
    question of another shape. steps: in how many a tiny encoder learns them. everywhere: on every family, BERT does not
    tell enough. flat_bias: the loss
    does not depend on the bias of the head's last layer. least: the main score of rows that are known by heart; that
    of masked words is a probability, which reaches 1 but slowly. collapses: the same answer for every row is a
    collapse; of masked words the baseline is no answer, but how often each piece is there.
    """

    task: str
    rows: Sequence[Mapping[str, Any]]
    broken: Sequence[Mapping[str, Any]]
    unknown: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    odd: Mapping[str, Any] = field(default_factory=lambda: {"text": "a", "text_b": "b"})
    steps: int = 30
    flat_bias: bool = False
    everywhere: bool = False
    least: float = 0.99
    collapses: bool = True


TEXTS = (
    "A fine film, and not a minute too long.",
    "No.",
    "Dull, loud and far too long: two hours of my life.",
    "I would gladly see it again with my friends tomorrow, says the critic of the paper, and so would they all.",
)
OTHERS = ("It is what it is", "The plot is thin; the jokes are old, the end is near.", "I would.", "a man plays")


def rows_of(labels: Sequence[Any], *, pairs: bool = False) -> list[dict[str, Any]]:
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=True)]
    return [{**row, "text_b": other} for row, other in zip(rows, OTHERS, strict=True)] if pairs else rows


NO_TEXT = ({"label": "1"}, {"text": None, "label": "1"}, {"text": ["a"], "label": "1"})

QUESTIONS = ("What is dull?", "Who says so?", "Is it a film?", "What is old?")
ANSWERS = ("film", "critic", "hours", "my")


def questions(answers: Sequence[str | None]) -> list[dict[str, Any]]:
    """Questions on passages, one of them longer than a window."""
    passages = ("It is a fine film.", TEXTS[3], TEXTS[2], TEXTS[3])
    return [
        {"question": question, "passage": passage, "answers": [] if answer is None else [answer]}
        for question, passage, answer in zip(QUESTIONS, passages, answers, strict=True)
    ]


ENTITIES = {"film": "WHAT", "critic": "WHO", "friends": "WHO", "hours": "WHEN"}


def entity_tags(text: str) -> list[str]:
    """IOB2 tags of the words that are in ENTITIES, whatever stands behind them."""
    kinds = (ENTITIES.get(word.strip(".,:")) for word in text.split())
    return ["O" if kind is None else f"B-{kind}" for kind in kinds]


def decorated(text: str) -> str:
    """With characters that take several code points, or that normalisers change, before and after its words."""
    return f"👩\u200d🚀 e\u0301te\u0301 {text} 👍🏽 ﬁn"


def character_spans(text: str) -> list[list[Any]]:
    return [[text.index(word), text.index(word) + len(word), kind] for word, kind in ENTITIES.items() if word in text]


def blanks(texts: Sequence[str]) -> list[str]:
    """The texts, each with a blank for its second word, or behind its only one."""
    return [" ".join([words[0], "____", *words[2:]]) for words in map(str.split, texts)]


GRADES = (1.5, -2.0, 4.0, 0.25)
ROWS: Mapping[str, Sample] = {
    "classify": Sample(
        "classify",
        rows=rows_of(["good", "bad", "bad", "so so"]),
        broken=(*NO_TEXT, {"text": "a", "label": " "}, {"text": "a", "label": None}, {"text": "a", "label": 1.5}),
        unknown={"text": "a", "label": "god"},
    ),
    "classify, pairs": Sample(
        "classify",
        rows=rows_of([0, 1, 1, 0], pairs=True),
        broken=({"text": "a", "text_b": None, "label": 0},),
        unknown={"text": "a", "text_b": "b", "label": 2},
        odd={"text": "a"},
        options={"class_weights": "balanced", "metric": "mcc"},
    ),
    "classify, several labels": Sample(
        "classify",
        rows=rows_of(["old|long", "", "long", "old|thin|long"]),
        broken=({"text": "a", "label": "old|old"}, {"text": "a", "label": [1.5]}, {"text": "a", "label": "[1,"}),
        unknown={"text": "a", "label": "old|lang"},
        options={"multi_label": True},
    ),
    "classify, in windows": Sample(
        "classify",
        rows=rows_of(["good", "bad", "bad", "so so"]),
        broken=NO_TEXT,
        options={"long_texts": "windows", "overlap": 3},
    ),
    "regress": Sample(
        "regress",
        rows=rows_of(GRADES),
        broken=(*NO_TEXT, {"text": "a", "label": "much"}, {"text": "a", "label": "nan"}, {"text": "a", "label": True}),
    ),
    "answer": Sample(
        "answer",
        rows=questions(ANSWERS),
        broken=(
            {"question": "a", "answers": []},
            {"question": 1, "passage": "b", "answers": []},
            {"question": "a", "passage": "b", "answers": ["c"]},
            {"question": "a", "passage": "b b", "answers": "b"},
            {"question": "a", "passage": "b b", "answers": [{"text": "b", "answer_start": 1}]},
            {"question": "a", "passage": "b", "answers": [{"text": "b", "answer_start": -1}]},
            {"question": "a", "passage": "b", "answers": [{"text": "b", "answer_start": "0"}]},
            {"question": "a", "passage": "b", "answers": 3},
            {"question": "a", "passage": "b", "answers": ["b"], "is_impossible": True},
            {"question": "a", "passage": "b", "answers": [], "is_impossible": False},
            {"question": "a", "passage": "b", "answers": [], "is_impossible": "perhaps"},
        ),
        steps=120,
        flat_bias=True,
    ),
    "answer, or none": Sample(
        "answer",
        rows=questions((None, *ANSWERS[1:3], None)),
        broken=(),
        options={"overlap": 5, "n_best": 2},
        steps=120,
        flat_bias=True,
    ),
    "tag": Sample(
        "tag",
        rows=[{"words": text.split(), "tags": entity_tags(text)} for text in TEXTS],
        broken=(
            {"tags": ["O"]},
            {"words": 3, "tags": ["O"]},
            {"words": ["a", ""], "tags": ["O", "O"]},
            {"words": ["at"], "text": "a cat", "tags": ["O"]},
            {"words": ["a", None], "tags": ["O", "O"]},
            {"words": ["a", "b"], "tags": ["O"]},
            {"words": ["a"], "tags": [1.5]},
            {"words": ["a"], "tags": [""]},
            {"words": ["a"], "spans": [[0, 1, "X"]]},
        ),
        unknown={"words": ["a", "b"], "tags": ["O", "B-WHOM"]},
        odd={"text": ["a"]},  # it takes texts among words
        steps=120,
    ),
    "tag, plain": Sample(
        "tag",
        rows=[{"words": text, "tags": [str(min(len(word), 3)) for word in text.split()]} for text in TEXTS],
        broken=(),
        unknown={"words": "a b", "tags": "1 4"},
        odd={"text": ["a"]},
        options={"pieces": "mean", "overlap": 3},
        steps=120,
    ),
    "tag, spans of a text": Sample(
        "tag",
        rows=[{"text": text, "spans": character_spans(text)} for text in map(decorated, TEXTS)],
        broken=(
            {"text": "a b", "spans": [[0, 4, "X"]]},
            {"text": "a b", "spans": [[1, 1, "X"]]},
            {"text": "a b", "spans": [[1, 2, "X"]]},
            {"text": "a b", "spans": [[0, 1]]},
            {"text": "a b", "spans": [["0", 1, "X"]]},
            {"text": "a b", "spans": [[0, 2, "X"], [0, 1, "Y"]]},
            {"text": "a b", "spans": "X"},
        ),
        options={"pieces": "last"},
        odd={"text": ["a"]},
        steps=400,
        everywhere=True,
    ),
    "mlm": Sample(
        "mlm",
        rows=[{"text": text} for text in blanks(TEXTS)],
        broken=({"label": "1"}, {"text": None}, {"text": ["a ____"]}),
        odd={"text": "nothing to fill in"},
        options={"mask_share": 0.3},
        steps=600,
        least=0.8,
        collapses=False,
    ),
    "mlm, whole words": Sample(
        "mlm",
        rows=[{"text": text} for text in blanks(TEXTS)],
        broken=(),
        odd={"text": "nothing to fill in"},
        options={"whole_words": True, "random_words": "uniform", "mask_share": 0.3, "top": 2},
        steps=600,
        least=0.8,
        collapses=False,
    ),
    "nsp": Sample(
        "nsp",
        rows=[
            {"text": text, "text_b": text_b, "is_next": is_next}
            for text, text_b, is_next in zip(blanks(TEXTS), OTHERS, (1, 0, "no", True), strict=True)
        ],
        broken=(
            {"text": "a", "is_next": 1},
            {"text": "a", "text_b": None, "is_next": 1},
            {"text": "a", "text_b": "b", "is_next": "perhaps"},
            {"text": "a", "text_b": "b", "is_next": 2},
            {"text": "a", "text_b": "b", "is_next": None},
        ),
        odd={"text": "a ____"},
        options={"mask_share": 0.3},
        steps=600,
        least=0.8,
    ),
    "regress, pairs in windows": Sample(
        "regress",
        rows=rows_of(GRADES, pairs=True),
        broken=({"text": "a", "text_b": 3, "label": 1.0},),
        odd={"text": "a"},
        options={"long_texts": "windows", "overlap": 2},
    ),
}
# less than the longest text has pieces, so that some are cut or come in windows
MAX_LENGTH = 24

BERT = Case(families()["bert"])
# every task on every family that has its head; of a task's further samples, BERT tells enough
BY_HEART = [
    pytest.param(sample, case, id=f"{name}-{case}")
    for name, sample in ROWS.items()
    for case in cases()
    if tasks.task_class(sample.task).head_kind in case.family.heads
    if name == sample.task or sample.everywhere or case == BERT
]

SAMPLES = pytest.mark.parametrize("sample", ROWS.values(), ids=ROWS)


def place(number: int) -> Place:
    return Place("rows.jsonl", number)


def task_of(sample: Sample) -> Task[Any, Any]:
    task: Task[Any, Any] = checked(tasks.task_class(sample.task), sample.options)
    return task


def examples_of(sample: Sample) -> list[Any]:
    task = task_of(sample)
    return [task.read(Row(values, place(number))) for number, values in enumerate(sample.rows, start=1)]


@pytest.fixture(scope="module")
def bert(tiny_checkpoint: Callable[[Case], Path]) -> Pretrained:
    """A BERT that no test trains."""
    return load_pretrained(tiny_checkpoint(BERT))


def learned_by(sample: Sample, pretrained: Pretrained) -> Task[Any, Any]:
    """The task as training teaches it: what is in the examples, and in their pieces."""
    task, examples = task_of(sample).learn(examples_of(sample)), examples_of(sample)
    return task.learn_pieces(trained_on(task, examples, pretrained), pretrained.tokenizer)


def trained_on(task: Task[Any, Any], examples: Sequence[Any], pretrained: Pretrained) -> Sequence[Sequence[Encoded]]:
    """The sequences of the examples that are trained on."""
    encoded = task.encode(examples, pretrained.tokenizer, max_length=MAX_LENGTH)
    return task.for_training(examples, encoded).encoded


def step_of(task: Task[Any, Any], examples: Sequence[Any], pretrained: Pretrained) -> Sequence[Sequence[Encoded]]:
    """The same as one step of training sees them, what is random in them drawn."""
    encoded = trained_on(task, examples, pretrained)
    draw = task.drawing(encoded, pretrained.tokenizer)
    return encoded if draw is None else draw(range(len(examples)), 1, 0)


def scored_by(predictor: Predictor, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The predictions that can be scored."""
    of_rows = [Row(values, place(number)) for number, values in enumerate(rows, start=1)]
    return [answer.prediction for answer in predictor.stream(of_rows, scoring=True)]


def without_label(sample: Sample) -> list[dict[str, Any]]:
    """The rows with what a task may demand to predict, and no more."""
    spared = {item.name for item in task_of(sample).inputs if item.needed_to_train and not item.required}
    return [{name: value for name, value in row.items() if name not in spared} for row in sample.rows]


def fit(sample: Sample, folder: Path, **changes: Any) -> Bundle:
    settings = {
        "encoder": str(folder), "max_steps": sample.steps, "batch_size": 4, "learning_rate": 5e-3, "weight_decay": 0.0,
        "dropout": 0.0, "max_length": MAX_LENGTH, "dev_fraction": 0.0, **changes,
    }  # fmt: skip
    bundle, _, _ = fit_examples(task_of(sample), examples_of(sample), None, Settings(**settings))
    return bundle


def assert_same(found: Sequence[Any], expected: Sequence[Any], *, tolerance: float) -> None:
    """Predictions as they are written: numbers are the same within a tolerance, the rest is equal."""

    def compare(one: Any, other: Any) -> None:
        assert type(one) is type(other)
        if isinstance(one, float):
            assert one == pytest.approx(other, abs=tolerance, rel=tolerance)
        elif isinstance(one, dict | list):
            assert len(one) == len(other)
            for key in one if isinstance(one, dict) else range(len(one)):
                compare(one[key], other[key])
        else:
            assert one == other

    compare(*(json.loads(json.dumps([prediction.record() for prediction in each])) for each in (found, expected)))


@pytest.mark.parametrize("name", tasks.names())
def test_has_rows_here(name: str) -> None:
    assert name in {sample.task for sample in ROWS.values()}, (
        f"the task {name!r} has no rows: add some to ROWS in {__file__}, and every contract is tested with them"
    )


@pytest.mark.parametrize("name", tasks.names())
def test_says_what_it_is(name: str) -> None:
    kind = tasks.task_class(name)
    assert kind.name == name
    assert kind.summary
    assert {item.name for item in kind.inputs if item.required}
    for item in kind.inputs:
        assert item.help, item.name
        assert item.names == tuple(each.lower() for each in item.names)
    for option, info in kind.options().items():
        assert info.description, option
        assert option not in Settings.model_fields
        assert option not in {item.name for item in kind.inputs}


@SAMPLES
def test_options_and_what_was_learned_survive_json(sample: Sample, bert: Pretrained) -> None:
    task = learned_by(sample, bert)
    again = tasks.task_class(sample.task).model_validate_json(json.dumps(task.model_dump(mode="json")))
    assert again == task
    assert task.learn(examples_of(sample)) == task, "learning twice is learning once"
    assert "counts" not in task.options()


@SAMPLES
def test_errors_name_the_row(sample: Sample, bert: Pretrained) -> None:
    for number, values in enumerate(sample.broken, start=7):
        with pytest.raises(DataError, match=rf"^rows\.jsonl:{number}:"):
            task_of(sample).read(Row(values, place(number)))
    if sample.unknown is not None:
        example = task_of(sample).read(Row(sample.unknown, place(99)))
        with pytest.raises(DataError, match=r"^rows\.jsonl:99:"):
            learned_by(sample, bert).check([*examples_of(sample), example])


@SAMPLES
def test_a_row_of_another_shape_is_named(sample: Sample, bert: Pretrained) -> None:
    """A pair among single texts, or a single text among pairs, fails by name and not by a wrong answer."""
    predictor = Predictor(bundle_of(learned_by(sample, bert), bert, max_length=MAX_LENGTH))
    with pytest.raises(BertsmithError, match="question 2"):
        predictor.predict([*without_label(sample)[:1], sample.odd])


@SAMPLES
def test_content_is_the_texts_of_a_row(sample: Sample, bert: Pretrained) -> None:
    """What `bertsmith check` compares; of a task whose content is empty, it would find nothing."""
    for task in (task_of(sample), learned_by(sample, bert)):
        for example in examples_of(sample):
            content = task.content(example)
            assert content, f"{sample.task}: content() gives no text: are the inputs in `asked` fields of an example?"
            assert all(text.strip() for text in content)
            assert {*task.sources(example)} <= {*content}


@SAMPLES
def test_scores(sample: Sample, bert: Pretrained) -> None:
    """A scorer gives the same names for any rows, the main one among them, and the baseline can be scored."""
    task, examples = learned_by(sample, bert), examples_of(sample)
    baseline = task.baseline(examples)
    assert baseline is not None
    assert len(baseline) == len(examples)
    evaluation = score(task, examples, baseline, resamples=20)
    assert task.main_score() in evaluation.scores.values
    assert set(evaluation.scores.baseline) == set(evaluation.scores.values)
    assert bool(task.collapsed(examples, baseline)) is sample.collapses, "the same answer for every row is a collapse"
    json.dumps(evaluation.record(), allow_nan=False)


@SAMPLES
def test_calibration_never_makes_it_worse(sample: Sample, bert: Pretrained) -> None:
    task, examples = learned_by(sample, bert), examples_of(sample)
    bundle = bundle_of(task, bert, max_length=MAX_LENGTH)
    before = scored_by(Predictor(bundle), sample.rows)
    calibrated = task.calibrate(examples, before)
    after = scored_by(Predictor(replace(bundle, task=calibrated)), sample.rows)
    found, given = (score(task, examples, each, resamples=0).scores.main_value for each in (after, before))
    assert found >= given
    assert calibrated.model_validate_json(json.dumps(calibrated.model_dump(mode="json"))) == calibrated


@SAMPLES
def test_what_transformers_is_told(sample: Sample, bert: Pretrained) -> None:
    task = learned_by(sample, bert)
    said = task.to_transformers()
    again = tasks.task_class(sample.task).from_transformers(said)
    assert again is not None
    assert again.to_transformers() == said
    forms = families()["bert"].heads
    alike = [name for name in tasks.names() if forms[tasks.task_class(name).head_kind] == forms[task.head_kind]]
    claims = [name for name in alike if tasks.task_class(name).from_transformers(said) is not None]
    assert claims == [sample.task], "a model of transformers must be of one task"


@pytest.mark.parametrize(("sample", "case"), BY_HEART)
def test_learns_four_rows_by_heart(
    case: Case, sample: Sample, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    """… and then answers the same whatever the batch, the order, or the process it is loaded in."""
    bundle = fit(sample, tiny_checkpoint(case))
    task, examples, predictor = bundle.task, examples_of(sample), Predictor(bundle)
    rows = without_label(sample)
    predictions = predictor.predict(rows)
    scored = scored_by(predictor, rows)
    assert score(task, examples, scored, resamples=0).scores.main_value > sample.least
    assert task.collapsed(examples, scored) is None

    assert_same(predictor.predict(sample.rows), predictions, tolerance=0)  # labels are not looked at
    assert_same(predictor.predict(rows[::-1])[::-1], predictions, tolerance=1e-5)
    assert_same([answer for row in rows for answer in predictor.predict([row])], predictions, tolerance=1e-5)
    assert_same(predictor.predict(rows * 40)[-4:], predictions, tolerance=1e-5)
    assert_same(scored_by(predictor, sample.rows), scored, tolerance=0)
    assert_same([answer for row in rows for answer in scored_by(predictor, [row])], scored, tolerance=1e-4)

    bundle.save(tmp_path / "saved")
    loaded = Predictor.load(tmp_path / "saved")
    assert loaded.bundle.task == task
    assert_same(loaded.predict(rows), predictions, tolerance=1e-6)
    assert_same(scored_by(loaded, rows), scored, tolerance=1e-6)

    for prediction in predictions:
        probabilities = getattr(prediction, "probabilities", None)
        if isinstance(probabilities, dict) and not getattr(task, "multi_label", False):
            assert max(probabilities, key=probabilities.__getitem__) == prediction.label
            assert sum(probabilities.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("sample", "case"), BY_HEART)
def test_every_parameter_learns(case: Case, sample: Sample, tiny_checkpoint: Callable[[Case], Path]) -> None:
    pretrained, examples = load_pretrained(tiny_checkpoint(case)), examples_of(sample)
    task = learned_by(sample, pretrained)
    encoded = step_of(task, examples, pretrained)
    batch = collate([sequence for sequences in encoded for sequence in sequences], examples)
    model = bundle_of(task, pretrained, max_length=MAX_LENGTH).model
    loss = task.loss(model.head, model.hidden(batch.id_T, batch.segment_T, batch.layout), batch)
    assert loss.targets > 0
    loss.total.backward()  # type: ignore[no-untyped-call]
    # adding the same to all scores of a softmax over tokens changes nothing, so a bias of one has no gradient to have
    flat = {"head.output.bias"} if sample.flat_bias else set()
    moved = {name for name, part in model.named_parameters() if part.grad is not None and part.grad.any()}
    still = [name for name, _ in model.named_parameters() if name not in moved | flat]
    assert not still, f"no gradient for {still}"


@SAMPLES
def test_losses_add_up(sample: Sample, bert: Pretrained) -> None:
    """The loss of a batch is the sum of its rows' losses, and so are its targets: a step may be computed in parts."""
    task, examples = learned_by(sample, bert), examples_of(sample)
    bundle, encoded = bundle_of(task, bert, max_length=MAX_LENGTH), step_of(task, examples, bert)

    def loss_of(rows: Sequence[int]) -> tuple[torch.Tensor, float]:
        batch = collate([sequence for row in rows for sequence in encoded[row]], examples)
        hidden = bundle.model.hidden(batch.id_T, batch.segment_T, batch.layout)
        loss = task.loss(bundle.model.head, hidden, batch)
        return loss.total.detach(), float(loss.targets)

    total, targets = loss_of([2, 0, 3, 1])
    parts = [loss_of([row]) for row in range(4)]
    assert_close(torch.stack([part for part, _ in parts]).sum(), total, atol=1e-5, rtol=1e-5)
    assert sum(part for _, part in parts) == pytest.approx(targets)


@SAMPLES
def test_the_same_seed_gives_the_same_bits(sample: Sample, tiny_checkpoint: Callable[[Case], Path]) -> None:
    torch.manual_seed(1)
    one = fit(sample, tiny_checkpoint(BERT), max_steps=6, dropout=0.2)
    torch.manual_seed(2)
    two = fit(sample, tiny_checkpoint(BERT), max_steps=6, dropout=0.2)
    assert one.task == two.task
    assert_close(one.model.state_dict(), two.model.state_dict(), atol=0, rtol=0)
    another = fit(sample, tiny_checkpoint(BERT), max_steps=6, dropout=0.2, seed=2)
    matrices = [name for name, tensor in one.model.head.state_dict().items() if tensor.ndim > 1]
    assert matrices
    for name in matrices:
        assert not torch.equal(one.model.head.state_dict()[name], another.model.head.state_dict()[name]), name
