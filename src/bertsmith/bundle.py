"""A saved model: encoder, head, tokenizer, task and where it came from, in one folder.

    config.json, model.safetensors, tokenizer files    as transformers writes them, and opens them
    bertsmith.json                                     the task, its labels, the limits, a manifest of the files
    exported/                                          graphs for other runtimes, where 'export' made some (`exports`)

A folder that transformers saved opens too: its config.json says which task it is of. torch is imported where weights
are read or made: who answers with an exported graph needs the outline alone.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bertsmith import __version__, tasks
from bertsmith.checkpoint import encoder_tensors, load_encoder, load_tokenizer, read_json
from bertsmith.errors import BundleError, CheckpointError, SettingsError, listed
from bertsmith.files import move_folder, sha256
from bertsmith.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    import torch
    from torch import Tensor

    from bertsmith.checkpoint import Pretrained
    from bertsmith.families import Family, HeadForm
    from bertsmith.nn.encoder import Encoder
    from bertsmith.nn.heads import Head, Model
    from bertsmith.tasks import Task

FORMAT = 1
MANIFEST = "bertsmith.json"
WEIGHTS = "model.safetensors"

# Keys of config.json that once said what "id2label" and "dtype" say; left in, they would contradict them.
_OLDER_KEYS = ("num_labels", "_num_labels", "torch_dtype")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A bundle but for its weights: what makes sequences of questions, and answers of a model's outputs.

    columns: where the inputs stood in the training file. training: how the model came to be (settings, scores,
    encoder), as JSON values.
    """

    task: Task[Any, Any]
    tokenizer: Tokenizer
    max_length: int
    columns: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, manifest: Mapping[str, Any]) -> Outline:
        """Of a bundle whose manifest `read_manifest` has read; reads no weights, and imports no torch."""
        return Outline(
            task=_task_of_manifest(folder, manifest),
            tokenizer=Tokenizer.from_folder(folder),
            max_length=manifest["max_length"],
            columns=manifest["columns"],
            training=manifest["training"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle(Outline):
    """A model with all that it needs to answer.

    kept: tensors of the encoder's checkpoint that this task does not use, and those who train on from it may.
    """

    model: Model
    family: Family
    raw_config: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Tensor] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the bundle's files into an existing folder, the manifest last.

        `save` writes a folder whole or not at all; this is its part that a training run uses, too.
        """
        from safetensors.torch import save_file

        form = self.family.form(self.task.head_kind)
        head = {
            f"{form.names[module]}.{kind}": tensor
            for name, tensor in self.model.head.to_checkpoint().items()
            for module, _, kind in [name.rpartition(".")]
        }
        save_file(
            {**self.kept, **encoder_tensors(self.model.encoder, self.family), **head},
            folder / WEIGHTS,
            metadata={"format": "pt"},
        )
        config = {
            **{key: value for key, value in self.raw_config.items() if key not in _OLDER_KEYS},
            **self.family.write_config(self.model.encoder.config),
            **self.task.to_transformers(),
            "architectures": [form.architecture],
            "dtype": "float32",
            # the matrix is not stored twice, whatever was said of the head that the encoder had before
            **({"tie_word_embeddings": True} if form.tied else {}),
        }
        (folder / "config.json").write_text(json_text(config), encoding="utf-8")
        # safetensors lets only the owner read its file; who may read the others may read this one
        (folder / WEIGHTS).chmod((folder / "config.json").stat().st_mode)
        self.tokenizer.save(folder)
        files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name in _PARTS]
        manifest = {
            "format": FORMAT,
            "bertsmith": __version__,
            "task": self.task.name,
            "options": self.task.model_dump(mode="json"),
            "max_length": self.max_length,
            "columns": dict(self.columns),
            "training": dict(self.training),
            "files": {path.name: described(path) for path in files},
        }
        (folder / MANIFEST).write_text(json_text(manifest), encoding="utf-8")

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the bundle as a new folder, whole or not at all.

        Raises BundleError if the folder is there already and `overwrite` is not set, or is no bundle's.
        """
        folder = Path(folder)
        if folder.exists() and not overwrite:
            raise BundleError(f"{folder}: is there already; choose another folder or allow overwriting")
        check_replaceable(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            self.write(partial)
            move_folder(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | Path) -> Bundle:
        """Open a folder that bertsmith or transformers saved, on the CPU, ready to predict.

        Raises BundleError or CheckpointError, naming the file, if anything is missing, damaged or of an unknown form.
        """
        import torch

        from bertsmith.families import family_of
        from bertsmith.nn.heads import Model

        folder = Path(folder)
        check_is_folder(folder)
        manifest = read_manifest(folder) if (folder / MANIFEST).exists() else {}
        raw = read_json(folder / "config.json")
        family = family_of(raw, source=str(folder / "config.json"))
        task = _task_of(folder, manifest, raw)
        form = family.form(task.head_kind)
        config = family.read_config(raw, source=str(folder / "config.json"))
        encoder, beside = load_encoder(folder, family, config)
        with torch.device("meta"):
            head = task.head(config, form, dropout=head_dropout(raw, form, config.dropout))
        _check_tied(folder, form, beside, encoder)
        head.from_checkpoint(_head_state(folder, head, form, beside))
        tokenizer = load_tokenizer(folder, config)
        longest = min(config.max_length, tokenizer.max_length or config.max_length)
        return cls(
            task=task,
            model=Model(encoder, head).eval(),
            tokenizer=tokenizer,
            family=family,
            max_length=min(manifest.get("max_length", longest), longest),
            raw_config=raw,
            columns=manifest.get("columns", {}),
            training=manifest.get("training", {}),
            kept=kept_tensors(form, beside),
        )


_PARTS = (
    "config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "vocab.txt", "vocab.json", "merges.txt",
)  # fmt: skip


def new_model(
    task: Task[Any, Any], pretrained: Pretrained, *, generator: torch.Generator, dropout: float | None = None
) -> tuple[Model, list[str]]:
    """A model to train: the pretrained encoder with a head of `task`, and the names of its randomly set modules.

    The head's weights come from `generator`, except for modules that pretraining made (BERT's pooler).
    """
    import torch

    from bertsmith.nn.heads import Model

    form = pretrained.family.form(task.head_kind)
    config = pretrained.config
    _check_tied(pretrained.source.folder, form, pretrained.head_tensors, pretrained.encoder)
    share = head_dropout(pretrained.raw_config, form, config.dropout, chosen=dropout)
    with torch.random.fork_rng(devices=[]):  # torch sets new modules at random before we do
        head = task.head(config, form, dropout=share)
    task.start_head(head, deviation=config.initializer_range, generator=generator)
    fresh = []
    for ours, theirs in form.names.items():
        module = head.get_submodule(ours)
        wanted = dict(module.named_parameters())
        found = {kind: pretrained.head_tensors.get(f"{theirs}.{kind}") for kind in wanted}
        fits = all(tensor is not None and tensor.shape == wanted[kind].shape for kind, tensor in found.items())
        if ours in form.pretrained and fits:
            module.load_state_dict(found)
        else:
            fresh.append(ours)
    return Model(pretrained.encoder, head), fresh


def kept_tensors(form: HeadForm, beside: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of the tensors beside an encoder, those that a head of this form does not use and its checkpoint keeps."""
    return {name: tensor for name, tensor in beside.items() if name.startswith(form.keeps)} if form.keeps else {}


def _check_tied(folder: Path, form: HeadForm, beside: Mapping[str, Tensor], encoder: Encoder) -> None:
    """Raises CheckpointError for a checkpoint whose output matrix is one of its own, not the word embeddings."""
    import torch

    if form.tied and form.tied in beside and not torch.equal(beside[form.tied], encoder.embeddings.word.weight):
        raise CheckpointError(
            f"{folder}: {form.tied!r} differs from the word embeddings; only heads that share them are supported"
        )


def check_replaceable(folder: Path) -> None:
    """Raises BundleError for what is there but no bundle: overwriting must not cost a user their files."""
    if folder.exists() and not folder.is_dir():
        raise BundleError(f"{folder}: is a file; give the name of a new folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise BundleError(
            f"{folder}: holds no {MANIFEST}, so bertsmith did not write it and will not replace it; "
            "choose another folder"
        )


def head_dropout(
    raw_config: Mapping[str, Any], form: HeadForm, otherwise: float, *, chosen: float | None = None
) -> float:
    """The dropout inside a head: as chosen, as config.json says or as the encoder's; 0 where the family has none."""
    if form.dropout_key is None:
        return 0.0
    if chosen is not None:
        return chosen
    share = raw_config.get(form.dropout_key)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        return otherwise
    return float(share)


def _head_state(folder: Path, head: Head, form: HeadForm, beside: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state = {}
    for name, wanted in head.state_dict().items():
        module, _, kind = name.rpartition(".")
        stored = f"{form.names[module]}.{kind}"
        if stored not in beside:
            raise BundleError(
                f"{folder}: tensor {stored!r} is missing: this folder holds an encoder, but no trained head; "
                "train one with: bertsmith train"
            )
        if beside[stored].shape != wanted.shape:
            raise BundleError(
                f"{folder}: tensor {stored!r} has shape {tuple(beside[stored].shape)}, "
                f"config.json and the labels ask for {tuple(wanted.shape)}"
            )
        state[name] = beside[stored]
    return state


_MANIFEST_KEYS = (
    ("task", str, "a task's name"),
    ("options", dict, "an object"),
    ("max_length", int, "a whole number"),
    ("columns", dict, "an object"),
    ("training", dict, "an object"),
    ("files", dict, "an object"),
)


def check_is_folder(folder: Path) -> None:
    """Raises BundleError if there is no such folder."""
    if folder.is_dir():
        return
    partial = folder.with_name(f"{folder.name}.partial")
    hint = f"; a run that has not ended is in {partial}: go on with --resume" if partial.is_dir() else ""
    raise BundleError(f"{folder}: no such folder; a bundle is a folder that 'train' wrote{hint}")


def read_manifest(folder: Path, *, unread: Container[str] | None = ()) -> dict[str, Any]:
    """bertsmith.json of a folder, every file that it names checked but for those that are `unread`, all with None.

    Raises BundleError for a file that is missing, cut short or changed.
    """
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{folder / MANIFEST}: format {manifest.get('format')!r}, this bertsmith {__version__} reads {FORMAT}"
        )
    for key, kind, wanted in _MANIFEST_KEYS:
        if not isinstance(manifest.get(key), kind):
            raise BundleError(f"{folder / MANIFEST}: {key!r} must be {wanted}, got {manifest.get(key)!r}")
    files = manifest["files"]
    if WEIGHTS not in files:
        raise BundleError(f"{folder / MANIFEST}: 'files' must name {WEIGHTS}, got {listed(files)}")
    for name, expected in files.items():
        check_file(folder, name, expected, unread=unread is None or name in unread)
    return manifest


def described(path: Path) -> dict[str, Any]:
    """What bertsmith.json says of a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def check_file(folder: Path, name: str, expected: Any, *, unread: bool = False) -> None:
    """Raises BundleError for a file that is not as bertsmith.json says. unread: look at what that says alone."""
    if not isinstance(expected, dict) or not {"bytes", "sha256"} <= set(expected):
        raise BundleError(f"{folder / MANIFEST}: 'files' must give the bytes and sha256 of {name!r}, got {expected!r}")
    if unread:
        return
    path = folder / name
    if not path.is_file():
        raise BundleError(f"{path}: missing, although {MANIFEST} names it")
    if path.stat().st_size != expected["bytes"]:
        raise BundleError(
            f"{path}: {path.stat().st_size} bytes, {MANIFEST} says {expected['bytes']}: cut short or changed"
        )
    if sha256(path) != expected["sha256"]:
        raise BundleError(f"{path}: sha256 differs from {MANIFEST}: the file was changed after it was saved")


def _task_of_manifest(folder: Path, manifest: Mapping[str, Any]) -> Task[Any, Any]:
    try:
        return tasks.task_class(manifest["task"]).model_validate_json(json.dumps(manifest["options"]))
    except (KeyError, SettingsError) as error:
        raise BundleError(f"{folder / MANIFEST}: the task cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise BundleError(f"{folder / MANIFEST}: option {name!r} cannot be read: {first['msg']}") from error


def _task_of(folder: Path, manifest: Mapping[str, Any], raw: Mapping[str, Any]) -> Task[Any, Any]:
    if manifest:
        return _task_of_manifest(folder, manifest)
    from bertsmith.families import family_of

    architectures = raw["architectures"] if isinstance(raw.get("architectures"), list) else []
    for name in tasks.names():
        kind = tasks.task_class(name)
        form = family_of(raw, source=str(folder / "config.json")).heads.get(kind.head_kind)
        if form is None or form.architecture not in architectures:
            continue
        try:
            task = kind.from_transformers(raw)
        except CheckpointError as error:
            raise BundleError(f"{folder / 'config.json'}: {error}") from None
        if task is not None:
            return task
    raise BundleError(
        f"{folder}: holds no {MANIFEST}, and config.json's architectures {listed(architectures)} are of no task "
        f"({listed(tasks.names())}); to train from it, name it as the --encoder"
    )


def json_text(value: Any) -> str:
    """As the JSON files of a bundle are written."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
