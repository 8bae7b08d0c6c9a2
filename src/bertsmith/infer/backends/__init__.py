"""What computes a model's outputs: torch on packed tokens, or an exported graph in onnxruntime or OpenVINO.

All of them are a `Backend`. torch is imported by its own alone.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from bertsmith.errors import BundleError, MissingDependencyError, SettingsError, listed, nearest
from bertsmith.exports import FORMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bertsmith.exports import ExportedForm
    from bertsmith.records import Encoded
    from bertsmith.tasks import Output

BackendName: TypeAlias = Literal["auto", "torch", "onnx", "openvino", "onnx-int8", "openvino-int8"]
NAMES = ("auto", "torch", *FORMS)


class Backend(Protocol):
    """Computes a head's outputs for sequences."""

    @property
    def description(self) -> str:
        """What computes, and how exactly: ``openvino (bf16)``."""
        ...

    def outputs(self, sequences: Sequence[Encoded]) -> Iterator[tuple[int, Output]]:
        """The position and the outputs of every sequence, in any order, each as soon as it is known."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Which form answers, None for torch; and what to say of a form that is there, but does not."""

    form: ExportedForm | None
    remark: str | None = None


def choose(asked: str, forms: Mapping[str, ExportedForm], *, device: str, folder: str) -> Choice:
    """What answers where the user asked for a backend by this name and this device, and a bundle has these forms.

    ``auto`` takes an exported form whose runtime is installed, as long as no accelerator is asked for by name. A
    runtime's name takes its form, and the one of 8 bits only where there is no other.
    Raises SettingsError for an unknown name or another device than the processor, BundleError if there is no such
    form, MissingDependencyError if its runtime is not installed.
    """
    if asked not in NAMES:
        raise SettingsError(f"backend must be one of {listed(NAMES)}, got {asked!r}{nearest(asked, NAMES)}")
    if asked == "torch":
        return Choice(None)
    if asked == "auto":
        return _automatic(forms, device=device)
    if device not in ("auto", "cpu"):
        raise SettingsError(
            f"the backend {asked} computes on the processor; device must be auto or cpu, got {device!r}"
        )
    fitting = [form for form in forms.values() if asked in (form.form.name, form.form.name.removesuffix("-int8"))]
    if not fitting:
        raise BundleError(
            f"{folder}: holds no exported form {asked!r} {_having(forms)}; make it with: {_command(folder, asked)}"
        )
    _check_installed(fitting[0])
    return Choice(fitting[0])


def _automatic(forms: Mapping[str, ExportedForm], *, device: str) -> Choice:
    if device not in ("auto", "cpu"):
        return Choice(None)
    for form in forms.values():
        if installed(form.form.runtime):
            return Choice(form)
    if not forms:
        return Choice(None)
    first = next(iter(forms.values())).form
    return Choice(
        None,
        f"torch answers: {first.runtime}, for the exported form {first.name!r}, is not installed "
        f"(pip install 'bertsmith[{first.extra}]')",
    )


def installed(runtime: str) -> bool:
    """Whether a runtime's module can be imported; imports nothing."""
    return importlib.util.find_spec(runtime) is not None


def _check_installed(form: ExportedForm) -> None:
    if not installed(form.form.runtime):
        raise MissingDependencyError(
            f"{form.form.runtime}, which computes the exported form {form.form.name!r}, is not installed; install it "
            f"with: pip install 'bertsmith[{form.form.extra}]'"
        )


def _having(forms: Mapping[str, ExportedForm]) -> str:
    return f"(it has {listed(forms)})" if forms else "(it has none)"


def _command(folder: str, asked: str) -> str:
    runtime, _, int8 = asked.partition("-")
    return f"bertsmith export {folder} --to {runtime}{' --int8' if int8 else ''}"


def opened(form: ExportedForm) -> Backend:
    """The backend of an exported form. Raises BundleError if its files are not as they were accepted."""
    form.check()
    if form.form.runtime == "openvino":
        from bertsmith.infer.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(form)
    from bertsmith.infer.backends.onnx import OnnxBackend

    return OnnxBackend(form)


def thread_count() -> int:
    """The threads that a runtime may take: as OMP_NUM_THREADS says, which torch obeys, too; else all processors."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
