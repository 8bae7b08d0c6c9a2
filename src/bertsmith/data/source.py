"""Where rows come from: the decoded lines of a file, a gzip file, a pipe or standard input."""

from __future__ import annotations

import codecs
import contextlib
import functools
import gzip
import io
import itertools
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from bertsmith.errors import DataError, nearest
from bertsmith.records import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

# Byte order marks of encodings that are not valid UTF-8; the longer first, as one begins like the other.
_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_BLOCK = 1 << 16


def without_end(line: str) -> str:
    """The line without its line end, which is ``\\n`` or ``\\r\\n``; a ``\\r`` anywhere else is text."""
    return line[:-2] if line.endswith("\r\n") else line.removesuffix("\n")


class LongLineError(ValueError):
    """A line has more characters than it may have."""


class Source:
    """The lines of one file. They end at ``\\n`` only: U+2028, ``\\x0b``, ``\\x85`` stand inside real texts.

    A file is opened anew for each reading. Standard input (the path ``-``) and pipes can be read only `once`.
    """

    def __init__(self, path: Path | str, *, encoding: str = "utf-8", most_characters: int | None = None) -> None:
        """most_characters: of a line; a longer one is an error, found without reading all of it into memory.

        Raises: DataError where there is no such file, or where it is a folder.
        """
        self.path = Path(path)
        self.standard_input = str(path) == "-"
        self.name = "<stdin>" if self.standard_input else str(path)
        self.encoding = encoding
        self.most_characters = most_characters
        if not self.standard_input:
            _check_exists(self.path)
        self.once = self.standard_input or not self.path.is_file()
        self._stream = self._decoded()
        self._kept: list[str] = []
        self._used = False

    def place(self, line: int | None = None) -> Place:
        return Place(self.name, line)

    def peek(self) -> Iterator[str]:
        """The lines from the first on, to look at; what is taken from a pipe here is kept for `lines`."""
        if not self.once:
            yield from self._decoded()
            return
        yield from self._kept
        for line in self._stream:
            self._kept.append(line)
            yield line

    def lines(self) -> Iterator[str]:
        """All lines with their line ends, a byte order mark taken off.

        Raises: DataError for a line that cannot be decoded or is too long, a damaged gzip file, a pipe read a second
        time.
        """
        if not self.once:
            return self._decoded()
        if self._used:
            raise DataError("can be read only once; save it to a file to read it again", place=self.place())
        self._used = True
        return itertools.chain(self._kept, self._stream)

    def _open(self) -> contextlib.AbstractContextManager[IO[bytes]]:
        if self.standard_input:
            return contextlib.nullcontext(sys.stdin.buffer)
        if self.path.suffix.lower() == ".gz":
            return io.BufferedReader(gzip.open(self.path, "rb"))
        return self.path.open("rb")

    def _decoded(self) -> Iterator[str]:
        number = 0
        try:
            with self._open() as stream:
                for number, line in enumerate(_decode(stream, self.encoding, self.most_characters), 1):
                    yield line.removeprefix("\ufeff") if number == 1 else line
        except UnicodeDecodeError as error:
            raise self._undecodable(error, number + 1) from None
        except LongLineError:
            message = f"a line of more than {self.most_characters:,} characters; end lines with \\n"
            raise DataError(message, place=self.place(number + 1)) from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            message = f"not a whole gzip file: {error} (after {number} lines); fetch or compress it again"
            raise DataError(message, place=self.place()) from error
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}", place=self.place()) from error

    def _undecodable(self, error: UnicodeDecodeError, line: int) -> DataError:
        for mark, name in _MARKS.items():
            if line == 1 and self.encoding != name and error.object.startswith(mark):
                message = f"starts with the byte order mark of {name}; save it as UTF-8, or give --encoding {name}"
                return DataError(message, place=self.place())
        if self._holds_zero_bytes():
            return DataError(
                "is no text file: it holds zero bytes; save the rows as CSV, TSV or JSONL", place=self.place()
            )
        byte = f"byte 0x{error.object[error.start]:02x}"
        if _ends_lines_with_one_byte(self.encoding):
            hint = "save the file as UTF-8, or give --encoding latin-1"
            where = f"{byte} at offset {error.start} of the line"
            message = f"{where} is not {self.encoding.upper()} ({error.reason}); {hint}"
            return DataError(message, place=self.place(line))
        # Such encodings are decoded in blocks, so the line is not known.
        message = f"{byte} after line {line - 1} is not {self.encoding.upper()}; give the right --encoding"
        return DataError(message, place=self.place())

    def _holds_zero_bytes(self) -> bool:
        if self.once or not _ends_lines_with_one_byte(self.encoding):
            return False
        with self._open() as stream:
            return b"\0" in stream.read(_BLOCK)


def _ends_lines_with_one_byte(encoding: str) -> bool:
    return "\n".encode(encoding) == b"\n"


def _decode(stream: IO[bytes], encoding: str, most_characters: int | None) -> Iterator[str]:
    """The lines with their line ends. Raises LongLineError for one of more than `most_characters`."""
    if _ends_lines_with_one_byte(encoding):
        # Line by line, so that a bad byte has a line number.
        for line in _byte_lines(stream, most_characters):
            yield _within(line.decode(encoding), most_characters)
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    rest = ""
    while block := stream.read(_BLOCK):
        *lines, rest = (rest + decoder.decode(block)).split("\n")
        for text in lines:
            yield _within(text + "\n", most_characters)
        _within(rest, most_characters)
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


def _byte_lines(stream: IO[bytes], most_characters: int | None) -> Iterator[bytes]:
    """The lines of an encoding of at most four bytes a character. Of one that surely is too long, no more is read."""
    if most_characters is None:
        yield from stream
        return
    most_bytes = 4 * most_characters + len("\r\n")
    for line in iter(functools.partial(stream.readline, most_bytes + 1), b""):
        if len(line) > most_bytes:
            raise LongLineError
        yield line


def _within(line: str, most_characters: int | None) -> str:
    if most_characters is not None and len(line) > most_characters and len(without_end(line)) > most_characters:
        raise LongLineError
    return line


def _check_exists(path: Path) -> None:
    try:
        if path.is_dir():
            raise DataError("is a folder; give the file to read", place=Place(str(path)))
        if path.exists():
            return
        folder = path.parent
        hint = nearest(path.name, (other.name for other in folder.iterdir())) if folder.is_dir() else ""
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", place=Place(str(path))) from error
    found = "no such file" if folder.is_dir() else f"no such file: there is no folder {str(folder)!r}"
    raise DataError(found + hint, place=Place(str(path)))
