"""``bertsmith env``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Annotated, Any

from cyclopts import Parameter

from bertsmith import __version__
from bertsmith.checkpoint import find
from bertsmith.cli import show
from bertsmith.cli.flags import parse
from bertsmith.errors import BertsmithError

PACKAGES = (
    "torch", "tokenizers", "safetensors", "numpy", "scipy", "scikit-learn", "pyarrow", "pydantic", "cyclopts", "rich",
    "huggingface_hub", "tensorboard", "onnxruntime", "openvino", "nncf", "transformers",
)  # fmt: skip


def run(arguments: list[str]) -> None:
    """Tell what is found on this machine."""
    parse(env, "env", arguments)


def env(
    *, json: Annotated[bool, Parameter(help="print it as one JSON object", negative=(), show_default=False)] = False
) -> None:
    """Versions, processor, threads, accelerators and the packaged encoder: what a report of a problem should hold."""
    found = _found()
    if json:
        show.print_json(found)
        return
    console = show.stdout()
    for name, value in found.items():
        console.print(f"{name:<18} {value}", markup=False)


def _found() -> dict[str, Any]:
    import torch

    from bertsmith.nn.precision import has_bfloat16

    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "not installed"
    try:
        minilm = str(find("minilm").folder)
    except BertsmithError as error:
        minilm = str(error)
    return {
        "bertsmith": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "bfloat16 products": "yes" if has_bfloat16(torch.device("cpu")) else "no: --precision auto is fp32",
        "torch threads": torch.get_num_threads(),
        "accelerators": ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())) or "none",
        "encoder minilm": minilm,
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "not set"),
        **packages,
    }
