"""`export`: every task's graph answers as the model does, or is refused; what judges never calibrates."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

import bertsmith
from bertsmith import exporting, exports, graphs
from bertsmith.bundle import MANIFEST, WEIGHTS, Bundle
from bertsmith.checkpoint import load_pretrained
from bertsmith.errors import BundleError, DataError, ExportError, MissingDependencyError, SettingsError
from bertsmith.events import Predicted
from bertsmith.exporting import Exported, export
from bertsmith.families import families
from bertsmith.infer import Predictor
from bertsmith.infer.engine import TorchBackend
from bertsmith.tasks.answer import Answer
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.mlm import Mlm
from bertsmith.tasks.regress import SAME_NUMBER, Regress
from bertsmith.tasks.tag import Tag
from cli_runs import trained, write_jsonl
from small_runs import labelled, settings_of, write_tsv
from tiny import Case, bundle_of, cases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bertsmith.events import Event
    from bertsmith.tasks import Task

TEXTS = ("A fine film.", "No.", "The plot is thin; the jokes are old, the end is near.", "I would gladly see it again.")
TASKS: dict[str, tuple[Task[Any, Any], list[dict[str, Any]]]] = {
    "classify": (Classify(labels=("a", "b", "c"), pairs=False), [{"text": text, "label": "a"} for text in TEXTS]),
    "regress": (
        Regress(pairs=False, mean=2.0, deviation=1.5),
        [{"text": text, "label": float(len(text))} for text in TEXTS],
    ),
    "tag": (
        Tag(labels=("N", "O", "V")),
        [{"words": text.split(), "tags": ["N"] * len(text.split())} for text in TEXTS],
    ),
    "answer": (
        Answer(answer_words=1),
        [{"question": "Who says so?", "passage": f"{text} So.", "answers": [text.split()[0]]} for text in TEXTS],
    ),
}


def skip_without(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def needs(to: str, *, int8: bool = False) -> None:
    skip_without({"onnx": "onnxruntime"}.get(to, to), *(("nncf", "onnx") if int8 else ()))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A trained classifier's bundle, which nothing shares."""
    return shutil.copytree(trained("single"), tmp_path / "model")


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    return write_tsv(tmp_path / "dev.tsv", labelled(60, seed=5))


def saying() -> tuple[list[str], Callable[[Event], None]]:
    said: list[str] = []
    return said, lambda event: said.append(getattr(event, "text", ""))


@pytest.mark.parametrize("to", ["onnx", "openvino"])
@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_exported(name: str, to: str, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    needs(to)
    task, rows = TASKS[name]
    bundle_of(task, load_pretrained(tiny_checkpoint(Case(families()["bert"])))).save(tmp_path / "model")
    dev = write_jsonl(tmp_path / "dev.jsonl", rows)
    # random weights decide by a hair, and bfloat16 may decide otherwise
    bounds = {} if to == "onnx" else {"least_agreement": 0.0, "most_drift": 1.0}
    found = export(tmp_path / "model", to=to, dev=dev, **bounds)  # type: ignore[arg-type]
    assert found.rows == len(rows)
    assert found.agreement_of == {"tag": "words", "regress": "numbers"}.get(name, "rows")
    if found.precision == "f32":
        assert found.agreement == 1.0
    else:
        assert (to, found.precision) == ("openvino", "bf16")
    assert found.difference < (1e-4 if found.precision == "f32" else 0.05)
    questions = [{key: value for key, value in row.items() if key in task.asked or key == "words"} for row in rows]
    answers = Predictor.load(tmp_path / "model", backend=to).predict(questions)
    assert [type(answer) for answer in answers] == [
        type(answer) for answer in Predictor.load(tmp_path / "model").predict(questions)
    ]


@pytest.mark.parametrize("case", cases(), ids=str)
def test_every_family_is_exported(case: Case, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    needs("onnx")
    task, rows = TASKS["classify"]
    bundle_of(task, load_pretrained(tiny_checkpoint(case))).save(tmp_path / "model")
    found = export(tmp_path / "model", to="onnx", dev=write_jsonl(tmp_path / "dev.jsonl", rows))
    assert found.difference < 1e-4
    assert [path.name for path in (tmp_path / "model" / "exported" / "onnx").iterdir()] == ["model.onnx"]


def test_eight_bits_are_calibrated_on_other_rows(model: Path, dev: Path, tmp_path: Path) -> None:
    needs("openvino", int8=True)
    both = write_tsv(tmp_path / "train.tsv", [*labelled(60, seed=5), *labelled(50, seed=6)])
    said, listen = saying()
    found = export(
        model, to="openvino", int8=True, dev=dev, calibrate=both, least_agreement=0.8, most_drift=0.2, listen=listen
    )
    dev_texts = {text for text, _ in labelled(60, seed=5)}
    fresh = sum(text not in dev_texts for text, _ in labelled(50, seed=6))
    assert found.calibrated_on == fresh
    assert f"{110 - fresh} rows to calibrate on are also rows to compare on, and are left out" in said
    assert (found.form, found.precision[:5]) == ("openvino-int8", "int8+")
    assert bertsmith.load(model, backend="openvino").backend.description.startswith("openvino-int8 (int8+")
    with pytest.raises(DataError, match="must not be calibrated on the rows they are judged on"):
        export(model, to="openvino", int8=True, dev=dev, calibrate=dev, overwrite=True)


def test_eight_bits_of_onnx_are_calibrated_on_nothing(model: Path, dev: Path) -> None:
    needs("onnx", int8=True)
    said, listen = saying()
    found = export(
        model, to="onnx", int8=True, dev=dev, calibrate=dev, least_agreement=0.8, most_drift=0.2, listen=listen
    )
    assert f"the form 'onnx-int8' calibrates nothing, and {dev} is not read" in said
    assert (found.form, found.precision, found.calibrated_on) == ("onnx-int8", "int8+f32", 0)
    assert found.difference > 0, "8 bits are not 32"
    assert bertsmith.load(model, backend="onnx").backend.description == "onnx-int8 (int8+f32)"
    accepted = json.loads((model / MANIFEST).read_text())["exports"]["onnx-int8"]["accepted"]
    assert set(accepted["versions"]) == {"bertsmith", "torch", "onnxruntime", "onnx"}


@pytest.mark.parametrize("bounds", [{"least_agreement": 1.0}, {"most_drift": 0.0}])
def test_beyond_a_bound_nothing_is_written(
    bounds: dict[str, Any], model: Path, dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("onnx")
    before = {path.name: path.read_bytes() for path in model.iterdir()}

    def turned(backend: Any, encoded: Any, _listen: Any) -> list[Any]:
        found = dict(backend.outputs([sequence for of_row in encoded for sequence in of_row]))
        flipped = 0 if isinstance(backend, TorchBackend) else 5
        return [
            {"logits": -output["logits"] if index < flipped else output["logits"]}
            for index, output in sorted(found.items())
        ]

    monkeypatch.setattr(exporting, "_all_outputs", turned)
    with pytest.raises(ExportError, match="'onnx' is refused, and nothing was written: on 60 rows") as refused:
        export(model, to="onnx", dev=dev, **{"least_agreement": 0.0, "most_drift": 1.0, **bounds})
    assert refused.value.compared is not None
    assert refused.value.compared["agreement"] == pytest.approx(55 / 60)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_an_accepted_form_is_recorded(model: Path, dev: Path) -> None:
    needs("onnx")
    found = export(model, to="onnx", dev=dev)
    record = json.loads((model / MANIFEST).read_text())["exports"]["onnx"]
    path = model / "exported" / "onnx" / "model.onnx"
    assert record["files"]["model.onnx"]["bytes"] == path.stat().st_size == found.bytes
    accepted = record["accepted"]
    assert (accepted["agreement"], accepted["rows"], accepted["drift"]) == (1.0, 60, 0.0)
    assert set(accepted["versions"]) == {"bertsmith", "torch", "onnx", "onnxruntime"}
    assert Bundle.load(model).model, "the bundle opens as before"
    with pytest.raises(BundleError, match="has an exported form 'onnx' already; replace it with --overwrite"):
        export(model, to="onnx", dev=dev)
    assert export(model, to="onnx", dev=dev, overwrite=True).agreement == 1.0


def test_a_saved_bundle_has_no_forms_of_another(model: Path, dev: Path, tmp_path: Path) -> None:
    needs("onnx")
    export(model, to="onnx", dev=dev)
    bundle = Bundle.load(model)
    for folder in (tmp_path / "copy", model):
        bundle.save(folder, overwrite=True)
        assert "exports" not in json.loads((folder / MANIFEST).read_text())
        assert not (folder / "exported").exists()


def test_a_killed_export_is_in_nobodys_way(model: Path, dev: Path) -> None:
    needs("onnx")
    scratch = exports.scratch(model, exports.FORMS["onnx"])
    (scratch / "model.onnx").write_bytes(b"half")
    assert not bertsmith.load(model).is_exported
    export(model, to="onnx", dev=dev)
    assert [path.name for path in (model / "exported").iterdir()] == ["onnx"]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
def test_exports_into_one_folder_wait_for_one_another(model: Path, dev: Path) -> None:
    needs("onnx")
    needs("openvino")
    began = threading.Barrier(3)
    said: list[str] = []

    def exporting_to(to: Literal["onnx", "openvino"]) -> Exported:
        began.wait()
        return export(model, to=to, dev=dev, listen=lambda event: said.append(getattr(event, "text", "")))

    def as_often(to: Literal["onnx", "openvino"]) -> str:
        try:
            return exporting_to(to).form
        except BundleError as error:
            return str(error)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(as_often, ("onnx", "openvino", "openvino")))
    assert sorted(found)[1:] == ["onnx", "openvino"]
    assert "has an exported form 'openvino' already" in sorted(found)[0], "the second one into the same place"
    assert said.count(f"waiting for another export into {model} to end") == 2
    assert set(json.loads((model / MANIFEST).read_text())["exports"]) == {"onnx", "openvino"}
    assert sorted(path.name for path in (model / "exported").iterdir()) == ["onnx", "openvino"]


def test_how_far_the_comparison_is_can_be_heard(model: Path, dev: Path) -> None:
    needs("onnx")
    events: list[Event] = []
    export(model, to="onnx", dev=dev, listen=events.append)
    answered = [(event.rows, event.of) for event in events if isinstance(event, Predicted)]
    assert answered == [(60, 60), (60, 60)], "the model's, then the export's"


def test_rows_are_those_of_the_run(tmp_path: Path) -> None:
    """With dev its file; without, what was held out, and 8 bits are calibrated on what was not."""
    needs("openvino", int8=True)
    rows = labelled(80, seed=1)
    train = write_tsv(tmp_path / "train.tsv", rows)
    settings = settings_of(train=train, dev_fraction=0.25, epochs=1.0, out=tmp_path / "held")
    run = bertsmith.train("classify", settings)
    assert run.evaluation is not None
    held = [example.text for example in run.evaluation.examples]
    bundle = Bundle.load(tmp_path / "held")
    found = exporting._rows(bundle, None, None, None, None, calibrated=True, listen=lambda event: None)
    assert [example.text for example in found.dev] == held
    assert found.calibrated_on == len([text for text, _ in rows if text not in held])
    judging = bundle.task.encode(found.dev, bundle.tokenizer, max_length=bundle.max_length)
    assert not {tuple(each.ids) for each in found.calibrate} & {tuple(each.ids) for (each,) in judging}
    train.unlink()
    with pytest.raises(SettingsError, match=r"no rows to compare answers on.*--dev FILE"):
        export(tmp_path / "held", to="openvino")
    dev = write_tsv(tmp_path / "dev.tsv", labelled(40, seed=5))
    with pytest.raises(SettingsError, match=r"no rows to calibrate 8 bits on.*--calibrate FILE"):
        export(tmp_path / "held", to="openvino", int8=True, dev=dev)


def test_rows_of_training_that_changed_are_refused(tmp_path: Path) -> None:
    needs("onnx")
    train = write_tsv(tmp_path / "train.tsv", labelled(60, seed=1))
    dev = write_tsv(tmp_path / "dev.tsv", labelled(40, seed=5))
    other = write_tsv(tmp_path / "other.tsv", labelled(40, seed=6))
    quick = {"train": train, "max_steps": 2, "epochs": 1.0}
    bertsmith.train("classify", settings_of(**quick, dev=dev, out=tmp_path / "dev"))
    bertsmith.train("classify", settings_of(**quick, dev_fraction=0.25, out=tmp_path / "held"))
    said, listen = saying()
    assert export(tmp_path / "dev", to="onnx", listen=listen).rows == 40
    assert not [text for text in said if "as it was in training" in text]
    dev.write_bytes(other.read_bytes())
    with pytest.raises(SettingsError, match=r"dev\.tsv: the file has changed since the model was trained.*--dev FILE"):
        export(tmp_path / "dev", to="onnx", overwrite=True)
    assert export(tmp_path / "dev", to="onnx", overwrite=True, dev=dev).rows == 40
    train.write_bytes(other.read_bytes())
    with pytest.raises(SettingsError, match=r"train\.tsv: the file has changed.*--dev FILE"):
        export(tmp_path / "held", to="onnx")
    rows = exporting._rows
    with pytest.raises(SettingsError, match=r"train\.tsv: the file has changed.*--calibrate FILE"):
        rows(Bundle.load(tmp_path / "dev"), dev, None, None, None, calibrated=True, listen=listen)
    bundle = Bundle.load(tmp_path / "dev")
    older = replace(bundle, training={key: value for key, value in bundle.training.items() if key != "data"})
    assert len(rows(older, None, None, None, None, calibrated=False, listen=listen).dev) == 40
    assert f"{dev}: whether it is as it was in training is not known: this bundle does not say what it held" in said


def test_weights_that_are_replaced_meanwhile_are_refused(
    model: Path, dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("onnx")
    compared = exporting._compared

    def slowly(*arguments: Any) -> Any:
        manifest = json.loads((model / MANIFEST).read_text())
        manifest["files"][WEIGHTS]["sha256"] = "0" * 64
        (model / MANIFEST).write_text(json.dumps(manifest))
        return compared(*arguments)

    monkeypatch.setattr(exporting, "_compared", slowly)
    with pytest.raises(BundleError, match="its weights were replaced while they were exported, and nothing was"):
        export(model, to="onnx", dev=dev)
    assert "exports" not in json.loads((model / MANIFEST).read_text())
    assert not (model / "exported").exists()


def test_other_records_are_in_no_exports_way(model: Path, dev: Path) -> None:
    needs("onnx")
    manifest = json.loads((model / MANIFEST).read_text())
    (model / MANIFEST).write_text(json.dumps({**manifest, "exports": {"openvino": "unreadable"}}))
    export(model, to="onnx", dev=dev)
    assert set(json.loads((model / MANIFEST).read_text())["exports"]) == {"openvino", "onnx"}
    (model / MANIFEST).write_text(json.dumps({**manifest, "exports": ["onnx"]}))
    with pytest.raises(BundleError, match="'exports' must be an object"):
        export(model, to="onnx", dev=dev, overwrite=True)


def test_refuses_what_it_cannot_export(
    model: Path, dev: Path, tmp_path: Path, tiny_checkpoint: Callable[[Case], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("onnx")
    with pytest.raises(SettingsError, match="to must be one of"):
        export(model, to="tflite")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="least_agreement must be from 0 to 1, got 2"):
        export(model, to="onnx", dev=dev, least_agreement=2)
    with pytest.raises(BundleError, match="no such folder"):
        export(tmp_path / "nothing", to="onnx")
    bundle_of(Mlm(), load_pretrained(tiny_checkpoint(Case(families()["bert"])))).save(tmp_path / "words")
    with pytest.raises(SettingsError, match="a mlm model cannot be exported: its head reads chosen words"):
        export(tmp_path / "words", to="onnx")
    (tmp_path / "words" / MANIFEST).unlink()
    with pytest.raises(BundleError, match=r"holds no bertsmith.json.*bundle.save"):
        export(tmp_path / "words", to="onnx")
    monkeypatch.setattr(graphs, "MOST_BYTES", 1000)
    with pytest.raises(ExportError, match="one ONNX file, from which every form is made, holds"):
        export(model, to="onnx", dev=dev)
    monkeypatch.setattr(exporting, "installed", lambda module: module != "onnx")
    with pytest.raises(MissingDependencyError, match=r"onnx is not installed.*bertsmith\[openvino\]"):
        export(model, to="openvino", dev=dev)
    monkeypatch.setattr(exporting, "installed", lambda module: module != "nncf")
    with pytest.raises(MissingDependencyError, match=r"nncf is not installed.*bertsmith\[int8\]"):
        export(model, to="openvino", int8=True, dev=dev)
    assert not (model / "exported").exists()
    assert (model / WEIGHTS).is_file()


def test_labels_that_the_model_does_not_know_are_found_before_the_work(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("onnx")
    monkeypatch.setattr(exporting, "_made", lambda *_, **__: pytest.fail("a graph is written"))
    other = tmp_path / "other.tsv"
    other.write_text("text\tlabel\na film\tnobody\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"other\.tsv:2: label 'nobody' is not one of"):
        export(model, to="onnx", dev=other)


def test_numbers_agree_within_a_share_of_their_range() -> None:
    task, _ = TASKS["regress"]

    def of(values: Sequence[float]) -> list[Any]:
        return [type("Number", (), {"value": value, "target": value})() for value in values]

    right = of([0.0, 10.0])
    assert exporting._agreeing(task, right, right, of([0.19, 10.21])) == (1, 2)
    assert np.isclose(SAME_NUMBER, 0.02)
    equal = of([3.0])
    near = SAME_NUMBER * TASKS["regress"][0].deviation  # type: ignore[attr-defined]  # a Regress
    assert exporting._agreeing(task, equal, equal, of([3.0 + 0.9 * near])) == (1, 1), "the scale is that of training"
    assert exporting._agreeing(task, equal, equal, of([3.0 + 1.1 * near])) == (0, 1)


@pytest.mark.parametrize("name", TASKS)
def test_outputs_that_are_no_numbers_are_refused(
    name: str, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("onnx")
    task, rows = TASKS[name]
    bundle_of(task, load_pretrained(tiny_checkpoint(Case(families()["bert"])))).save(tmp_path / "model")

    def spoiled(backend: Any, encoded: Any, _listen: Any) -> list[Any]:
        found = [output for _, output in sorted(backend.outputs([each for of_row in encoded for each in of_row]))]
        if not isinstance(backend, TorchBackend):
            found[2] = {key: np.full_like(values, np.nan) for key, values in found[2].items()}
        return found

    monkeypatch.setattr(exporting, "_all_outputs", spoiled)
    with pytest.raises(ExportError, match="some of its outputs are no finite numbers") as refused:
        export(
            tmp_path / "model",
            to="onnx",
            dev=write_jsonl(tmp_path / "dev.jsonl", rows),
            least_agreement=0.0,
            most_drift=1.0,
        )
    assert refused.value.compared is not None
    assert refused.value.compared["largest_difference"] is None, "which JSON has no number for"
