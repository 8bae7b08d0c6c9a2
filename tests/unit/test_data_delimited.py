"""CSV and TSV, against the csv module, and what is said of rows that are no rows."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data import ReadOptions, open_rows
from bertsmith.errors import DataError
from bertsmith.records import Input

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory

    from bertsmith.data.table import Quoting

INPUTS = [Input("text", ("text", "sentence")), Input("label", ("label",), required=False)]
BY_NUMBER = {"text": "1", "label": "2"}

# Marks, delimiters and line ends of all kinds, more often than chance would have them.
TEXTS = st.text(st.one_of(st.sampled_from('",;\t|\r\n\0\x0b\x0c\x1c\x85\u2028 \ufeff'), st.characters(codec="utf-8")))
PLAIN_TEXTS = TEXTS.map(lambda text: text.replace("\t", " ").replace("\n", " ").rstrip("\r"))


def written(tmp_path: Path, content: str, name: str = "a.tsv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode())
    return path


def read(path: Path, options: ReadOptions | None = None) -> list[tuple[int | None, str, str]]:
    rows = open_rows(path, INPUTS, columns=BY_NUMBER, options=options or ReadOptions())
    return [(row.place.line, row.values["text"], row.values["label"]) for row in rows]


def error_of(path: Path, options: ReadOptions | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read(path, options)
    return str(caught.value).removeprefix(str(path))


def note_of(path: Path) -> str:
    return open_rows(path, INPUTS, columns=BY_NUMBER).table.note


@given(
    st.lists(st.tuples(TEXTS, TEXTS), min_size=1),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv_is_read_as_the_csv_module_writes_it(
    tmp_path_factory: TempPathFactory, rows: list[tuple[str, str]], delimiter: str, quoting: int
) -> None:
    out = io.StringIO(newline="")
    starts = []  # where each row begins: at the line after the line ends so far
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    for row in rows:
        starts.append(1 + out.getvalue().count("\n"))
        writer.writerow(row)
    path = written(tmp_path_factory.mktemp("csv"), "\ufeff" + out.getvalue(), "a.csv")
    found = read(path, ReadOptions(delimiter=delimiter, header=False))
    assert found == [(start, *row) for start, row in zip(starts, rows, strict=True)]


@given(st.lists(st.tuples(PLAIN_TEXTS, PLAIN_TEXTS), min_size=1), st.sampled_from(["\n", "\r\n"]))
def test_tsv_without_quoting_is_read_as_it_stands(
    tmp_path_factory: TempPathFactory, rows: list[tuple[str, str]], end: str
) -> None:
    path = written(tmp_path_factory.mktemp("tsv"), "\ufeff" + "".join(f"{a}\t{b}{end}" for a, b in rows))
    found = read(path, ReadOptions(quoting="none", header=False))
    assert found == [(number, *row) for number, row in enumerate(rows, 1)]


def test_quotation_marks_in_tsv_are_characters(tmp_path: Path) -> None:
    rows = ['"quoted"', 'he said "no"', '"open', 'shut"', '5" pipe', '"a" and "b"', '""', '"']
    path = written(tmp_path, "text\tlabel\n" + "".join(f"{row}\t0\n" for row in rows))
    assert [text for _, text, _ in read(path)] == rows
    assert note_of(path) == "header on line 1, tab-separated, no quoting"


@pytest.mark.parametrize(
    "content",
    [
        'plain\t0\n"he said ""no"""\t1\n',  # a doubled mark
        '"a"\t"b"\n"c"\t"d"\n',  # all fields
        '"text"\t"label"\n"a"\t0\n',  # a whole column, as R writes it
    ],
)
def test_tsv_that_is_quoted_beyond_doubt(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, content)
    assert note_of(path).endswith(", tab-separated, CSV quoting")
    reference = list(csv.reader(io.StringIO(content), delimiter="\t"))
    assert [list(row) for _, *row in read(path)] == [row for row in reference if row[0] != "text"]


@pytest.mark.parametrize(
    "content",
    [
        '"a"\t0\nplain\t1\n',  # a quotation as a text; nothing needed the marks
        '"he said ""no"""\t0\nhe said "yes"\t1\n',  # one field is not well-formed
        '"he said "no""\t0\n"x"\t1\n',  # marks inside, not doubled
        'plain\t0\n"\t1\n',
    ],
)
def test_tsv_that_may_be_unquoted_is_unquoted(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, content)
    assert note_of(path) == "no header, tab-separated, no quoting"
    assert [list(row) for _, *row in read(path)] == [line.split("\t") for line in content.splitlines()]


@pytest.mark.parametrize(("quoting", "text"), [("csv", 'a "b"'), ("none", '"a ""b"""')])
def test_quoting_can_be_said(tmp_path: Path, quoting: Quoting, text: str) -> None:
    for name, delimiter in {"a.tsv": "\t", "a.csv": ","}.items():
        path = written(tmp_path, f'"a ""b"""{delimiter}0\n', name)
        assert read(path, ReadOptions(quoting=quoting)) == [(1, text, "0")]


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("a,0\nb;c,1\n", "comma"),
        ("a, b;0\nc;1\n", "semicolon"),
        ("a, b\t0\nc; d\t1\n", "tab"),
        ("a, b|0\nc; d|1\n", "bar"),
        ('"a;\nb",0\n"c;",1\n', "comma"),
        ('"a, ""b"", c";0\n', "semicolon"),
        ("a,b\n", "comma"),
    ],
)
def test_csv_delimiters_are_sniffed(tmp_path: Path, content: str, delimiter: str) -> None:
    path = written(tmp_path, content, "a.csv")
    assert note_of(path) == f"no header, {delimiter}-separated, CSV quoting"


def test_delimiter_can_be_said(tmp_path: Path) -> None:
    assert read(written(tmp_path, "a,0~1\n", "a.csv"), ReadOptions(delimiter="~")) == [(1, "a,0", "1")]
    assert read(written(tmp_path, "a\t0,1\n"), ReadOptions(delimiter=",")) == [(1, "a\t0", "1")]


def test_places_are_the_first_lines_of_rows(tmp_path: Path) -> None:
    path = written(tmp_path, '\r\ntext,label\r\n"a\r\nb",0\r\n\r\nc,"1\n\n"\r\nd,2', "a.csv")
    assert read(path) == [(3, "a\r\nb", "0"), (6, "c", "1\n\n"), (9, "d", "2")]
    assert note_of(path).startswith("header on line 2")


def test_control_characters_and_long_fields_stay(tmp_path: Path) -> None:
    text = "\0\x01\x08\x0b\x0c\x1a\x1c\x85\u2028\u2029" + "long " * 100_000
    for name, delimiter in {"a.tsv": "\t", "a.csv": ","}.items():
        assert read(written(tmp_path, f"{text}{delimiter}0\n", name)) == [(1, text, "0")]
    assert read(written(tmp_path, "a\rb\t0\r\n")) == [(1, "a\rb", "0")]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_blank_lines_are_no_rows_except_in_files_of_one_column(tmp_path: Path, name: str) -> None:
    delimiter = "\t" if name == "a.tsv" else ","
    path = written(tmp_path, f"a{delimiter}0\n\n\r\nb{delimiter}1\n\n", name)
    assert [line for line, _, _ in read(path)] == [1, 4]
    rows = open_rows(written(tmp_path, "text\na\n\nb\n", name), INPUTS, training=False)
    assert [(row.place.line, row.values["text"]) for row in rows] == [(2, "a"), (3, ""), (4, "b")]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_files_of_blank_lines_or_a_header_hold_no_rows(tmp_path: Path, name: str) -> None:
    assert error_of(written(tmp_path, "\n\n", name)) == ": holds no rows"
    header = "text\tlabel" if name == "a.tsv" else "text,label"
    assert error_of(written(tmp_path, header, name)).startswith(": holds no rows (header on line 1, ")


def test_rows_of_the_wrong_width(tmp_path: Path) -> None:
    assert error_of(written(tmp_path, "text\tlabel\na\t0\nb\tc\t1\n")) == (
        ":3: 3 fields, expected 2 as on line 1 (tab-separated, no quoting)"
        "; no text may hold '\\t' or a line end, unless it is quoted: --quoting csv"
    )
    assert error_of(written(tmp_path, "a,0\nb,1\nc, d,1\n", "a.csv")) == (
        ":3: 3 fields, expected 2 as on line 1 (comma-separated, CSV quoting)"
        "; quote the texts that hold ',', or give --quoting none or another --delimiter"
    )
    assert error_of(written(tmp_path, 'a,0\n""\n', "a.csv")).startswith(":2: 1 field, expected 2")
    assert error_of(written(tmp_path, "a\t0\n \n")).startswith(":2: 1 field, expected 2")


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
@pytest.mark.parametrize(
    ("content", "line"),
    [('a,0\n"b,1\nc,2\nd,3', 2), ('a,0\n"b\nb","1\nc,2', 3), ('a,"0', 1), ('a,0\nb,"1\r\nc\r\n', 2)],
)
def test_unclosed_quotes_are_found_where_they_open(tmp_path: Path, content: str, line: int, end: str) -> None:
    assert error_of(written(tmp_path, content + end, "a.csv")) == (
        f":{line}: a field opens with a quotation mark that is never closed; close it"
        ' (a mark inside is ""), or give --quoting none'
    )


def test_text_after_a_closing_quote(tmp_path: Path) -> None:
    assert error_of(written(tmp_path, 'a,0\n"b" c,1\n', "a.csv")) == (
        ":2: text follows the closing quotation mark of a field"
        '; write a mark inside a field as "", or give --quoting none'
    )
    assert error_of(written(tmp_path, 'a,0\n"b,1\n"c" d,1\n', "a.csv")).startswith(
        ":2: text follows the closing quotation mark of a field (on line 3, in the row that begins here)"
    )


def test_carriage_returns_in_csv(tmp_path: Path) -> None:
    assert error_of(written(tmp_path, "a,0\nb\rc,1\n", "a.csv")) == (
        ":2: a carriage return stands in a field without quotes; quote the text, or end lines with \\n"
        ", or give --quoting none"
    )
    path = written(tmp_path, 'a,0\n"b\rc",1\n', "a.csv")
    assert read(path) == [(1, "a", "0"), (2, "b\rc", "1")]
