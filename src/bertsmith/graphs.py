"""Graphs of a model for other runtimes: ONNX by torch's exporter, OpenVINO's form of that, both also in 8 bits.

The rows that calibrate a graph in 8 bits are the caller's choice; nothing here judges what comes out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch

from bertsmith.errors import ExportError, MissingDependencyError
from bertsmith.infer.backends import padded
from bertsmith.nn.padded import PaddedModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bertsmith.nn.heads import Model
    from bertsmith.records import Encoded

# The oldest set of operations that has layer norms as one of them; runtimes of the last years read it.
OPSET = 17
# One protobuf message, which an ONNX file is, holds no more; a little of it is the graph itself.
MOST_BYTES = 2**31 - 2**24
# The parts whose inputs have a few numbers far larger than the rest: without them in 8 bits, a model's outputs came out
# with 0.6 of the error.
_WIDEST = [r"/layers\.\d+/feed_forward/output/.*", "/head/.*"]


def check_size(model: Model) -> None:
    """Raises ExportError for a model whose weights one ONNX file cannot hold."""
    needed = sum(parameter.numel() * 4 for parameter in model.parameters())
    if needed > MOST_BYTES:
        raise ExportError(
            f"the weights take {needed / 1e9:.1f} GB, and one ONNX file, from which every form is made, holds "
            f"{MOST_BYTES / 1e9:.1f} GB; weights in files of their own are not supported"
        )


def write_onnx(model: Model, path: Path) -> tuple[str, ...]:
    """Write the model as one ONNX file with its weights inside; the names of its outputs.

    Both sizes of the inputs ``ids``, ``segments`` and ``mask`` are open.
    """
    check_size(model)
    module = PaddedModel(model).eval()
    sample = _sample()
    sizes = {0: "sequences", 1: "length"}
    output_sizes = {0: "sequences"} if module.reads_first else sizes
    with warnings.catch_warnings(), torch.no_grad():
        # torch's older exporter: it writes one file by itself, where the newer one needs three more packages
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            module,
            sample,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(padded.INPUTS),
            output_names=list(module.output_names),
            dynamic_axes=dict.fromkeys(padded.INPUTS, sizes) | dict.fromkeys(module.output_names, output_sizes),
        )
    return module.output_names


def _sample() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two sequences to trace a model with, one of them padded; ids and sizes that every model takes."""
    id_SL = torch.zeros(2, 4, dtype=torch.int64)
    mask_SL = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    return id_SL, torch.zeros_like(id_SL), mask_SL


def write_openvino(onnx: Path, path: Path) -> None:
    """Write an ONNX graph in OpenVINO's form: `path` (.xml), and its weights, in float32, beside it."""
    openvino = _openvino()
    openvino.save_model(openvino.Core().read_model(onnx), path, compress_to_fp16=False)


def write_openvino_int8(onnx: Path, path: Path, sequences: Sequence[Encoded], *, careful: bool) -> None:
    """The same with its products in 8 bits, their ranges learned from these sequences (NNCF, for transformers).

    careful: all but those whose ranges are the widest, which are a third of the work.
    """
    openvino = _openvino()
    with _silent():
        try:
            import nncf
        except ImportError:
            raise _needs_int8("nncf") from None
        quantised = nncf.quantize(
            openvino.Core().read_model(onnx),
            nncf.Dataset([padded.padded([sequence]) for sequence in sequences]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(sequences),
            ignored_scope=nncf.IgnoredScope(patterns=_WIDEST, validate=False) if careful else None,
        )
    openvino.save_model(quantised, path, compress_to_fp16=False)


def write_onnx_int8(onnx: Path, path: Path) -> None:
    """An ONNX graph with its products with weights in 8 bits: weights by channel, and what they are multiplied with in
    the range that it has in each batch. So nothing is calibrated: ranges learned from rows were three times as far off.
    """
    with _silent():
        try:
            from onnxruntime.quantization import QuantType, quantize_dynamic
        except ImportError:
            raise _needs_int8("onnx") from None
        quantize_dynamic(
            onnx,
            path,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise MissingDependencyError(
            "openvino is not installed; install it with: pip install 'bertsmith[openvino]'"
        ) from None
    return openvino


def _needs_int8(package: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{package}, which --int8 needs, is not installed; install it with: pip install 'bertsmith[int8]'"
    )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """No progress bars, remarks and warnings of the packages that are called: a library never prints."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
