"""An exported model in OpenVINO."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bertsmith.errors import BundleError
from bertsmith.infer.backends import padded, thread_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bertsmith.exports import ExportedForm
    from bertsmith.records import Encoded
    from bertsmith.tasks import Output

_CONVERTER = "openvino.tools.ovc"


@contextmanager
def without_converter() -> Iterator[None]:
    """While this lasts, importing openvino leaves out its converter of models, which takes longer than all the rest
    and reports the import to its makers. In such a process `openvino.convert_model` is missing, so this is for our own
    programs, not for a library's users."""
    if _CONVERTER in sys.modules or "openvino" in sys.modules:
        yield
        return
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # openvino takes that for a package it lacks
    try:
        yield
    finally:
        del sys.modules[_CONVERTER]


class OpenVinoBackend:
    """A graph in OpenVINO's form, on the processor. Raises BundleError if OpenVINO cannot open it.

    One compiled graph, asked by any number of threads.
    """

    def __init__(self, form: ExportedForm) -> None:
        self._form = form
        whole, plus, accepted = form.precision.rpartition("+")  # the last is of what is not in whole numbers of 8 bits
        floats = accepted if accepted == "f32" else fastest_floats()
        self._precision = f"{whole}{plus}{floats}"
        self._compiled: Any = _compiled(form.main, floats)
        self._taken = {name for each in self._compiled.inputs for name in each.names}
        # a request holds the numbers of one computation and refuses a second one meanwhile, so each thread has its own
        self._of_thread = threading.local()

    @property
    def description(self) -> str:
        return f"{self._form.form.name} ({self._precision})"

    def outputs(self, sequences: Sequence[Encoded]) -> Iterator[tuple[int, Output]]:
        return padded.outputs(self._form, self._compute, sequences)

    def _compute(self, inputs: Mapping[str, NDArray[np.int64]]) -> Sequence[NDArray[np.float32]]:
        # a family without segments has a graph that does not take them
        given = {name: array for name, array in inputs.items() if name in self._taken}
        found = self._request().infer(given, share_inputs=True, share_outputs=True)
        return [found[name] for name in self._form.outputs]

    def _request(self) -> Any:
        """This thread's."""
        if not hasattr(self._of_thread, "request"):
            self._of_thread.request = self._compiled.create_infer_request()
        return self._of_thread.request


def fastest_floats() -> str:
    """``bf16`` where the processor has it, else ``f32``."""
    import openvino

    return "bf16" if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def _compiled(path: Path, floats: str) -> Any:
    """A graph compiled for the processor."""
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": floats,
        "INFERENCE_NUM_THREADS": thread_count(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        return core.compile_model(core.read_model(path), "CPU", settings)
    except RuntimeError as error:
        raise BundleError(f"{path}: OpenVINO cannot open it: {str(error).strip().splitlines()[-1]}") from error
