"""`regress`: standardised inside, in the data's units outside."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.batching import collate
from bertsmith.errors import DataError
from bertsmith.infer.engine import predict_encoded
from bertsmith.records import Place, Row
from bertsmith.tasks.regress import Estimate, Regress
from bertsmith.training import fit
from small_runs import examples_of, model_of, prepared, settings_of, texts, weights


def read(value: Any) -> float:
    target = Regress().read(Row({"text": "a film", "label": value}, Place("train.tsv", 17))).target
    assert target is not None
    return target


@pytest.mark.parametrize(("value", "number"), [("3.5", 3.5), (" 2 ", 2.0), ("-1e3", -1000.0), (4, 4.0), (0.25, 0.25)])
def test_targets(value: Any, number: float) -> None:
    assert read(value) == number


@pytest.mark.parametrize(
    "value",
    ["", "good", "nan", "inf", "-Infinity", "1,5", "1_000", "9" * 400, math.nan, math.inf, True, None, [1.0], 10**400],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_what_is_no_target_says_where(value: Any) -> None:
    with pytest.raises(DataError, match=r"^train\.tsv:17: label .* is not a finite number"):
        read(value)


@pytest.mark.parametrize("target", [0.0, 0.1, 1 / 3, -7e9])
@pytest.mark.parametrize("rows", [1, 3, 7])
def test_equal_targets_are_an_error(target: float, rows: int) -> None:
    with pytest.raises(DataError, match=rf"^rows: all {rows} targets are .*; there is nothing to learn"):
        Regress().learn(examples_of([("a film", target)] * rows))


def test_mean_and_deviation_are_those_of_the_training_targets() -> None:
    targets = [1.0, 2.5, 4.0, 0.0]
    task = Regress().learn(examples_of([("a film", target) for target in targets]))
    assert [task.mean, task.deviation] == pytest.approx([np.mean(targets), np.std(targets)])


def test_loss_is_the_squared_error_in_deviations() -> None:
    examples = examples_of([("good film", 5.0), ("the bad plot", 1.0), ("it is a very fine song", 4.5)])
    task = Regress().learn(examples)
    data, model = prepared(task, examples), model_of(task).eval()
    batch = collate([sequence for sequences in data.encoded for sequence in sequences], examples)
    hidden = model.hidden(batch.id_T, batch.segment_T, batch.layout)
    loss = task.loss(model.head, hidden, batch)
    estimate = model.head(hidden, batch.layout)["logits"].squeeze(1) / task.deviation
    target = torch.tensor([example.target for example in batch.examples]) / task.deviation
    torch.testing.assert_close(loss.total / loss.targets, F.mse_loss(estimate, target))


@pytest.mark.parametrize(("scale", "shift"), [(1000.0, 0.0), (1e-3, 0.0), (2.0, 500.0), (-1.0, 3.0)])
def test_units_do_not_matter_and_answers_are_in_those_of_the_data(scale: float, shift: float) -> None:
    rows = texts(40)
    found = []
    for unit, offset in ((1.0, 0.0), (scale, shift)):
        examples = examples_of([(text, feeling * unit + offset) for text, feeling in rows])
        task = Regress().learn(examples)
        data, model = prepared(task, examples), model_of(task, dropout=0.0)
        # a mirrored target is the same task with a mirrored last layer
        with torch.no_grad():
            model.get_parameter("head.output.weight").mul_(math.copysign(1, unit))
        fit(task, model, data, None, settings_of(max_steps=15, dropout=0.0))
        answers = predict_encoded(task, model, examples, data.encoded)
        found.append(np.array([answer.value for answer in answers]))
    np.testing.assert_allclose(found[1], found[0] * scale + shift, rtol=1e-2, atol=1e-2 * abs(scale))
    targets = np.array([feeling for _, feeling in rows])
    assert np.corrcoef(found[0], targets)[0, 1] > 0.5


def test_untrained_answers_lie_about_the_mean() -> None:
    examples = examples_of([(text, 1000.0 + feeling) for text, feeling in texts(20)])
    task = Regress().learn(examples)
    data, model = prepared(task, examples), model_of(task)
    for answer in predict_encoded(task, model, examples, data.encoded):
        assert abs(answer.value - task.mean) < 10 * task.deviation


def test_the_bundles_head_gives_the_units_by_its_weights_alone() -> None:
    examples = examples_of([(text, 100.0 * feeling) for text, feeling in texts(10)])
    task = Regress().learn(examples)
    data, model = prepared(task, examples), model_of(task)
    before = [answer.value for answer in predict_encoded(task, model, examples, data.encoded)]
    model.head.from_checkpoint(model.head.to_checkpoint())
    after = [answer.value for answer in predict_encoded(task, model, examples, data.encoded)]
    np.testing.assert_allclose(after, before, rtol=1e-4)
    assert weights(model).keys() == weights(model_of(task)).keys()


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=20))
def test_scores(pairs: list[tuple[int, int]]) -> None:
    examples = examples_of([("a film", float(target)) for target, _ in pairs])
    scores = Regress().scorer(examples, [Estimate(float(value)) for _, value in pairs])(np.arange(len(pairs)))
    assert scores["mse"] == pytest.approx(np.mean([(target - value) ** 2 for target, value in pairs]))
    assert set(scores) == {"pearson", "spearman", "mse"}
    assert Regress().main_score() == "pearson"


def test_what_is_a_collapse() -> None:
    examples = examples_of([("a film", 1.0), ("the plot", 5.0)])
    assert Regress().collapsed(examples, [Estimate(3.0), Estimate(3.001)]) == (
        "collapsed: every text is answered with about 3"
    )
    assert Regress().collapsed(examples, [Estimate(3.0), Estimate(3.5)]) is None


def test_the_baseline_is_the_mean_of_training() -> None:
    examples = examples_of([("a film", 1.0), ("the plot", 5.0)])
    assert Regress().learn(examples).baseline(examples) == [Estimate(3.0)] * 2
