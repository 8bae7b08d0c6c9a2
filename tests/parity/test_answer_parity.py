"""Question answering beside transformers: bundles both ways, losses, gradients, and the search for the best span."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

import bertsmith
from bertsmith.batching import collate
from bertsmith.checkpoint import load_pretrained
from bertsmith.families import families
from bertsmith.infer.engine import run
from bertsmith.records import Place
from bertsmith.tasks.answer import Answer, Gold, QuestionExample
from tiny import TEXTS, Case, bundle_of, cases, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CASES = pytest.mark.parametrize("case", cases(), ids=str)
QUESTIONS = ("Who says so?", "What is dull?", "Is it near?")
GOLDS = (
    Gold("critic", TEXTS[3].index("critic")),
    Gold("film", TEXTS[0].index("film")),
    Gold("end", TEXTS[1].index("end")),
)
EXAMPLES = [
    QuestionExample(question, passage, (gold,), Place("here", line))
    for line, (question, passage, gold) in enumerate(
        zip(QUESTIONS, (TEXTS[3], TEXTS[0], TEXTS[1]), GOLDS, strict=True), start=1
    )
]


def logits_there(folder: Path, model: Any, examples: Sequence[QuestionExample]) -> list[torch.Tensor]:
    """Start and end logits of transformers' model and tokenizer, ``[L, 2]``, one question at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    with torch.inference_mode():
        for example in examples:
            output = model(**tokenizer(example.question, example.passage, return_tensors="pt"))
            found.append(torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1))
    return found


def opened_there(folder: Path) -> Any:
    model, said = AutoModelForQuestionAnswering.from_pretrained(folder, output_loading_info=True)
    problems = {what: names for what, names in said.items() if names}
    assert not problems, problems
    return model.eval()


def assert_same_logits(bundle: Any, folder: Path, model: Any) -> None:
    task = bundle.task
    encoded = task.encode(EXAMPLES, bundle.tokenizer, max_length=bundle.max_length)
    ours = run(bundle.model, [sequence for (sequence,) in encoded], EXAMPLES)
    for output, expected in zip(ours, logits_there(folder, model, EXAMPLES), strict=True):
        assert_close(torch.from_numpy(output["logits"]), expected, atol=1e-5, rtol=1e-5)


@CASES
def test_saved_here_opens_there(case: Case, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    bundle = bundle_of(Answer().learn(EXAMPLES), load_pretrained(tiny_checkpoint(case)))
    bundle.save(tmp_path / "saved")
    model = opened_there(tmp_path / "saved")
    assert_same_logits(bundle, tmp_path / "saved", model)
    assert_same_logits(bertsmith.load(tmp_path / "saved").bundle, tmp_path / "saved", model)


def test_opens_there_whatever_labels_the_encoder_had(tmp_path: Path) -> None:
    """An encoder that was trained on inference, say, with three labels in its config.json."""
    for case in (Case(families()["bert"]), Case(families()["distilbert"])):
        folder = tmp_path / str(case)
        folder.mkdir()
        write_checkpoint(case, folder, num_labels=3)
        bundle = bundle_of(Answer().learn(EXAMPLES), load_pretrained(folder))
        bundle.save(folder / "saved")
        assert_same_logits(bundle, folder / "saved", opened_there(folder / "saved"))


@CASES
def test_saved_there_opens_here(case: Case, tmp_path: Path) -> None:
    write_checkpoint(case, tmp_path, auto=AutoModelForQuestionAnswering)
    predictor = bertsmith.load(tmp_path)
    assert predictor.bundle.task == Answer()
    model = opened_there(tmp_path)
    assert_same_logits(predictor.bundle, tmp_path, model)
    # the best span, found among all of them one by one
    for example, logits_L2 in zip(EXAMPLES, logits_there(tmp_path, model, EXAMPLES), strict=True):
        (encoded,) = predictor.bundle.task.encode([example], predictor.bundle.tokenizer, max_length=92)[0]
        assert encoded.spans is not None
        start_L, end_L = logits_L2.T.tolist()
        spans = encoded.spans.tolist()
        score, first, last = max(
            (start_L[i] + end_L[j], i, j)
            for i in range(*encoded.body)
            for j in range(i, min(i + 30, encoded.body[1]))
            if spans[i][0] < spans[i][1] and spans[j][0] < spans[j][1]
        )
        (prediction,) = predictor.predict([(example.question, example.passage)])
        assert prediction.text == example.passage[spans[first][0] : spans[last][1]]
        assert prediction.start == spans[first][0]
        assert np.isfinite(score)


@CASES
def test_loss_and_gradients(case: Case, tmp_path: Path) -> None:
    """The same loss as transformers', whose softmax is over all tokens, if all but the passage's are masked there."""
    write_checkpoint(case, tmp_path, auto=AutoModelForQuestionAnswering)
    bundle = bertsmith.load(tmp_path).bundle
    task = bundle.task.learn(EXAMPLES)
    encoded = task.encode(EXAMPLES, bundle.tokenizer, max_length=92)
    batch = collate([sequence for (sequence,) in encoded], EXAMPLES)
    loss = task.loss(bundle.model.head, bundle.model.hidden(batch.id_T, batch.segment_T, batch.layout), batch)
    (loss.total / loss.targets).backward()  # type: ignore[no-untyped-call]

    theirs = opened_there(tmp_path)
    total = torch.zeros(())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for example, (sequence,) in zip(EXAMPLES, encoded, strict=True):
        output = theirs(**tokenizer(example.question, example.passage, return_tensors="pt"))
        assert example.target is not None
        assert sequence.spans is not None
        start, stop = sequence.body
        chars = sequence.spans[start:stop]
        (gold,) = example.target
        first = next(i for i, (_, after) in enumerate(chars) if after > gold.start)
        last = max(i for i, (before, _) in enumerate(chars) if before < gold.stop)
        for logits, target in ((output.start_logits, first), (output.end_logits, last)):
            total = total - torch.log_softmax(logits[0, start:stop], dim=0)[target] / 2
    (total / len(EXAMPLES)).backward()  # type: ignore[no-untyped-call]

    assert_close(loss.total.detach(), total.detach(), atol=1e-5, rtol=1e-5)
    ours = bundle.model.head.get_parameter("output.weight").grad
    assert_close(ours, theirs.qa_outputs.weight.grad, atol=1e-5, rtol=1e-4)
    word = bundle.model.encoder.embeddings.word.weight.grad
    assert_close(word, theirs.base_model.get_input_embeddings().weight.grad, atol=1e-5, rtol=1e-4)
