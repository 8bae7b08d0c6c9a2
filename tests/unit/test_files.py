"""Files are whole or not there; what is no regular file is written to as it is."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from bertsmith.errors import InputError
from bertsmith.files import check_space, locked, move_folder, replacing, write_text

if TYPE_CHECKING:
    from pathlib import Path


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_to_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    with replacing(tmp_path / "pipe") as path:
        path.write_text("through")
    reader.join(timeout=10)
    assert read == ["through"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_folder_takes_another_ones_place(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    move_folder(tmp_path / "new", tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old" / "new").read_text() == "new"


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be locked there")
def test_a_lock_holds_for_whatever_folder_has_the_name(tmp_path: Path) -> None:
    folder, waited, entered = tmp_path / "folder", threading.Event(), threading.Event()
    folder.mkdir()

    def wait() -> None:
        with locked(folder, waiting=waited.set):
            entered.set()

    with locked(folder, waiting=lambda: None):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waited.wait(10)
        folder.rename(tmp_path / "old")
        folder.mkdir()
        with locked(folder, waiting=lambda: None):
            pass
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()
    with locked(tmp_path / "folder", waiting=lambda: pytest.fail("nobody holds it any more")):
        pass


def test_too_little_space_is_said_before_it_is_needed(tmp_path: Path) -> None:
    check_space(tmp_path / "not" / "yet", 1, what="a file")
    with pytest.raises(InputError, match=r"a state needs 1000000000\.0 GB, the disk has"):
        check_space(tmp_path, 10**18, what="a state")
