"""The exported forms of a bundle: graphs of its model that other runtimes compute, in its folder and its manifest.

    exported/onnx/model.onnx               ONNX, for onnxruntime
    exported/onnx-int8/model.onnx          the same, its products in whole numbers of 8 bits
    exported/openvino/model.{xml,bin}      OpenVINO's own form, computed in bfloat16 where the processor has it
    exported/openvino-int8/model.{xml,bin}

No torch here.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith.bundle import MANIFEST, WEIGHTS, check_file, described, json_text, read_manifest
from bertsmith.errors import BundleError
from bertsmith.files import move_folder, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "exported"

# The bounds of what is taken: the least share of equal answers, and how far the main scores may be apart.
LEAST_AGREEMENT = 0.99
MOST_DRIFT = 0.01


@dataclass(frozen=True, slots=True)
class Form:
    """A form in which a model can be exported. runtime: the module that computes it. main: of its files, the first.

    calibrated: the ranges of its 8 bits are learned from rows.
    """

    name: str
    runtime: str
    main: str
    extra: str
    int8: bool = False
    calibrated: bool = False


# The best first: where several are there and none is asked for by name, the first is taken. Whole numbers of 8 bits
# come last, as they are the least exact.
FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form("openvino", "openvino", "model.xml", "openvino"),
        Form("onnx", "onnxruntime", "model.onnx", "onnx"),
        Form("openvino-int8", "openvino", "model.xml", "openvino", int8=True, calibrated=True),
        Form("onnx-int8", "onnxruntime", "model.onnx", "onnx", int8=True),
    )
}


@dataclass(frozen=True, slots=True)
class ExportedForm:
    """An exported form of a bundle, as bertsmith.json records it.

    outputs: the names of the graph's outputs, in its order. reads_first: they are of a sequence's first token, not of
    each. max_length: the longest sequence that the graph takes. precision: of its products, f32, bf16, int8+f32 or
    int8+bf16; it was accepted so. of: the sha256 of the weights that it was made of. accepted: how its answers compared
    with the model's own.
    """

    form: Form
    folder: Path
    files: Mapping[str, Mapping[str, Any]]
    outputs: tuple[str, ...]
    reads_first: bool
    max_length: int
    precision: str
    of: str
    accepted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def main(self) -> Path:
        """The file that a runtime opens."""
        return self.folder / self.form.main

    def check(self) -> None:
        """Raises BundleError for a file that is missing, cut short or changed since it was accepted."""
        for name, expected in self.files.items():
            check_file(self.folder, name, expected)

    def record(self) -> dict[str, Any]:
        """As bertsmith.json holds it."""
        return {
            "of": self.of,
            "files": {name: dict(of_file) for name, of_file in self.files.items()},
            "outputs": list(self.outputs),
            "reads_first": self.reads_first,
            "max_length": self.max_length,
            "precision": self.precision,
            "accepted": dict(self.accepted),
        }


@dataclass(frozen=True, slots=True)
class Recorded:
    """The exported forms that a bundle's manifest records. A record is read when its form is asked for, so that one
    that cannot be used is in no other form's way."""

    folder: Path
    manifest: Mapping[str, Any]

    def forms(self) -> list[Form]:
        """Those that this version knows, the best first. Raises BundleError for a list of them that is none."""
        recorded = self.manifest.get("exports", {})
        if not isinstance(recorded, dict):
            raise BundleError(f"{self.folder / MANIFEST}: 'exports' must be an object, got {recorded!r}")
        return [form for name, form in FORMS.items() if name in recorded]

    def read(self, form: Form) -> ExportedForm:
        """One of them. Raises BundleError for a record that cannot be read, or of other weights than the bundle's.

        Of the weights only the size is looked at; a folder that has none is one that answers with its forms alone.
        """
        exported = _form_of(self.folder, form, self.manifest["exports"][form.name])
        weights, path = self.manifest["files"][WEIGHTS], self.folder / WEIGHTS
        at = f"{self.folder / MANIFEST}: the exported form {form.name!r}"
        if exported.of != weights["sha256"]:
            raise BundleError(f"{at} is of other weights than {WEIGHTS}: export anew with --overwrite")
        if path.is_file() and path.stat().st_size != weights["bytes"]:
            raise BundleError(
                f"{at} is of other weights than {path}, which has {path.stat().st_size} bytes, not {weights['bytes']}: "
                "it was cut short or changed after it was saved"
            )
        return exported


_RECORD_KEYS = (
    ("files", dict, "an object"),
    ("outputs", list, "a list"),
    ("reads_first", bool, "true or false"),
    ("max_length", int, "a whole number"),
    ("precision", str, "a text"),
    ("accepted", dict, "an object"),
    ("of", str, "the sha256 of the weights"),
)


def _form_of(folder: Path, form: Form, record: Any) -> ExportedForm:
    at = f"{folder / MANIFEST}: the exported form {form.name!r}"
    for key, kind, wanted in _RECORD_KEYS:
        if not isinstance(record, dict) or not isinstance(record.get(key), kind):
            found = record.get(key) if isinstance(record, dict) else record
            raise BundleError(f"{at}: {key!r} must be {wanted}, got {found!r}")
    if any(Path(name).name != name for name in record["files"]) or form.main not in record["files"]:
        raise BundleError(f"{at}: 'files' must name {form.main!r} and files beside it, got {[*record['files']]}")
    return ExportedForm(
        form=form,
        folder=folder / FOLDER / form.name,
        files=record["files"],
        outputs=tuple(record["outputs"]),
        reads_first=record["reads_first"],
        max_length=record["max_length"],
        precision=record["precision"],
        of=record["of"],
        accepted=record["accepted"],
    )


def install(exported: ExportedForm, bundle: Path) -> None:
    """Take a finished form into a bundle: its folder to its place, then its record into the manifest.

    An older form of this name is struck from the manifest first, so that at no moment a record is of other files.
    Raises BundleError if the bundle's weights are not those any more that the form was made of.
    """
    if weights_of(read_manifest(bundle, unread=None)) != exported.of:
        raise BundleError(
            f"{bundle}: its weights were replaced while they were exported, and nothing was written: export anew"
        )
    target = bundle / FOLDER / exported.form.name
    _write_record(bundle, exported.form.name, None)
    move_folder(exported.folder, target)
    _write_record(bundle, exported.form.name, exported.record())


def weights_of(manifest: Mapping[str, Any]) -> str:
    """The sha256 of the weights that a manifest names."""
    of_weights: str = manifest["files"][WEIGHTS]["sha256"]
    return of_weights


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """What the manifest says of each file of a finished form."""
    return {path.name: described(path) for path in sorted(folder.iterdir())}


def scratch(bundle: Path, form: Form) -> Path:
    """An empty folder in which a form is made; what an export that was killed left there goes."""
    folder = bundle / FOLDER / f".{form.name}.partial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def discard(folder: Path) -> None:
    """Remove a scratch folder, and the folder of exports if nothing else is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.parent.is_dir() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def _write_record(bundle: Path, name: str, record: Mapping[str, Any] | None) -> None:
    """Put a form's record into the manifest, or with None take it out."""
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    before = manifest.pop("exports", {})
    exports = {
        **{each: of_form for each, of_form in before.items() if each != name},
        **({name: record} if record else {}),
    }
    write_text(bundle / MANIFEST, json_text({**manifest, **({"exports": exports} if exports else {})}))
