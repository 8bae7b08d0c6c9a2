"""What computes a model's outputs: torch on packed tokens, or an exported graph in onnxruntime or OpenVINO.

All of them are a `Backend`. torch is imported by its own alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from bertsmith.config import PRECISIONS
from bertsmith.errors import BundleError, MissingDependencyError, SettingsError, listed, nearest
from bertsmith.exports import FORMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bertsmith.exports import ExportedForm, Form, Recorded
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


def check_asked(backend: str, precision: str) -> None:
    """Raises SettingsError for an unknown name of a backend or a precision."""
    for name, value, allowed in (("backend", backend, NAMES), ("precision", precision, PRECISIONS)):
        if value not in allowed:
            raise SettingsError(f"{name} must be one of {listed(allowed)}, got {value!r}{nearest(str(value), allowed)}")


def choose(asked: str, recorded: Recorded, *, device: str, precision: str) -> Choice:
    """What answers where the user asked for a backend, a device and a precision, and a bundle has these forms.

    ``auto`` takes the best form that can be used and whose runtime is installed, as long as no accelerator and no
    precision is asked for by name. A runtime's name takes its form, and the one of 8 bits only where there is no other.
    Raises SettingsError for an unknown name, or for another device or a precision where an exported form is asked for;
    BundleError if there is no such form, or its record cannot be used; MissingDependencyError if its runtime is not
    installed.
    """
    check_asked(asked, precision)
    if asked == "torch":
        return Choice(None)
    on_processor, any_precision = device in ("auto", "cpu"), precision == "auto"
    if asked == "auto":
        return _automatic(recorded) if on_processor and any_precision else Choice(None)
    if not on_processor:
        raise SettingsError(
            f"the backend {asked} computes on the processor; device must be auto or cpu, got {device!r}"
        )
    if not any_precision:
        raise SettingsError(
            f"the precision of an exported form was fixed when it was exported: with the backend {asked} it must be "
            f"auto, got {precision!r} (the backend torch takes it)"
        )
    fitting = [form for form in recorded.forms() if asked in (form.name, form.name.removesuffix("-int8"))]
    if not fitting:
        raise BundleError(
            f"{recorded.folder}: holds no exported form {asked!r} {_having(recorded)}; make it with: "
            f"{_command(recorded.folder, asked)}"
        )
    _check_installed(fitting[0])
    return Choice(recorded.read(fitting[0]))


def _automatic(recorded: Recorded) -> Choice:
    """The best form that can be used, and what to say of better ones that cannot."""
    unusable: list[str] = []
    missing: list[str] = []
    for form in recorded.forms():
        if not installed(form.runtime):
            missing.append(
                f"{form.runtime}, for the exported form {form.name!r}, is not installed "
                f"(pip install 'bertsmith[{form.extra}]')"
            )
            continue
        try:
            read = recorded.read(form)
            _check_imports(form)
            return Choice(read, "; ".join(unusable) or None)
        except (BundleError, MissingDependencyError) as error:
            unusable.append(f"not used: {error}")
    why = "; ".join([*unusable, *missing[:1]])
    return Choice(None, f"torch answers: {why}" if why else None)


def installed(runtime: str) -> bool:
    """Whether a runtime's module can be imported; imports nothing."""
    return importlib.util.find_spec(runtime) is not None


def _check_installed(form: Form) -> None:
    if not installed(form.runtime):
        raise MissingDependencyError(
            f"{form.runtime}, which computes the exported form {form.name!r}, is not installed; install it "
            f"with: pip install 'bertsmith[{form.extra}]'"
        )
    _check_imports(form)


def _check_imports(form: Form) -> None:
    """Raises MissingDependencyError for a runtime that is there, but broken."""
    try:
        importlib.import_module(form.runtime)
    except ImportError as error:
        raise MissingDependencyError(
            f"{form.runtime}, which computes the exported form {form.name!r}, cannot be imported: {error}"
        ) from error


def _having(recorded: Recorded) -> str:
    names = [form.name for form in recorded.forms()]
    return f"(it has {listed(names)})" if names else "(it has none)"


def _command(folder: Path, asked: str) -> str:
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
