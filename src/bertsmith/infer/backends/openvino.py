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

    import numpy as np
    from numpy.typing import NDArray

    from bertsmith.exports import ExportedForm
    from bertsmith.records import Encoded
    from bertsmith.tasks import Output

_CONVERTER = "openvino.tools.ovc"
# A call of more tokens than the first may be computed in several batches at once; that graph is compiled, in half a
# second, once more than the second were asked for in all.
_FEW_TOKENS, _MANY_TOKENS = 4_096, 30_000


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

    The graph is compiled to compute one batch with all threads, for whoever waits for it, and, once many were asked
    for, to compute a batch with each thread, which is a tenth faster. Both may be asked by any number of threads.
    """

    def __init__(self, form: ExportedForm) -> None:
        self._form = form
        whole, plus, accepted = form.precision.rpartition("+")  # the last is of what is not in whole numbers of 8 bits
        floats = accepted if accepted == "f32" else fastest_floats()
        self._precision = f"{whole}{plus}{floats}"
        self._floats, self._tokens, self._lock = floats, 0, threading.Lock()
        self._at_once = _Compiled(form, floats, streams=1)
        self._many: _Compiled | None = None

    @property
    def description(self) -> str:
        return f"{self._form.form.name} ({self._precision})"

    def outputs(self, sequences: Sequence[Encoded]) -> Iterator[tuple[int, Output]]:
        tokens = sum(map(len, sequences))
        self._tokens += tokens
        many = tokens > _FEW_TOKENS and self._tokens > _MANY_TOKENS and thread_count() > 1
        graph = self._for_many() if many else self._at_once
        return padded.outputs(self._form, graph.compute, sequences, threads=graph.streams)

    def _for_many(self) -> _Compiled:
        with self._lock:
            if self._many is None:
                self._many = _Compiled(self._form, self._floats, streams=thread_count())
            return self._many


class _Compiled:
    """A graph compiled to compute so many batches at once, the threads shared among them.

    Raises BundleError if OpenVINO cannot open it.
    """

    def __init__(self, form: ExportedForm, floats: str, *, streams: int) -> None:
        import openvino

        self.streams, self._form = streams, form
        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": floats,
            "INFERENCE_NUM_THREADS": thread_count(),
            "NUM_STREAMS": streams,
            "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        }
        try:
            self._graph: Any = core.compile_model(core.read_model(form.main), "CPU", settings)
        except RuntimeError as error:
            message = str(error).strip().splitlines()[-1]
            raise BundleError(f"{form.main}: OpenVINO cannot open it: {message}") from error
        self._taken = {name for each in self._graph.inputs for name in each.names}
        # a request holds the numbers of one computation and refuses a second one meanwhile
        self._idle: list[Any] = []

    def compute(self, inputs: Mapping[str, NDArray[np.int64]]) -> Sequence[NDArray[np.float32]]:
        """The outputs for a batch, in the form's order."""
        # a family without segments has a graph that does not take them
        given = {name: array for name, array in inputs.items() if name in self._taken}
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._graph.create_infer_request()
        found = request.infer(given, share_inputs=True)
        self._idle.append(request)
        return [found[name] for name in self._form.outputs]


def fastest_floats() -> str:
    """``bf16`` where the processor has it, else ``f32``."""
    import openvino

    return "bf16" if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
