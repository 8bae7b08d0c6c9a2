"""An exported model in onnxruntime."""

from __future__ import annotations

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


class OnnxBackend:
    """An ONNX graph on the processor. Raises BundleError if onnxruntime cannot open it."""

    def __init__(self, form: ExportedForm) -> None:
        import onnxruntime

        self._form = form
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = thread_count(), 1
        options.log_severity_level = 3  # errors; they are raised, too
        # threads that wait should sleep: spinning slows what tokenises beside them
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(form.main), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no class of their own
            raise BundleError(f"{form.main}: onnxruntime cannot open it: {str(error).splitlines()[0]}") from error
        self._taken = {each.name for each in self._session.get_inputs()}

    @property
    def description(self) -> str:
        return f"{self._form.form.name} ({self._form.precision})"

    def outputs(self, sequences: Sequence[Encoded]) -> Iterator[tuple[int, Output]]:
        return padded.outputs(self._form, self._compute, sequences)

    def _compute(self, inputs: Mapping[str, NDArray[np.int64]]) -> Sequence[NDArray[np.float32]]:
        # a family without segments has a graph that does not take them
        given = {name: array for name, array in inputs.items() if name in self._taken}
        found: Sequence[NDArray[np.float32]] = self._session.run(list(self._form.outputs), given)
        return found
