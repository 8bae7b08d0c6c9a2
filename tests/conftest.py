"""Fixtures for all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiny import Case

# The models of the tests are so small that threads would only wait for each other. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A machine that is busy with something else breaks no property.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# so that tests share `tiny` whatever folder they are in
sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(scope="session")
def data_sets() -> Path:
    """The folder of real data sets (environment variable BERTSMITH_DATA, or beside the checkout)."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BERTSMITH_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}; set BERTSMITH_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Path]:
    """The folder of a case's tiny random encoder, saved by transformers; made once. Do not write to it."""
    from tiny import write_checkpoint

    made: dict[str, Path] = {}

    def folder(case: Case) -> Path:
        if str(case) not in made:
            made[str(case)] = tmp_path_factory.mktemp(str(case))
            write_checkpoint(case, made[str(case)])
        return made[str(case)]

    return folder


@pytest.fixture(scope="session", autouse=True)
def one_precision() -> Iterator[None]:
    """What tests compare is the same on every processor: ``auto`` is float32, and bfloat16 has tests of its own."""
    from bertsmith.nn import precision

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "has_bfloat16", lambda device: False)
        yield


@pytest.fixture(autouse=True)
def quiet_transformers() -> None:
    """No progress bars of transformers in the tests' output, where a test uses it."""
    if "transformers" in sys.modules:
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
