"""Files that are there whole or not at all: written under a temporary name, synced, renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bertsmith.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what was written there takes its place when the block ends without an error.

    A device or a pipe (``/dev/stdout``) is written to as it is; of a link, what it points to is replaced.
    Raises InputError as `check_writable` does.
    """
    check_writable(path)
    device = path.absolute().parts[1:2] == ("dev",)  # /dev/stdout is a link, perhaps to the file it is sent to
    if device or (path.exists() and not path.is_file()):
        yield path
        return
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raises InputError if `path` is a folder, or in a folder that does not exist."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the file to write")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {str(path.parent)!r} to write it to")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Make sure that a file's content, or a folder's list of names, is on the disk (Windows has no such call)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def move_folder(folder: Path, target: Path) -> None:
    """Put a finished folder in the place of `target`; what was there goes only when the new one stands."""
    for path in sorted(folder.rglob("*")):
        sync(path)
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    try:
        folder.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
    sync(target.parent)
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, *, waiting: Callable[[], None]) -> Iterator[None]:
    """While this lasts, no one else who asks has `folder` locked; `waiting` is called if one has, before waiting.

    Where folders cannot be locked (on Windows, on some network disks), none is.
    """
    if os.name == "nt":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            yield
            return
    finally:
        os.close(descriptor)
    with locked(folder, waiting=waiting):  # another folder took its place meanwhile
        yield


def check_space(folder: Path, needed: int, *, what: str) -> None:
    """Raises InputError if the disk that `folder` is on (or will be) has less than `needed` bytes free."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise InputError(f"{folder}: {what} needs {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB free")
