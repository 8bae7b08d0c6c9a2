"""`classify`: labels by name, weighted losses like torch's, thresholds that are the best there are."""

from __future__ import annotations

import itertools
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sklearn.metrics
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from bertsmith.batching import collate
from bertsmith.errors import DataError, SettingsError
from bertsmith.infer.engine import predict_encoded
from bertsmith.records import Place, Row
from bertsmith.tasks.classify import Classification, Classify, _best_threshold
from small_runs import examples_of, labelled, model_of, prepared

if TYPE_CHECKING:
    from bertsmith.nn.heads import Model
    from bertsmith.tasks import Loss
    from bertsmith.training.loop import Prepared


def read(value: Any, **options: Any) -> tuple[str, ...]:
    example = Classify(**options).read(Row({"text": "a film", "label": value}, Place("train.tsv", 17)))
    assert example.target is not None
    return example.target


def learned(targets: list[Any], **options: Any) -> Classify:
    rows = [("a film", target if isinstance(target, tuple) else (target,)) for target in targets]
    return Classify(**options).learn(examples_of(rows))


@pytest.mark.parametrize(
    ("value", "name"),
    [("pos", "pos"), ("  pos ", "pos"), ("1", "1"), (1, "1"), (1.0, "1"), (-3, "-3"), (True, "true"), ("True", "True")],
)
def test_a_label_is_a_name(value: Any, name: str) -> None:
    assert read(value) == (name,)
    assert read([value], multi_label=True) == (name,)
    if not isinstance(value, str):
        assert read(value, multi_label=True) == (name,)


def test_text_stays_as_it_is_written() -> None:
    # '1.0' of a TSV file and 1.0 of a JSONL file: a name, and a number
    assert read("1.0") == ("1.0",)
    assert read("007") == ("007",)


@pytest.mark.parametrize("value", [1.5, math.nan, math.inf, None, ["pos"], {"pos": 1}])
def test_what_is_no_label(value: Any) -> None:
    with pytest.raises(DataError, match=r"^train\.tsv:17: the label must be a name or a whole number, got"):
        read(value)


@pytest.mark.parametrize("value", [1.5, None, {"pos": 1}, [["pos"]], ["pos", None]])
def test_what_is_no_label_among_several(value: Any) -> None:
    with pytest.raises(DataError, match=r"^train\.tsv:17: the label must be a name or a whole number, got"):
        read(value, multi_label=True)


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_label(value: str) -> None:
    with pytest.raises(DataError, match=r"^train\.tsv:17: the label is empty"):
        read(value)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", ()),
        ("  ", ()),
        ([], ()),
        ("[]", ()),
        ("a", ("a",)),
        ("a|b", ("a", "b")),
        (" b | a ", ("b", "a")),
        ("a||b|", ("a", "b")),
        ('["a", "b|c"]', ("a", "b|c")),
        (' [1, 2.0, true]', ("1", "2", "true")),
        (["a", 2], ("a", "2")),
    ],
)  # fmt: skip
def test_several_labels(value: Any, names: tuple[str, ...]) -> None:
    assert read(value, multi_label=True) == names


def test_another_separator() -> None:
    assert read("a|b, c", multi_label=True, separator=",") == ("a|b", "c")


@pytest.mark.parametrize("value", ["a|b|a", ["a", "a"], "[1, 1.0]"])
def test_a_label_named_twice(value: Any) -> None:
    with pytest.raises(DataError, match=r"^train\.tsv:17: label .* names a label twice"):
        read(value, multi_label=True)


def test_what_begins_like_a_list() -> None:
    with pytest.raises(DataError, match=r"^train\.tsv:17: label '\[a' begins like a JSON list but is none"):
        read("[a", multi_label=True)
    assert read("[a") == ("[a",)


def test_labels_in_their_order_whatever_the_order_of_the_rows() -> None:
    names = ["10", "2", "-1", "b", "a", "B", "1.5"]
    for order in itertools.islice(itertools.permutations(names), 0, None, 500):
        assert learned(list(order)).labels == ("-1", "2", "10", "1.5", "B", "a", "b")


def test_a_number_of_hundreds_of_digits_is_a_label_like_any_other() -> None:
    assert learned(["9" * 400, "2", "a"]).labels == ("2", "9" * 400, "a")


def test_counts_stand_in_the_order_of_the_labels() -> None:
    task = learned(["b", "a", "b"])
    assert (task.labels, task.counts, task.rows) == (("a", "b"), (1, 2), 3)


@pytest.mark.parametrize(
    ("targets", "options"), [(["a", "a"], {}), (["a"], {"labels": ("a",)}), ([()], {"multi_label": True})]
)
def test_too_few_labels(targets: list[Any], options: dict[str, Any]) -> None:
    found = "(only the label '.*'|no label)"
    with pytest.raises(DataError, match=rf"^rows: the rows hold {found}; a classifier needs . or more"):
        learned(targets, **options)


def test_labels_given_twice() -> None:
    with pytest.raises(SettingsError, match="labels must differ"):
        learned(["a", "b"], labels=("a", "b", "a"))


def test_a_label_of_dev_alone_says_where_and_which_is_near() -> None:
    task = learned(["positive", "negative"])
    dev = examples_of([("a film", ("negative",)), ("a plot", ("postive",))], source="dev.tsv")
    with pytest.raises(DataError) as caught:
        task.check(dev)
    assert str(caught.value) == (
        "dev.tsv:3: label 'postive' is not one of 'negative', 'positive'; did you mean 'positive'?"
    )
    learned(["positive", "negative"], labels=("negative", "positive", "postive")).check(dev)


def test_given_labels_keep_their_order_and_those_without_rows() -> None:
    task = learned(["a", "b"], labels=("c", "b", "a"))
    assert (task.labels, task.counts) == (("c", "b", "a"), (0, 1, 1))
    assert torch.isfinite(task.model_copy(update={"class_weights": "balanced"})._weights()).all()


def test_a_weight_of_an_unknown_label() -> None:
    with pytest.raises(SettingsError, match=r"class_weights: 'b ' is not one of 'a', 'b'; did you mean 'b'"):
        learned(["a", "b"], class_weights={"b ": 1.0})


@given(st.lists(st.sampled_from("abc"), min_size=3, max_size=30).filter(lambda targets: len(set(targets)) > 1))
def test_balanced_weights_are_those_of_scikit_learn(targets: list[str]) -> None:
    task = learned(list(targets), class_weights="balanced")
    expected = compute_class_weight("balanced", classes=np.array(task.labels), y=np.array(targets))
    np.testing.assert_allclose(task._weights().numpy(), expected, rtol=1e-6)


def loss_of(task: Classify, data: Prepared, model: Model) -> tuple[Loss, torch.Tensor]:
    """The loss of all rows at once, and their logits in the order of the rows."""
    batch = collate([sequence for sequences in data.encoded for sequence in sequences], data.examples)
    hidden = model.hidden(batch.id_T, batch.segment_T, batch.layout)
    logits = model.head(hidden, batch.layout)["logits"]
    order = [data.examples.index(example) for example in batch.examples]
    return task.loss(model.head, hidden, batch), logits[torch.tensor(order).argsort()]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("class_weights", ["none", "balanced", {"neg": 3.0}])
def test_loss_of_classes_is_torchs(smoothing: float, class_weights: Any) -> None:
    rows = labelled(12, longest=20)
    task = Classify(class_weights=class_weights, label_smoothing=smoothing)
    task = task.learn(examples_of([(text, (label,)) for text, label in rows]))
    data = prepared(task, examples_of([(text, (label,)) for text, label in rows]))
    loss, logits = loss_of(task, data, model_of(task).eval())

    weight = None
    if class_weights == "balanced":
        counts = [sum(label == name for _, label in rows) for name in ("neg", "pos")]
        weight = torch.tensor([12 / (2 * count) for count in counts])
    elif class_weights != "none":
        weight = torch.tensor([3.0, 1.0])
    target = torch.tensor([("neg", "pos").index(label) for _, label in rows])
    expected = F.cross_entropy(logits, target, weight=weight, label_smoothing=smoothing)
    torch.testing.assert_close(loss.total / loss.targets, expected)


def test_loss_of_several_labels_is_torchs() -> None:
    rows = [("good film", ("a", "b")), ("the plot", ()), ("a very bad song of the film", ("b",)), ("it is", ("c",))]
    task = Classify(multi_label=True, class_weights={"a": 2.0, "b": 0.5}).learn(examples_of(rows))
    loss, logits = loss_of(task, prepared(task, examples_of(rows)), model_of(task).eval())

    target = torch.tensor([[1.0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]])
    weight = torch.tensor([2.0, 0.5, 1])
    expected = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)
    torch.testing.assert_close(loss.total / loss.targets, expected)


@pytest.mark.parametrize("multi_label", [False, True])
def test_labels_and_probabilities_agree(multi_label: bool) -> None:
    rows = [(text, (label,)) for text, label in labelled(30)]
    task = Classify(multi_label=multi_label).learn(examples_of(rows))
    data = prepared(task, examples_of(rows))
    model = model_of(task)
    predictions = predict_encoded(task, model, data.examples, data.encoded)
    logits = loss_of(task, data, model.eval())[1].detach().double()
    expected = torch.sigmoid(logits) if multi_label else logits.softmax(1)

    for prediction, row in zip(predictions, expected.tolist(), strict=True):
        assert list(prediction.probabilities) == ["neg", "pos"]
        assert list(prediction.probabilities.values()) == pytest.approx(row, abs=1e-6)
        if multi_label:
            assert prediction.labels == tuple(label for label, p in prediction.probabilities.items() if p >= 0.5)
        else:
            assert sum(prediction.probabilities.values()) == pytest.approx(1)
            assert prediction.label == max(prediction.probabilities, key=prediction.probabilities.__getitem__)


def test_records_are_json() -> None:
    answer = Classification(labels=("a", "b"), probabilities={"a": 0.75, "b": 0.5}, truncated=True)
    assert answer.label == "a|b"
    assert json.loads(json.dumps(answer.record())) == {
        "label": "a|b", "probabilities": {"a": 0.75, "b": 0.5}, "truncated": True,
    }  # fmt: skip


def f1(truth: np.ndarray[Any, Any], chosen: np.ndarray[Any, Any]) -> float:
    return float(2 * (truth & chosen).sum() / max(1, truth.sum() + chosen.sum()))


# far from 0 and 1, in both ends, equal ones, and floats with no other between them
PROBABILITIES = (
    st.floats(0, 1) | st.sampled_from([0.0, 0.5, math.nextafter(0.5, 1), math.nextafter(0.5, 0), 1.0, 1e-9, 1 - 1e-9])
)  # fmt: skip


@given(st.lists(st.tuples(st.booleans(), PROBABILITIES), min_size=1, max_size=20))
@settings(max_examples=150)
def test_no_threshold_has_a_better_f1(rows: list[tuple[bool, float]]) -> None:
    truth, probability = np.array([right for right, _ in rows]), np.array([p for _, p in rows])
    threshold = _best_threshold(truth, probability, otherwise=0.3)
    if not truth.any():
        assert threshold == 0.3
    else:
        best = max(f1(truth, probability >= cut) for cut in probability)
        assert f1(truth, probability >= threshold) == pytest.approx(best)


def test_thresholds_are_tuned_only_if_asked_for() -> None:
    examples = examples_of([("good", ("a",)), ("fine", ("a", "b")), ("bad", ("b",)), ("dull", ())])
    predictions = [Classification((), {"a": a, "b": b}) for a, b in [(0.3, 0.6), (0.2, 0.9), (0.1, 0.95), (0.0, 0.8)]]
    task = Classify(multi_label=True).learn(examples)
    assert task.thresholds == (0.5, 0.5)
    assert task.calibrate(examples, predictions) is task
    tuned = task.model_copy(update={"tune_thresholds": True}).calibrate(examples, predictions)
    assert list(tuned.thresholds) == pytest.approx([0.15, 0.85])


def test_scores_of_classes_are_those_of_scikit_learn() -> None:
    targets = ["a", "b", "c", "a", "a", "b"]
    given_labels = ["a", "a", "c", "a", "b", "b"]
    task = learned(targets)
    examples = examples_of([("film", (label,)) for label in targets])
    answers = [Classification((label,), {}) for label in given_labels]
    scores = task.scorer(examples, answers)(np.arange(6))
    assert scores["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(targets, given_labels))
    assert scores["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(targets, given_labels, average="macro"))
    assert scores["mcc"] == pytest.approx(sklearn.metrics.matthews_corrcoef(targets, given_labels))
    report = sklearn.metrics.classification_report(targets, given_labels, output_dict=True)
    for label, found in task.details(examples, answers).items():
        expected = report[label]
        assert found == {
            "precision": pytest.approx(expected["precision"]),
            "recall": pytest.approx(expected["recall"]),
            "f1": pytest.approx(expected["f1-score"]),
            "support": expected["support"],
        }


@given(st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc"))), min_size=1, max_size=12))
@settings(max_examples=30)
def test_scores_of_several_labels_are_those_of_scikit_learn(rows: list[tuple[set[str], set[str]]]) -> None:
    task = Classify(multi_label=True, labels=("a", "b", "c"), counts=(1, 1, 1), rows=3, thresholds=(0.5,) * 3)
    examples = examples_of([("film", tuple(wanted)) for wanted, _ in rows])
    answers = [Classification(tuple(found), {}) for _, found in rows]
    truth = np.array([[label in wanted for label in "abc"] for wanted, _ in rows])
    chosen = np.array([[label in found for label in "abc"] for _, found in rows])
    scores = task.scorer(examples, answers)(np.arange(len(rows)))
    for name in ("macro", "micro"):
        expected = sklearn.metrics.f1_score(truth, chosen, average=name, zero_division=0)
        assert scores[f"{name}_f1"] == pytest.approx(expected)
    assert scores["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(truth, chosen))
    details = task.details(examples, answers)
    precision, recall, f1_scores, support = sklearn.metrics.precision_recall_fscore_support(
        truth, chosen, zero_division=0
    )
    for place, label in enumerate("abc"):
        assert list(details[label].values()) == pytest.approx(
            [precision[place], recall[place], f1_scores[place], support[place]]
        )


def test_f1_of_the_second_of_two_labels() -> None:
    task = learned(["0", "1", "1"])
    examples = examples_of([("film", (label,)) for label in "011"])
    scores = task.scorer(examples, [Classification((label,), {}) for label in "001"])(np.arange(3))
    assert scores["f1[1]"] == pytest.approx(2 / 3)


def test_main_scores() -> None:
    assert Classify().main_score() == "accuracy"
    assert Classify(multi_label=True).main_score() == "macro_f1"
    assert Classify(metric="mcc").main_score() == "mcc"


def test_the_baseline_is_the_commonest_label_of_training() -> None:
    task = learned(["b", "a", "b"])
    (answer,) = task.baseline(examples_of([("film", ("a",))])) or ()
    assert (answer.label, dict(answer.probabilities)) == ("b", {"a": 0.0, "b": 1.0})
    several = learned([("a", "b"), ("b",), (), ("b",)], multi_label=True)
    (answer,) = several.baseline(examples_of([("film", ())])) or ()
    assert answer.labels == ("b",)
    assert Classify(labels=("a", "b")).baseline(examples_of([("film", ("a",))])) is None, "trained elsewhere"


def test_what_is_a_collapse() -> None:
    task = learned(["a", "b"])
    both, one = examples_of([("film", ("a",)), ("plot", ("b",))]), examples_of([("film", ("a",)), ("plot", ("a",))])
    same, other = Classification(("a",), {}), Classification(("b",), {})
    assert task.collapsed(both, [same, same]) == "collapsed: every text is answered with 'a'"
    assert task.collapsed(both, [same, other]) is None
    assert task.collapsed(one, [same, same]) is None


def test_a_metric_that_the_task_does_not_give() -> None:
    with pytest.raises(SettingsError, match="metric must be accuracy or macro_f1 with multi_label, got 'mcc'"):
        learned(["a", "b"], multi_label=True, metric="mcc")


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(SettingsError, match=r"label_smoothing must be 0 with multi_label, got 0\.1"):
        learned(["a", "b"], multi_label=True, label_smoothing=0.1)
    with pytest.raises(SettingsError, match="tune_thresholds must be false without multi_label"):
        learned(["a", "b"], tune_thresholds=True)
