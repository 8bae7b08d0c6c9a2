"""The folder of a run: while it runs everything is in ``<out>.partial``, and at its end the whole folder is moved.

run.toml          the resolved settings
metrics.jsonl     the events
state.safetensors what a stopped or killed run resumes from; gone at the end
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertsmith.bundle import check_replaceable
from bertsmith.errors import BundleError, InputError, SettingsError
from bertsmith.events import Event, Listener, MetricsFile, TensorBoardFile
from bertsmith.files import move_folder, write_text
from bertsmith.training.state import read_position

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bertsmith.bundle import Bundle

STATE = "state.safetensors"
METRICS = "metrics.jsonl"
RUN = "run.toml"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run is made (`partial`) and where it stands at its end (`out`)."""

    out: Path
    partial: Path

    @classmethod
    def of(cls, out: Path | None, *, resume: bool, overwrite: bool) -> RunFolder:
        """Raises SettingsError for no folder's name, BundleError if the run would cost what is there, or if there is
        nothing to resume."""
        if out is None:
            raise SettingsError("'out' is missing: the folder for the trained model, as in --out runs/mine")
        if out.name in ("", ".."):
            raise SettingsError(f"out must be a folder's name, got {str(out)!r}")
        folder = cls(out, out.with_name(f"{out.name}.partial"))
        folder._check(resume=resume, overwrite=overwrite)
        return folder

    def _check(self, *, resume: bool, overwrite: bool) -> None:
        out, partial = self.out, self.partial
        if resume:
            if not (partial / RUN).is_file():
                raise BundleError(f"{partial}: there is no run to resume")
            return
        if out.is_dir() and not overwrite:
            raise BundleError(f"{out}: is there already; choose another --out, or replace it with --overwrite")
        check_replaceable(out)
        if partial.exists() and not overwrite:
            raise BundleError(
                f"{partial}: a run that has not ended is there; go on with --resume {out}, or begin anew with "
                "--overwrite"
            )
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if not above.is_dir():
            raise BundleError(f"{out}: {above} is a file, and cannot hold a folder; choose another --out")

    @property
    def state(self) -> Path:
        """The file of what a run resumes from."""
        return self.partial / STATE

    @contextmanager
    def running(
        self, settings: str, *, resume: bool, tensorboard: bool, listen: Listener, keep: Sequence[str] = ()
    ) -> Iterator[Listener]:
        """While a run goes on: a listener that tells the caller's, metrics.jsonl and, if asked for, TensorBoard.

        settings: of the run, as TOML. What an older run left goes, unless this one resumes it. A run that fails
        leaves nothing behind, out of the way of the mended command, unless its state is there to be resumed. keep:
        names in the folder that are worth resuming from, too, if what ended the run was no mistake in its input.
        """
        partial = self.partial
        if not resume and partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        if self.state.exists():
            position = read_position(self.state)
            MetricsFile.cut_after(partial / METRICS, attempt=position.attempt, step=position.step)
        else:  # a new run, or one that was killed before it saved anything
            (partial / METRICS).unlink(missing_ok=True)
            write_text(partial / RUN, settings)
        files: list[MetricsFile | TensorBoardFile] = []

        def everyone(event: Event) -> None:
            for file in files:
                file(event)
            listen(event)

        try:
            files.append(MetricsFile(partial / METRICS))
            if tensorboard:
                files.append(TensorBoardFile(partial / "tensorboard"))
            yield everyone
        except BaseException as error:
            worth = (STATE,) if isinstance(error, InputError) else (STATE, *keep)
            if not any((partial / name).exists() for name in worth):
                shutil.rmtree(partial)
            raise
        finally:
            for file in files:
                file.close()

    def finish(self, bundle: Bundle, *, without: Sequence[str] = ()) -> None:
        """Write the bundle and put the whole folder where it belongs; `without` what only the run needed."""
        bundle.write(self.partial)
        for leftover in self.partial.glob(".*.tmp"):  # of a run that was killed while it saved
            leftover.unlink()
        move_folder(self.partial, self.out)
        (self.out / STATE).unlink(missing_ok=True)  # only now: until here, a kill costs no more than the last steps
        for name in without:
            path = self.out / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
