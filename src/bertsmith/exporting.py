"""`export`: a model's graph for another runtime, taken into its bundle only if it answers as the model does.

The judge is the model itself, in float32, on rows with labels (dev). OpenVINO's graph in 8 bits learns the ranges of
its numbers from other rows (train): rows with the texts of those that judge are left out.
"""

from __future__ import annotations

import importlib.metadata
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from bertsmith import __version__, exports
from bertsmith.api import read_examples
from bertsmith.batching import shuffled
from bertsmith.bundle import MANIFEST, Bundle, check_is_folder, read_manifest
from bertsmith.config import Settings
from bertsmith.errors import BundleError, DataError, ExportError, SettingsError
from bertsmith.evaluation import score
from bertsmith.events import Predicted, Said, nobody
from bertsmith.exports import FORMS, LEAST_AGREEMENT, MOST_DRIFT, ExportedForm, Recorded, weights_of
from bertsmith.files import locked, sha256
from bertsmith.infer.answering import answered
from bertsmith.infer.backends import installed, opened
from bertsmith.infer.engine import TorchBackend
from bertsmith.nn.layout import Reads
from bertsmith.strict import checked
from bertsmith.training.run import divided

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bertsmith.data import ReadOptions
    from bertsmith.events import Listener
    from bertsmith.infer.backends import Backend
    from bertsmith.records import Encoded
    from bertsmith.tasks import Output, Task

# Rows whose numbers set the ranges of 8 bits; NNCF's own default.
CALIBRATED_ON = 300


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` made and how it compares with the model itself.

    agreement: the share of answers that are the same: of rows, of words where each is answered, of numbers.
    score_before, score: the main score of the model and of its export. drift: how far these are apart; None where one
    is undefined.
    difference: the largest of any output. calibrated_on: rows that set the ranges of 8 bits. bytes: of all its files.
    """

    folder: Path
    form: str
    precision: str
    rows: int
    agreement: float
    agreement_of: str
    main: str
    score_before: float | None
    score: float | None
    drift: float | None
    difference: float
    calibrated_on: int
    bytes: int

    def record(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "form": self.form,
            "precision": self.precision,
            "bytes": self.bytes,
            "rows": self.rows,
            "agreement": self.agreement,
            "agreement_of": self.agreement_of,
            "main": self.main,
            "score_before": self.score_before,
            "score": self.score,
            "drift": self.drift,
            "largest_difference": self.difference if math.isfinite(self.difference) else None,
            "calibrated_on": self.calibrated_on,
        }


def export(
    folder: str | Path,
    *,
    to: Literal["onnx", "openvino"],
    int8: bool = False,
    dev: str | Path | None = None,
    calibrate: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    reading: ReadOptions | None = None,
    least_agreement: float = LEAST_AGREEMENT,
    most_drift: float = MOST_DRIFT,
    overwrite: bool = False,
    listen: Listener = nobody,
) -> Exported:
    """Write the model of a bundle in another runtime's form into its folder, if its answers stay the same.

    dev: rows with labels to compare answers on; left out, those that training scored. calibrate: rows that set the
    ranges of 8 bits; left out, those that were trained on. A file of training's that has changed since is refused.
    columns, reading: how these files are read, if not as in training.
    Exports into one folder wait for one another, where folders can be locked (not on Windows).
    Raises ExportError if fewer than `least_agreement` of the answers are the same or the main score is off by more than
    `most_drift`, and nothing is left behind; SettingsError for a task that cannot be exported or rows that cannot be
    found; BundleError if the weights are replaced meanwhile; MissingDependencyError if the runtime, or what makes 8
    bits, is not installed.
    """
    form = _form(to, int8=int8)
    _check_bounds(least_agreement, most_drift)
    if calibrate is not None and not form.calibrated:
        listen(Said(f"the form {form.name!r} calibrates nothing, and {calibrate} is not read", warning=True))
        calibrate = None
    folder = Path(folder)
    check_is_folder(folder)
    _check_runtime(form)
    _check_free(folder, form, overwrite=overwrite)
    with locked(folder, waiting=lambda: listen(Said(f"waiting for another export into {folder} to end"))):
        weights = _check_free(folder, form, overwrite=overwrite)
        bundle = Bundle.load(folder)
        _check_task(bundle)
        rows = _rows(bundle, dev, calibrate, columns, reading, calibrated=form.calibrated, listen=listen)
        scratch = exports.scratch(folder, form)
        try:
            listen(Said(f"writing the graph for {form.name}"))
            made = _made(bundle, form, scratch, rows, weights=weights)
            listen(Said(f"comparing its answers with the model's on {len(rows.dev):,} rows"))
            model = _ByModel.of(bundle, rows.dev, listen)
            found = _compared(model, made, rows, folder, listen)
            if form.calibrated and _beyond(found, least_agreement, most_drift):
                listen(Said(f"{found.agreement:.4f} agree: once more, with fewer products in 8 bits"))
                scratch = exports.scratch(folder, form)
                made = _made(bundle, form, scratch, rows, weights=weights, careful=True)
                found = _compared(model, made, rows, folder, listen)
            _refuse_beyond(found, least_agreement, most_drift)
            exports.install(_accepted(made, found, least_agreement, most_drift), folder)
        finally:
            exports.discard(scratch)
    return found


def _form(to: str, *, int8: bool) -> exports.Form:
    runtimes = [name for name in FORMS if not FORMS[name].int8]
    if to not in runtimes:
        raise SettingsError(f"to must be one of {sorted(runtimes)}, got {to!r}")
    return FORMS[f"{to}-int8" if int8 else to]


def _check_bounds(least_agreement: float, most_drift: float) -> None:
    if not 0 <= least_agreement <= 1:
        raise SettingsError(f"least_agreement must be from 0 to 1, got {least_agreement}")
    if not 0 <= most_drift < math.inf:
        raise SettingsError(f"most_drift must be 0 or more, got {most_drift}")


def _check_free(folder: Path, form: exports.Form, *, overwrite: bool) -> str:
    """The sha256 of the weights that a folder says it has. Raises BundleError if the form cannot be put there."""
    if not (folder / MANIFEST).is_file():
        raise BundleError(
            f"{folder}: holds no {MANIFEST}, in which exported forms are recorded; make it a bundle first: "
            f"python -c \"import bertsmith; bertsmith.load('{folder}').bundle.save('BUNDLE')\""
        )
    manifest = read_manifest(folder, unread=None)
    recorded = Recorded(folder, manifest).forms()  # what cannot be read must not be found only when the work is done
    if not overwrite and form in recorded:
        raise BundleError(f"{folder}: has an exported form {form.name!r} already; replace it with --overwrite")
    return weights_of(manifest)


def _check_task(bundle: Bundle) -> None:
    if bundle.model.head.reads is Reads.CHOSEN:
        raise SettingsError(
            f"a {bundle.task.name} model cannot be exported: its head reads chosen words, not a text's first token or "
            "each of them; what can be: answer, classify, regress, tag"
        )


def _check_runtime(form: exports.Form) -> None:
    from bertsmith.errors import MissingDependencyError

    for module, extra in _modules(form).items():
        if not installed(module):
            raise MissingDependencyError(
                f"{module} is not installed; install it with: pip install 'bertsmith[{extra}]'"
            )


def _modules(form: exports.Form) -> dict[str, str]:
    """What a form is made with beside torch, each with the extra that installs it."""
    calibrates = {"nncf": "int8"} if form.calibrated else {}
    return {form.runtime: form.extra, "onnx": form.extra, **calibrates}


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that judge, and the sequences of those that calibrate, with how many rows these are."""

    dev: Sequence[Any]
    calibrate: Sequence[Encoded] = ()
    calibrated_on: int = 0


def _rows(
    bundle: Bundle,
    dev: str | Path | None,
    calibrate: str | Path | None,
    columns: Mapping[str, str] | None,
    reading: ReadOptions | None,
    *,
    calibrated: bool,
    listen: Listener,
) -> _Rows:
    settings = _settings(bundle) or Settings(dev_fraction=0)

    def read(path: str | Path) -> Sequence[Any]:
        examples, rows = read_examples(
            bundle.task,
            Path(path),
            settings.columns if columns is None else columns,
            reading or settings.reading,
            preferred=bundle.columns,
        )
        listen(Said(rows.describe()))
        return examples

    def of_training(path: Path, key: str, *, instead: str) -> Sequence[Any]:
        _check_unchanged(bundle, path, key, instead=instead, listen=listen)
        return read(path)

    train, scored = _still_there(settings.train), _still_there(settings.dev)
    judges = None
    if dev is not None:
        judges = read(dev)
    elif scored is not None:
        judges = of_training(scored, "dev data", instead="--dev FILE")
    learned_from = read(calibrate) if calibrate is not None else None
    held_out = settings.dev is None and settings.dev_fraction > 0
    if train is not None and ((judges is None and held_out) or (calibrated and learned_from is None)):
        judging = judges is None and held_out
        rest, held = of_training(train, "train data", instead="--dev FILE" if judging else "--calibrate FILE"), None
        if held_out:
            rest, held = _as_divided(bundle, rest, settings)
        if judges is None and held:
            listen(Said(f"the {len(held):,} rows that training held out compare the answers"))
            judges = held
        learned_from = rest if learned_from is None else learned_from
    if not judges:
        raise SettingsError(
            "there are no rows to compare answers on: the rows that training scored are not where they were; name a "
            "file with labels (on the command line --dev FILE)"
        )
    bundle.task.check(judges)  # now, not when their answers are computed
    if not calibrated:
        return _Rows(judges)
    if not learned_from:
        raise SettingsError(
            "there are no rows to calibrate 8 bits on: the rows that were trained on are not where they were; name a "
            "file of such rows (on the command line --calibrate FILE)"
        )
    return _calibrating(bundle, judges, learned_from, listen)


def _still_there(path: Path | None) -> Path | None:
    return path if path is not None and path.is_file() else None


def _check_unchanged(bundle: Bundle, path: Path, key: str, *, instead: str, listen: Listener) -> None:
    """Raises SettingsError for a file of training's that holds something else now; says so if that is not known."""
    recorded = bundle.training.get("data")
    before = recorded.get(key) if isinstance(recorded, dict) else None
    if not isinstance(before, str):
        text = f"{path}: whether it is as it was in training is not known: this bundle does not say what it held"
        listen(Said(text, warning=True))
    elif sha256(path) != before:
        raise SettingsError(
            f"{path}: the file has changed since the model was trained, so its rows are not those of training; name a "
            f"file of such rows (on the command line {instead})"
        )


def _settings(bundle: Bundle) -> Settings | None:
    """The settings of the run that made a bundle; None of a bundle that no run has made, or an unreadable one."""
    values = bundle.training.get("settings")
    if not isinstance(values, dict):
        return None
    try:
        return checked(Settings, {name: value for name, value in values.items() if name in Settings.model_fields})
    except SettingsError:
        return None


def _as_divided(
    bundle: Bundle, examples: Sequence[Any], settings: Settings
) -> tuple[Sequence[Any], Sequence[Any] | None]:
    """The rows that were trained on and those that were held out, as training divided them."""
    attempt = bundle.training.get("attempt")
    first_seed = settings.seed - (attempt if isinstance(attempt, int) else 0)  # restarts count the seed up
    before = settings.model_copy(update={"seed": max(0, first_seed), "device": "cpu"})
    _, rest, held = divided(bundle.task, examples, None, before)
    return rest, held


def _calibrating(bundle: Bundle, judges: Sequence[Any], rows: Sequence[Any], listen: Listener) -> _Rows:
    """A sample of the rows, without those whose texts are in rows that judge."""
    task = bundle.task
    of_judges = {task.content(example) for example in judges}
    fresh = [example for example in rows if task.content(example) not in of_judges]
    if len(fresh) < len(rows):
        listen(Said(f"{len(rows) - len(fresh):,} rows to calibrate on are also rows to compare on, and are left out"))
    if not fresh:
        raise DataError(
            f"{rows[0].place.source}: all of its rows are among those that compare the answers, and 8 bits must not be "
            "calibrated on the rows they are judged on; give other rows (on the command line --calibrate FILE)"
        )
    chosen = [fresh[row] for row in sorted(shuffled(len(fresh), seed=0, epoch=0)[:CALIBRATED_ON])]
    encoded = task.encode(chosen, bundle.tokenizer, max_length=bundle.max_length)
    return _Rows(judges, [sequences[0] for sequences in encoded], len(chosen))


def _made(
    bundle: Bundle, form: exports.Form, scratch: Path, rows: _Rows, *, weights: str, careful: bool = False
) -> ExportedForm:
    """The graph, in its scratch folder. weights: the sha256 of the bundle's."""
    from bertsmith import graphs

    target = scratch / form.main
    if form.name == "onnx":
        names = graphs.write_onnx(bundle.model, target)
    else:
        source = scratch / "float32.onnx"
        names = graphs.write_onnx(bundle.model, source)
        if form.name == "openvino":
            graphs.write_openvino(source, target)
        elif form.name == "openvino-int8":
            graphs.write_openvino_int8(source, target, rows.calibrate, careful=careful)
        else:
            graphs.write_onnx_int8(source, target)
        source.unlink()
    return ExportedForm(
        form=form,
        folder=scratch,
        files=exports.files_of(scratch),
        outputs=names,
        reads_first=bundle.model.head.reads is Reads.FIRST,
        max_length=bundle.model.encoder.config.max_length,
        precision=_precision(form),
        of=weights,
    )


def _precision(form: exports.Form) -> str:
    if form.runtime != "openvino":
        return "int8+f32" if form.int8 else "f32"
    from bertsmith.infer.backends.openvino import fastest_floats

    floats = fastest_floats()
    return f"int8+{floats}" if form.int8 else floats


@dataclass(frozen=True, slots=True)
class _Replayed:
    """Gives outputs that were computed before."""

    found: Sequence[Output]
    description: str = "outputs computed before"

    def outputs(self, sequences: Sequence[Encoded]) -> Iterator[tuple[int, Output]]:
        assert len(sequences) == len(self.found), "an output for each sequence"
        return iter(enumerate(self.found))


@dataclass(frozen=True, slots=True)
class _ByModel:
    """The rows that judge, with what the model itself answers for them: `outputs` for each of their sequences."""

    task: Task[Any, Any]
    examples: Sequence[Any]
    encoded: Sequence[Sequence[Encoded]]
    outputs: Sequence[Output]

    @classmethod
    def of(cls, bundle: Bundle, examples: Sequence[Any], listen: Listener) -> Self:
        encoded = bundle.task.encode(examples, bundle.tokenizer, max_length=bundle.max_length)
        outputs = _all_outputs(TorchBackend(bundle.model), encoded, listen)
        return cls(bundle.task, examples, encoded, outputs)

    def answers(self, outputs: Sequence[Output]) -> list[Any]:
        """The predictions that outputs for these sequences make."""
        return answered(self.task, _Replayed(outputs), self.examples, self.encoded)


def _compared(model: _ByModel, made: ExportedForm, rows: _Rows, folder: Path, listen: Listener) -> Exported:
    task, examples, own = model.task, model.examples, model.outputs
    others = _all_outputs(opened(made), model.encoded, listen)
    predictions, exported = model.answers(own), model.answers(others)
    before, after = (_main_score(task, examples, each) for each in (predictions, exported))
    same, counted = _agreeing(task, examples, predictions, exported)
    return Exported(
        folder=folder,
        form=made.form.name,
        precision=made.precision,
        rows=len(examples),
        agreement=same / counted if counted else 1.0,
        agreement_of=task.decides,
        main=task.main_score(),
        score_before=before,
        score=after,
        drift=None if before is None or after is None else abs(after - before),
        difference=_difference(own, others),
        calibrated_on=rows.calibrated_on,
        bytes=sum(of_file["bytes"] for of_file in made.files.values()),
    )


def _all_outputs(backend: Backend, encoded: Sequence[Sequence[Encoded]], listen: Listener) -> list[Output]:
    """The outputs for the sequences of all rows, one row's after another's."""
    sequences = [sequence for of_row in encoded for sequence in of_row]
    found: dict[int, Output] = {}
    began = time.perf_counter()
    for index, output in backend.outputs(sequences):
        found[index] = output
        if len(found) % 256 == 0 or len(found) == len(sequences):
            # in rows, of which one may have several sequences
            rows = len(found) * len(encoded) // len(sequences)
            listen(Predicted(rows, len(encoded), time.perf_counter() - began))
    return [found[index] for index in range(len(sequences))]


def _difference(own: Sequence[Output], others: Sequence[Output]) -> float:
    """The largest of any output; no finite number if one of the outputs is none."""
    with np.errstate(invalid="ignore"):  # two infinite ones
        each = [
            np.abs(one[name] - other[name]).max(initial=0.0)
            for one, other in zip(own, others, strict=True)
            for name in one
        ]
    return float(np.max(each))  # unlike Python's, NumPy's is NaN if one of them is


def _main_score(task: Task[Any, Any], examples: Sequence[Any], predictions: Sequence[Any]) -> float | None:
    return score(task, examples, predictions, resamples=0).scores.values[task.main_score()].value


def _agreeing(
    task: Task[Any, Any], examples: Sequence[Any], predictions: Sequence[Any], others: Sequence[Any]
) -> tuple[int, int]:
    """How many of the decisions are the same, and of how many."""
    agreeing = task.agreeing(examples)
    same = [each for pair in zip(predictions, others, strict=True) for each in agreeing(*pair)]
    return sum(same), len(same)


def _beyond(found: Exported, least_agreement: float, most_drift: float) -> list[str]:
    """What is beyond the bounds."""
    wrong = []
    if found.agreement < least_agreement:
        wrong.append(
            f"{found.agreement:.4f} of the {found.agreement_of} have the same answer, wanted {least_agreement:g}"
        )
    if found.drift is not None and not found.drift <= most_drift:
        wrong.append(
            f"{found.main} is {found.score:.4f} instead of {found.score_before:.4f}, wanted within {most_drift:g}"
        )
    if not math.isfinite(found.difference):
        wrong.append("some of its outputs are no finite numbers")
    return wrong


def _refuse_beyond(found: Exported, least_agreement: float, most_drift: float) -> None:
    if wrong := _beyond(found, least_agreement, most_drift):
        raise ExportError(
            f"the exported form {found.form!r} is refused, and nothing was written: on {found.rows:,} rows "
            f"{'; '.join(wrong)}",
            compared=found.record(),
        )


def _accepted(made: ExportedForm, found: Exported, least_agreement: float, most_drift: float) -> ExportedForm:
    used = ("torch", *_modules(made.form))
    packages = {"bertsmith": __version__} | {package: importlib.metadata.version(package) for package in used}
    record = {name: value for name, value in found.record().items() if name not in ("form", "precision", "bytes")}
    record |= {"least_agreement": least_agreement, "most_drift": most_drift, "versions": packages}
    return replace(made, accepted=record)
