"""Files as lines: encodings, gzip, pipes, and what is said of a file that cannot be read."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data import ReadOptions, open_rows
from bertsmith.data.source import Source, without_end
from bertsmith.errors import DataError, SettingsError
from bertsmith.records import Input, Place

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory

TEXT = [Input("text", ("text",))]
TEXTS = [Input("text", ("text",)), Input("text_b", ("text_b",), required=False, needed_to_train=False)]


def error_of(path: Path | str, options: ReadOptions | None = None) -> str:
    with pytest.raises(DataError) as caught:
        list(open_rows(path, TEXT, options=options or ReadOptions()))
    return str(caught.value)


def stdin_of(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))


@given(st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"))), st.booleans())
def test_lines_end_at_line_feeds_only(tmp_path_factory: TempPathFactory, texts: list[str], compress: bool) -> None:
    path = tmp_path_factory.mktemp("lines") / ("a.txt.gz" if compress else "a.txt")
    content = "".join(text + "\n" for text in texts)
    raw = content.encode()
    path.write_bytes(gzip.compress(raw) if compress else raw)
    assert list(Source(path).lines()) == list(io.StringIO(content.removeprefix("\ufeff"), newline="\n"))


@pytest.mark.parametrize(
    ("line", "text"), [("a\n", "a"), ("a\r\n", "a"), ("a", "a"), ("a\r", "a\r"), ("\r\r\n", "\r"), ("\n", "")]
)
def test_line_ends_are_taken_off(line: str, text: str) -> None:
    assert without_end(line) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings_are_read_back(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    # U+0A0A is made of line feed bytes that end no line in UTF-16; the last text is longer than a block.
    texts = ["naïve", "", "日本 \u2028 語", "\u0a0a", "x" + "😀" * 30_000]
    path.write_bytes("\n".join(texts).encode(encoding))
    rows = open_rows(path, TEXT, options=ReadOptions(encoding=encoding))
    assert [row.values["text"] for row in rows] == texts
    assert [row.place.line for row in rows] == [1, 2, 3, 4, 5]


def test_latin_1_is_read_where_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes("text\nok\ncafé au lait\n".encode("latin-1"))
    assert error_of(path) == (
        f"{path}:3: byte 0xe9 at offset 3 of the line is not UTF-8 (invalid continuation byte)"
        "; save the file as UTF-8, or give --encoding latin-1"
    )
    rows = open_rows(path, TEXT, options=ReadOptions(encoding="latin-1"))
    assert [row.values["text"] for row in rows] == ["ok", "café au lait"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("suffix", [".txt", ".tsv", ".csv", ".jsonl"])
def test_byte_order_marks_of_other_encodings_are_known(tmp_path: Path, encoding: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes("text\nhello\n".encode(encoding))
    assert error_of(path) == (
        f"{path}: starts with the byte order mark of {encoding}; save it as UTF-8, or give --encoding {encoding}"
    )


def test_wide_encodings_tell_after_which_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\n".encode("utf-16-le") + b"\x00\xdc\x0a\x00")
    message = error_of(path, ReadOptions(encoding="utf-16-le"))
    assert "is not UTF-16-LE; give the right --encoding" in message


def test_unknown_encoding() -> None:
    with pytest.raises(SettingsError, match="--encoding: unknown encoding: utf-9; known are 'utf-8'"):
        ReadOptions(encoding="utf-9")
    with pytest.raises(SettingsError, match="'hex' is not a text encoding"):
        ReadOptions(encoding="hex")


def test_gzip_that_is_cut_or_damaged_or_none(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    whole = gzip.compress(b"".join(b"line %d\n" % number for number in range(10_000)))
    path.write_bytes(whole[: len(whole) // 2])
    assert f"{path}: not a whole gzip file: Compressed file ended before" in error_of(path)
    path.write_bytes(whole[:1000] + bytes(100) + whole[1100:])
    assert f"{path}: not a whole gzip file: " in error_of(path)
    path.write_bytes(b"text\n")
    assert "not a whole gzip file: Not a gzipped file" in error_of(path)
    path.write_bytes(whole)
    assert sum(1 for _ in open_rows(path, TEXT)) == 10_000


def test_missing_files(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").touch()
    assert error_of(tmp_path / "trian.tsv") == (f"{tmp_path / 'trian.tsv'}: no such file; did you mean 'train.tsv'?")
    assert error_of(tmp_path / "other.csv") == f"{tmp_path / 'other.csv'}: no such file"
    lost = tmp_path / "lost" / "train.tsv"
    assert error_of(lost) == f"{lost}: no such file: there is no folder {str(lost.parent)!r}"
    assert error_of(tmp_path) == f"{tmp_path}: is a folder; give the file to read"
    assert "cannot be read: File name too long" in error_of("a" * 5000)


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.csv", "a.jsonl", "a.txt.gz"])
def test_empty_files_hold_no_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
    assert error_of(path) == f"{path}: holds no rows"


def test_unknown_suffixes(tmp_path: Path) -> None:
    known = (
        "suffixes are .csv .tsv .tab .jsonl .ndjson .parquet .conll .bio .iob .iob2 .bioes .bmes .conllu .json .txt"
        ", all but .parquet also with .gz"
    )
    formats = "else give --format csv, tsv, jsonl, parquet, conll, conllu, squad, lines"
    for name, found in {
        "a.csvv": f"the suffix '.csvv' tells no format; {known}; {formats}; did you mean '.csv'?",
        "a.xyz.gz": f"the suffix '.xyz.gz' tells no format; {known}; {formats}",
        "a.tsb.gz": f"the suffix '.tsb.gz' tells no format; {known}; {formats}; did you mean '.tsv'?",
        "data": f"a name without a suffix tells no format; {known}; {formats}",
    }.items():
        (tmp_path / name).touch()
        assert error_of(tmp_path / name) == f"{tmp_path / name}: {found}"


def test_parquet_has_no_gzip_around_it(tmp_path: Path) -> None:
    (tmp_path / "a.parquet.gz").touch()
    assert "the suffix '.parquet.gz' tells no format" in error_of(tmp_path / "a.parquet.gz")


def test_suffixes_in_capitals_and_after_dots(tmp_path: Path) -> None:
    path = tmp_path / "corpus.v1.2.TSV"
    path.write_text("text\na\n")
    assert [row.values for row in open_rows(path, TEXT)] == [{"text": "a"}]


def test_given_format_goes_before_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('{"text": "a, b"}\n')
    rows = open_rows(path, TEXT, options=ReadOptions(format="jsonl"))
    assert [row.values for row in rows] == [{"text": "a, b"}]


def test_options_are_checked() -> None:
    with pytest.raises(SettingsError, match=r"--format must be one of .*, got 'cvs'; did you mean 'csv'\?"):
        ReadOptions(format="cvs")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="--quoting must be one of 'auto', 'csv', 'none', got 'all'"):
        ReadOptions(quoting="all")  # type: ignore[arg-type]
    for delimiter in ("", ";;", '"', "\n"):
        with pytest.raises(SettingsError, match="--delimiter must be one character or 'tab', got "):
            ReadOptions(delimiter=delimiter)
    assert ReadOptions(delimiter="tab") == ReadOptions(delimiter="\\t") == ReadOptions(delimiter="\t")


def test_standard_input_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin_of(monkeypatch, "\na\tb\n{\n")
    rows = open_rows("-", TEXTS)
    assert [(row.values, row.place) for row in rows] == [
        ({"text": ""}, Place("<stdin>", 1)),
        ({"text": "a", "text_b": "b"}, Place("<stdin>", 2)),
        ({"text": "{"}, Place("<stdin>", 3)),
    ]
    assert rows.describe() == "<stdin>: one text a line; text = 'text' (guessed), text_b = 'text_b' (guessed)"


def test_standard_input_of_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin_of(monkeypatch, '\n {"text": "a"}\n{"text": "b"}\n')
    assert [row.values["text"] for row in open_rows("-", TEXT)] == ["a", "b"]


def test_standard_input_of_a_given_format(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin_of(monkeypatch, 'text;n\n"a;\nb";1\n')
    rows = open_rows("-", TEXT, options=ReadOptions(format="csv"))
    assert [(row.values["text"], row.place.line) for row in rows] == [("a;\nb", 2)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_standard_input_stays_open(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("a\nb\n".encode(encoding))))
    rows = open_rows("-", TEXT, options=ReadOptions(encoding=encoding))
    assert next(iter(rows)).values == {"text": "a"}
    del rows
    assert not sys.stdin.closed


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin_of(monkeypatch, "a\n")
    rows = open_rows("-", TEXT)
    assert len(list(rows)) == 1
    with pytest.raises(DataError, match=r"^<stdin>: can be read only once; save it to a file"):
        list(rows)


def test_standard_input_that_is_empty_or_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin_of(monkeypatch, "")
    assert error_of("-") == "<stdin>: holds no rows"
    assert "<stdin>: Parquet cannot be read from a pipe" in error_of("-", ReadOptions(format="parquet"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_loses_no_line(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("text\tn\na\t1\nb\t2\n",))
    writer.start()
    rows = open_rows(pipe, TEXT, options=ReadOptions(format="tsv"))
    assert [row.values["text"] for row in rows] == ["a", "b"]
    writer.join()


def test_rows_are_read_again_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("text\na\nb\n")
    rows = open_rows(path, TEXT)
    assert next(iter(rows)).values == {"text": "a"}
    assert list(rows) == list(rows)
    assert rows.name == str(path)
