"""`answer`: its rows, its windows, the search for the best span, and no answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.checkpoint import load_pretrained
from bertsmith.errors import DataError, SettingsError
from bertsmith.evaluation import score
from bertsmith.families import families
from bertsmith.infer.engine import predict_encoded
from bertsmith.records import Encoded, Place, Row
from bertsmith.tasks.answer import Answer, Answered, Candidate, Gold, QuestionExample
from tiny import Case, bundle_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bertsmith.tokenizer import Tokenizer

PLACE = Place("qa.jsonl", 7)
PASSAGE = "The lamp was lit in 1066 by Zoë 👩‍🚀 of Łódź; in 1066 nobody else saw it, e\u0301tait dit."


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Callable[[Case], Path]) -> Tokenizer:
    return load_pretrained(tiny_checkpoint(Case(families()["bert"]))).tokenizer


def read(**values: Any) -> QuestionExample:
    return Answer().read(Row({"question": "Who lit it?", "passage": PASSAGE, **values}, PLACE))


def example(passage: str, *golds: Gold, question: str = "Who lit it?") -> QuestionExample:
    return QuestionExample(question, passage, tuple(golds), PLACE)


ZOE = PASSAGE.index("Zoë")


@pytest.mark.parametrize(
    "answers",
    [
        [{"text": "Zoë", "answer_start": ZOE}],
        [{"text": "Zoë", "start": ZOE}],
        {"text": ["Zoë"], "answer_start": [ZOE]},
        {"text": "Zoë", "answer_start": ZOE},
        ["Zoë"],
        "Zoë",
    ],
    ids=str,
)
def test_forms_of_answers(answers: Any) -> None:
    assert read(answers=answers).target == (Gold("Zoë", ZOE),)


@pytest.mark.parametrize(
    "values",
    [
        {"answers": []},
        {"answers": ""},
        {"answers": [], "is_impossible": True},
        {"is_impossible": True},
        {"answers": {"text": [], "answer_start": []}, "is_impossible": "true"},
    ],
    ids=str,
)
def test_forms_of_no_answer(values: dict[str, Any]) -> None:
    assert read(**values).target == ()


def test_without_answers_there_is_no_target() -> None:
    assert read().target is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"answers": "1066"}, "answer 1 '1066' is 2 times in the passage: give its answer_start"),
        ({"answers": "Zoe"}, "answer 1 'Zoe' is not in the passage"),
        (
            {"answers": [{"text": "Zoë", "answer_start": ZOE + 1}]},
            rf"answer 1 'Zoë' is not at answer_start {ZOE + 1}, where the passage has 'oë '; it is at {ZOE}",
        ),
        (
            {"answers": [{"text": "Max", "answer_start": 0}]},
            "where the passage has 'The'; it is nowhere in the passage",
        ),
        ({"answers": [{"text": "Zoë", "answer_start": "28"}]}, "answer_start must be a whole number, got '28'"),
        ({"answers": [{"text": "Zoë", "answer_start": True}]}, "answer_start must be a whole number, got True"),
        ({"answers": ["Zoë", {"text": " "}]}, "answer 2 must be a text, got {'text': ' '}"),
        ({"answers": 7}, "answers must be texts, or texts with their answer_start, got 7"),
        ({"answers": None}, "got None; [], an empty list, says that there is no answer"),
        ({"answers": ["Zoë"], "is_impossible": True}, "is_impossible is true, but there are 1 answers"),
        ({"answers": [], "is_impossible": False}, "is_impossible is false, but there is no answer"),
        ({"answers": [], "is_impossible": "maybe"}, "is_impossible must be true or false, got 'maybe'"),
        ({"answers": [], "is_impossible": 3}, "is_impossible must be true or false, got 3"),
    ],
)
def test_what_is_no_answer_is_said_with_its_place(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=r"^qa\.jsonl:7: ") as caught:
        read(**values)
    assert message in str(caught.value)


def test_no_question_with_an_answer_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="no question has an answer"):
        Answer().learn([example("a passage")])


def test_overlap_must_leave_room(tokenizer: Tokenizer) -> None:
    with pytest.raises(SettingsError, match="overlap must be at least 0 and less than"):
        Answer(overlap=40).encode([example(PASSAGE)], tokenizer, max_length=32)


def outputs_for(encoded: list[Encoded], score_N2: np.ndarray[Any, Any], no_answer: float) -> list[dict[str, Any]]:
    """Outputs that give each piece of the passage these scores in whatever window it is."""
    outputs = []
    for window in encoded:
        logits = np.full((len(window), 2), 50.0, dtype=np.float32)  # no span may begin or end in the question
        start, stop = window.body
        logits[start:stop] = score_N2[window.offset : window.offset + stop - start]
        logits[0] = no_answer / 2
        outputs.append({"logits": logits})
    return outputs


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), most=st.integers(1, 40), n_best=st.integers(1, 6), overlap=st.integers(0, 9))
def test_the_best_spans_are_those_of_trying_all(
    tokenizer: Tokenizer, seed: int, most: int, n_best: int, overlap: int
) -> None:
    """Within a window each: windows are cut so that two of them share `overlap` pieces."""
    task = Answer(max_answer_tokens=most, n_best=n_best, overlap=overlap, saw_unanswerable=True)
    asked = example(PASSAGE)
    (encoded,) = task.encode([asked], tokenizer, max_length=32)
    pieces = max(window.offset + window.body[1] - window.body[0] for window in encoded)
    score_N2 = np.random.default_rng(seed).normal(size=(pieces, 2)).astype(np.float32)
    scores: dict[tuple[int, int], float] = {}
    for window in encoded:
        assert window.spans is not None
        for i in range(*window.body):
            for j in range(i, min(i + most, window.body[1])):
                first, last = (window.offset + place - window.body[0] for place in (i, j))
                if window.spans[i, 0] < window.spans[i, 1] and window.spans[j, 0] < window.spans[j, 1]:
                    key = (int(window.spans[i, 0]), int(window.spans[j, 1]))
                    value = float(score_N2[first, 0]) + float(score_N2[last, 1])
                    scores[key] = max(scores.get(key, -math.inf), value)
    prediction = task.decode(asked, encoded, outputs_for(encoded, score_N2, no_answer=0.5))
    wanted = sorted(scores.items(), key=lambda item: -item[1])[:n_best]
    assert [(found.start, found.stop) for found in prediction.candidates] == [span for span, _ in wanted]
    assert prediction.margin == pytest.approx(0.5 - wanted[0][1], abs=1e-5)
    assert all(found.text == PASSAGE[found.start : found.stop] for found in prediction.candidates)
    assert prediction.no_answer is not None
    assert prediction.no_answer + sum(found.probability for found in prediction.candidates) <= 1 + 1e-9


def test_probabilities_sum_to_one(tokenizer: Tokenizer) -> None:
    asked = example("The lamp was lit.")
    task = Answer(n_best=1000, saw_unanswerable=True)
    (encoded,) = task.encode([asked], tokenizer, max_length=64)
    pieces = encoded[0].body[1] - encoded[0].body[0]
    prediction = task.decode(
        asked, encoded, outputs_for(encoded, np.random.default_rng(1).normal(size=(pieces, 2)), 1.0)
    )
    assert prediction.no_answer is not None
    assert prediction.no_answer + sum(found.probability for found in prediction.candidates) == pytest.approx(1)


@given(start=st.integers(0, len(PASSAGE) - 1), length=st.integers(1, 30), max_length=st.integers(28, 90))
@settings(max_examples=200)
def test_targets_and_answers_are_the_same_characters(
    tokenizer: Tokenizer, start: int, length: int, max_length: int
) -> None:
    """A window that is trained on an answer would, trained well, give back that answer, widened to whole pieces."""
    gold = Gold(PASSAGE[start : start + length], start)
    asked = example(PASSAGE, gold)
    task = Answer()
    (encoded,) = task.encode([asked], tokenizer, max_length=max_length)
    (chosen,) = task.for_training([asked], [encoded]).encoded
    from bertsmith.tasks.answer import _pieces_of

    for window in chosen:
        pieces = _pieces_of(gold, window)
        if pieces is None:
            continue
        assert window.spans is not None
        spans = window.spans[pieces[0] : pieces[1] + 1]
        inked = [PASSAGE[a:b] for a, b in spans.tolist()]
        assert spans[0, 1] > gold.start
        assert spans[-1, 0] < gold.stop
        assert "".join(inked)


def test_windows_without_the_answer(tokenizer: Tokenizer) -> None:
    long = "one two three four five six seven eight nine ten. " * 6 + PASSAGE
    at = long.index("Łódź")
    asked = [example(long, Gold("Łódź", at)), example("It was Zoë.", Gold("Zoë", 7)), example(long)]
    counts = {}
    for negatives in ("keep", "drop", "sample"):
        task = Answer(negatives=negatives, saw_unanswerable=True)
        encoded = task.encode(asked, tokenizer, max_length=40)
        chosen = task.for_training(asked, encoded)
        counts[negatives] = [len(sequences) for sequences in chosen.encoded]
        assert len(chosen.remarks) == 2
        assert "do not hold it" in chosen.remarks[1]
    windows = len(encoded[0])
    assert windows > 4
    assert counts["keep"] == [windows, 1, windows]
    holding = counts["drop"][0]
    assert 1 <= holding < windows
    assert counts["drop"] == [holding, 1, windows], "a question without an answer keeps its windows"
    assert counts["sample"] == [holding + 1, 1, windows]


@pytest.mark.parametrize("negatives", ["keep", "drop", "sample"])
def test_an_answer_that_no_window_holds_whole_is_said(negatives: Any, tokenizer: Tokenizer) -> None:
    """… and not learned to be missing."""
    asked = example(PASSAGE, Gold(PASSAGE, 0))
    task = Answer(overlap=2, negatives=negatives)
    chosen = task.for_training([asked], task.encode([asked], tokenizer, max_length=30))
    assert list(chosen.encoded) == [[]]
    assert "1 answers are whole in no window, the first of them qa.jsonl:7: not learned" in chosen.remarks[-1]


def test_unanswerable_questions_are_not_learned_by_a_model_that_always_answers(tokenizer: Tokenizer) -> None:
    asked = [example("It was Zoë.", Gold("Zoë", 7)), example("It was Zoë.")]
    both: tuple[tuple[Literal["yes", "no"], list[int]], ...] = (("yes", [1, 1]), ("no", [1, 0]))
    for unanswerable, counts in both:
        task = Answer(unanswerable=unanswerable)
        chosen = task.for_training(asked, task.encode(asked, tokenizer, max_length=40))
        assert [len(sequences) for sequences in chosen.encoded] == counts
        assert chosen.remarks[0].startswith("1 of 2 questions have no answer")


def test_the_share_of_windows_counts_questions_with_an_answer_alone(tokenizer: Tokenizer) -> None:
    long = "one two three four five six seven eight nine ten. " * 6 + "It was Zoë."
    asked = [example(long, Gold("Zoë", long.index("Zoë"))), example(long)]
    task = Answer(overlap=0, saw_unanswerable=True)
    encoded = task.encode(asked, tokenizer, max_length=40)
    windows = len(encoded[0])
    remark = task.for_training(asked, encoded).remarks[1]
    assert remark.startswith(f"{windows - 1} of {windows} windows"), remark


def test_a_cell_of_a_table_may_hold_json() -> None:
    assert read(answers=f'{{"text": ["1066"], "answer_start": [{PASSAGE.rindex("1066")}]}}').target == (
        Gold("1066", PASSAGE.rindex("1066")),
    )
    assert read(answers='["Zoë"]').target == (Gold("Zoë", ZOE),)
    for broken in ("[" * 100_000, "[" + "1" * 5000 + "]", "[1"):
        with pytest.raises(DataError, match="begin like JSON, but are neither that nor a text of the passage"):
            read(answers=broken)


def test_a_passage_without_a_piece_does_not_stop_the_calibration() -> None:
    blank = Answered((), answered=False, no_answer=1.0, margin=math.inf)
    asked = [example("Zoë lit it", Gold("Zoë", 0)), example("Zoë lit it"), example("")]
    calibrated = Answer(saw_unanswerable=True).calibrate(asked, [answered("Zoë", 3.0), answered("Zoë", 5.0), blank])
    assert calibrated.threshold == pytest.approx(4.0)
    assert [calibrated.decide(each).text for each in (answered("Zoë", 3.0), answered("Zoë", 5.0), blank)] == [
        "Zoë",
        "",
        "",
    ]
    assert Answer(saw_unanswerable=True).calibrate(asked[2:], [blank]).threshold == 0.0


def test_answers_longer_than_any_window_take_no_more_memory(tokenizer: Tokenizer) -> None:
    asked = example(PASSAGE)
    results = []
    for most in (10_000, 100_000):
        task = Answer(max_answer_tokens=most)
        (encoded,) = task.encode([asked], tokenizer, max_length=32)
        pieces = max(window.offset + window.body[1] - window.body[0] for window in encoded)
        scores = np.random.default_rng(2).normal(size=(pieces, 2)).astype(np.float32)
        results.append(task.decode(asked, encoded, outputs_for(encoded, scores, 0.0)))
    assert results[0] == results[1]


def test_what_is_not_tuned_without_dev_is_said() -> None:
    assert Answer().untuned() is None
    assert "threshold of no answer is 0" in str(Answer(saw_unanswerable=True).untuned())
    assert Answer(saw_unanswerable=True, no_answer_threshold=1.5).untuned() is None


def test_a_passage_of_twenty_thousand_words(tokenizer: Tokenizer, tiny_checkpoint: Callable[[Case], Path]) -> None:
    words = [f"w{number}" for number in range(20_000)]
    passage = " ".join(words)
    task = Answer().learn([example("a b", Gold("a", 0))])
    bundle = bundle_of(task, load_pretrained(tiny_checkpoint(Case(families()["bert"]))))
    asked = [example(passage)]
    encoded = task.encode(asked, bundle.tokenizer, max_length=92)
    assert len(encoded[0]) > 300
    seen = np.zeros(len(passage), dtype=bool)
    for window in encoded[0]:
        assert window.spans is not None
        for start, stop in window.spans[slice(*window.body)].tolist():
            seen[start:stop] = True
    assert all(seen[index] for index, character in enumerate(passage) if character != " ")
    (prediction,) = predict_encoded(task, bundle.model, asked, encoded)
    assert prediction.text == passage[prediction.start : prediction.stop]


@pytest.mark.parametrize(("question", "passage"), [("", PASSAGE), ("Who?", ""), ("", ""), ("Who?", "  \u200b ")])
def test_nothing_to_ask_or_to_read(question: str, passage: str, tiny_checkpoint: Callable[[Case], Path]) -> None:
    task = Answer(saw_unanswerable=True)
    bundle = bundle_of(task, load_pretrained(tiny_checkpoint(Case(families()["bert"]))))
    asked = [QuestionExample(question, passage, (), PLACE)]
    (prediction,) = predict_encoded(task, bundle.model, asked, task.encode(asked, bundle.tokenizer, max_length=32))
    assert prediction.text == passage[prediction.start or 0 : prediction.stop or 0]
    assert prediction.record()["answer"] == prediction.text


def answered(text: str, margin: float) -> Answered:
    return Answered((Candidate(text, 0, len(text), 0.5),), answered=margin <= 0, no_answer=0.5, margin=margin)


def test_the_threshold_of_no_answer_is_the_best_one_on_dev() -> None:
    lit = [example("Zoë lit it", Gold("Zoë", 0)), example("Zoë lit it", Gold("Zoë", 0)), example("Zoë lit it")]
    task = Answer(saw_unanswerable=True)
    predictions = [answered("Zoë", 1.0), answered("Zoë", 3.0), answered("Zoë", 5.0)]
    calibrated = task.calibrate(lit, predictions)
    assert calibrated.threshold == pytest.approx(4.0), "halfway between the last right answer and the first wrong one"
    again = [replace(each, answered=each.margin <= calibrated.threshold) for each in predictions]
    assert score(calibrated, lit, again, resamples=0).scores.main_value == 1.0
    assert task.model_copy(update={"no_answer_threshold": 1.0}).calibrate(lit, predictions).threshold == 0.0


def test_scores_of_data_with_unanswerable_questions() -> None:
    asked = [example("Zoë lit it", Gold("Zoë", 0)), example("Zoë lit it")]
    task = Answer().learn(asked)
    assert task.may_be_unanswerable
    found = score(task, asked, [answered("Zoë lit", -1.0), answered("it", 2.0)], resamples=0).scores.values
    assert {name: each.value for name, each in found.items()} == pytest.approx(
        {"f1": (2 / 3 + 1) / 2, "exact_match": 0.5, "has_answer_f1": 2 / 3, "no_answer_accuracy": 1.0}
    )


def test_a_model_that_always_answers_says_so() -> None:
    asked = [example("Zoë lit it", Gold("Zoë", 0))]
    task = Answer().learn(asked)
    assert task.remarks([*asked, example("Zoë lit it")]) == [
        "1 questions have no answer, but this model always gives one"
    ]
    assert not Answer(unanswerable="yes").remarks([example("a")])
