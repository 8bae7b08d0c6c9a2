"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_sets() -> Path:
    """The folder of real data sets (environment variable BERTSMITH_DATA, or beside the checkout)."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BERTSMITH_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}; set BERTSMITH_DATA to their folder")
    return folder
