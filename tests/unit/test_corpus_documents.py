"""Files as documents: what is a document, where its sentences end, and what is said of files that are no corpus."""

from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.corpus import documents
from bertsmith.corpus.documents import CorpusOptions, Document, open_documents
from bertsmith.data.source import Source
from bertsmith.errors import DataError, SettingsError
from bertsmith.records import Place

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory

LINES = CorpusOptions(sentences="lines")
SPLIT = CorpusOptions(sentences="split")

SENTENCES = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\ufeff"), min_size=1).filter(
    lambda text: bool(text.strip())
)


def error_of(*files: Path, options: CorpusOptions = LINES) -> str:
    with pytest.raises(DataError) as caught:
        list(open_documents(files, options))
    return str(caught.value)


def written(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def sentences_of(path: Path, options: CorpusOptions = LINES) -> list[tuple[str, ...]]:
    return [document.sentences for document in open_documents([path], options)]


@given(st.lists(st.lists(SENTENCES, min_size=1), min_size=1), st.integers(1, 3), st.booleans())
def test_blank_lines_end_documents(
    tmp_path_factory: TempPathFactory, texts: list[list[str]], blanks: int, compress: bool
) -> None:
    path = tmp_path_factory.mktemp("corpus") / ("a.txt.gz" if compress else "a")
    between = " \n" * blanks
    written(path, between + between.join("".join(f"{line}\r\n" for line in lines) for lines in texts))
    found = list(open_documents([path], LINES))
    assert [document.sentences for document in found] == [tuple(line.strip() for line in lines) for lines in texts]
    line = 1 + blanks
    for document, lines in zip(found, texts, strict=True):
        assert document.place == Place(str(path), line)
        line += len(lines) + blanks


def test_paragraphs_are_split_into_sentences(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "Dr. Lee took 3.5 mg, e.g. of it. It was well.\nThe end.\n\nSee Fig. 3. Why?\n")
    assert sentences_of(path, SPLIT) == [
        ("Dr. Lee took 3.5 mg, e.g. of it.", "It was well.", "The end."),
        ("See Fig. 3.", "Why?"),
    ]
    assert sentences_of(path)[0] == ("Dr. Lee took 3.5 mg, e.g. of it. It was well.", "The end.")


def test_auto_finds_out_what_lines_are(tmp_path: Path) -> None:
    sentences = written(tmp_path / "a.txt", "One is here.\nTwo is here.\nWhy? No.\nThree is here.\n" * 3)
    paragraphs = written(tmp_path / "b.txt", "A heading\nOne is here. Two is here. Three is here.\n\nAnother\n" * 3)
    assert len(sentences_of(sentences, CorpusOptions())[0]) == 12
    assert sentences_of(paragraphs, CorpusOptions())[0] == (
        "A heading", "One is here.", "Two is here.", "Three is here."
    )  # fmt: skip
    assert open_documents([sentences]).note == (
        f"{sentences}: plain text, documents end at blank lines, lines are sentences"
        " (40% of the first sentences share a line with others)"
    )
    assert "lines are paragraphs, split into sentences (60% of" in open_documents([paragraphs, sentences]).note
    assert open_documents([paragraphs, sentences]).note.endswith("; and 1 more file")


def test_rows_of_tables_are_documents(tmp_path: Path) -> None:
    texts = ["One is here. Two is here.\nThree is here.", "Four, is here."]
    want = [("One is here.", "Two is here.", "Three is here."), ("Four, is here.",)]
    jsonl = "".join(json.dumps({"id": 1, "abstract": text}) + "\n" for text in texts)
    rows = ['"' + text + '"' for text in texts]
    files = [
        written(tmp_path / "a.jsonl", jsonl),
        written(tmp_path / "a.jsonl.gz", jsonl),
        written(tmp_path / "a.csv", "id,document\n" + "".join(f"1,{row}\n" for row in rows)),
        written(
            tmp_path / "a.tsv.gz",  # where a quotation mark is a plain character, and a line a row
            "body\tid\n" + "".join(f"{text}\t1\n" for text in texts).replace("\nThree", " Three"),
        ),
    ]
    pq.write_table(pa.table({"content": texts}), tmp_path / "a.parquet")
    for file in [*files, tmp_path / "a.parquet"]:
        assert sentences_of(file) == want, file
    places = [document.place.line for document in open_documents([tmp_path / "a.csv"])]
    assert places == [2, 4]
    assert "abstract = " not in open_documents(files[:1]).note
    assert "text = 'abstract' (guessed), split into sentences" in open_documents(files[:1]).note


def test_the_column_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"text": "no", "story": "yes"}\n')
    assert sentences_of(path, CorpusOptions(column="story")) == [("yes",)]
    said = error_of(path, options=CorpusOptions(column="stori"))
    assert said == (
        f"{path}:1: --column: there is no column 'stori'; columns are 1 'text', 2 'story'; did you mean 'story'?"
    )


def test_a_table_may_be_delimited_and_quoted_as_its_options_say(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'id|text\n1|A "fine" film, it is.\n2|"No.\n')
    assert error_of(path, options=CorpusOptions(delimiter="|")).endswith("or give --quoting none")
    options = CorpusOptions(delimiter="|", quoting="none")
    assert sentences_of(path, options=options) == [('A "fine" film, it is.',), ('"No.',)]


def test_a_missing_column_is_asked_for_by_the_flag_that_there_is(tmp_path: Path) -> None:
    pq.write_table(pa.table({"story": ["a"]}), tmp_path / "a.parquet")
    for path in (tmp_path / "a.parquet", written(tmp_path / "a.jsonl", '{"story": "a"}\n')):
        assert error_of(path).endswith("; columns are 1 'story'; name it: --column NAME")
    path = written(tmp_path / "a.csv", "a film,1\nb,2\n")
    row = "line 1 was taken as a row, not as a header, and holds 1 'a film', 2 '1'"
    numbers = "name its column by --column if it is one, else give column numbers"
    assert error_of(path).endswith(f"; {row}; {numbers}: --column NUMBER")
    assert error_of(path, options=CorpusOptions(column="no")).endswith(
        f"--column: there is no column 'no'; {row}; {numbers}"
    )
    twice = written(tmp_path / "b.csv", "text,text\na,b\n")
    assert error_of(twice).endswith("rename one, or give its number: --column 1")


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    for name, text in {"b.txt": "b", "a.txt": "a", "c.jsonl": '{"text": "c"}', "_SUCCESS": "", ".hidden": ""}.items():
        written(tmp_path / name, text + "\n")
    (tmp_path / "further").mkdir()
    found = open_documents([tmp_path], LINES)
    assert [path.name for path in found.files] == ["a.txt", "b.txt", "c.jsonl"]
    assert [document.sentences for document in found] == [("a",), ("b",), ("c",)]
    assert list(found) == list(found)


def test_documents_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a document is given, no more than the line after it has been read."""
    path = written(tmp_path / "a.txt", "a\n\nb\n\nc\n\n")
    read: list[int] = []
    lines = Source.lines

    def noted(self: Source) -> Any:
        for number, line in enumerate(lines(self), 1):
            read.append(number)
            yield line

    monkeypatch.setattr(Source, "lines", noted)
    seen = [(document.sentences, read[-1]) for document in open_documents([path], LINES)]
    assert seen == [(("a",), 2), (("b",), 4), (("c",), 6)]


def test_rows_without_text(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": " \\n"}\n{"text": ""}\n{"text": "b"}\n')
    assert error_of(path) == (f"{path}:2: the text is empty; fill it in, or give --skip-empty to leave such rows out")
    found = open_documents([path], CorpusOptions(skip_empty=True))
    for _ in range(2):
        assert [document.place.line for document in found] == [1, 4]
        assert (found.skipped, found.first_skipped) == (2, Place(str(path), 2))


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_rows_of_null_are_rows_without_text(form: str, tmp_path: Path) -> None:
    path, texts = tmp_path / f"a.{form}", ["a", None, "", "b"]
    if form == "parquet":
        pq.write_table(pa.table({"text": texts, "id": [1, 2, 3, 4]}), path)
    else:
        written(path, "".join(json.dumps({"text": text}) + "\n" for text in texts) + '{"id": 5}\n')
    assert error_of(path) == (
        f"{path}:2: the text is null, or not there; fill it in, or give --skip-empty to leave such rows out"
    )
    found = open_documents([path], CorpusOptions(skip_empty=True))
    assert [document.place.line for document in found] == [1, 4]
    assert (found.skipped, found.first_skipped) == (2 if form == "parquet" else 3, Place(str(path), 2))
    number = written(tmp_path / "b.jsonl", '{"text": 5}\n')
    assert "text must be a string, got int 5" in error_of(number, options=CorpusOptions(skip_empty=True))


def test_advice_can_be_followed(tmp_path: Path) -> None:
    text, table = written(tmp_path / "a.txt", "One. Two.\n"), written(tmp_path / "a.jsonl", '{"text": "a"}\n')
    assert open_documents([table], LINES).advice == ""
    assert open_documents([text, table], SPLIT).advice == "; blank lines separate documents"
    assert open_documents([text], LINES).advice.endswith("--sentences split finds the sentences in paragraphs")


def test_the_languages_are_those_with_rules() -> None:
    """Of two that have some, a text with an abbreviation of the other's, or its full stop, is split otherwise."""
    texts = ("Das war z. B. am 3. Mai so. Gut.", "Siehe Abb. 3 hier. Gut.")
    assert any(documents.split(text, language="de") != documents.split(text, language="en") for text in texts)
    assert all(documents.split(text, language="xx") == documents.split(text, language="en") for text in texts)
    assert {"en", "de"} <= {*documents.LANGUAGES}
    assert "xx" not in documents.LANGUAGES


def test_files_with_nothing_in_them(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert error_of(tmp_path / "folder") == f"{tmp_path / 'folder'}: a folder without files"
    assert error_of() == "there are no files to read"
    assert error_of(tmp_path / "a.txt").startswith(f"{tmp_path / 'a.txt'}: no such file")
    for name, content in {"b.txt": "", "c.txt": " \n\n", "d.txt.gz": "\n"}.items():
        path = written(tmp_path / name, content)
        assert error_of(path) == f"{path}: holds no text"
    path = written(tmp_path / "e.jsonl", "")
    assert error_of(path) == f"{path}: holds no rows"
    path = written(tmp_path / "f.csv", "text\n \n")
    assert error_of(path, options=CorpusOptions(skip_empty=True)) == f"{path}: holds no text"


def test_a_file_that_is_there_twice(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "a\n")
    (tmp_path / "link").symlink_to(path)
    said = f"is there twice, first as {str(path)!r}; give each file once"
    assert error_of(path, tmp_path / "link") == f"{tmp_path / 'link'}: {said}"
    assert error_of(path, tmp_path) == f"{path}: {said}"


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", b"a\n\n\xe9t\xe9\n")
    assert error_of(path) == (
        f"{path}:3: byte 0xe9 at offset 0 of the line is not UTF-8 (invalid continuation byte)"
        "; save the file as UTF-8, or give --encoding latin-1"
    )
    assert sentences_of(path, CorpusOptions(encoding="latin-1", sentences="lines")) == [("a",), ("été",)]
    path = written(tmp_path / "b.txt", "a\n\nb\0\n")
    assert error_of(path) == f"{path}:3: holds a zero byte, as no text does; save it as plain UTF-8 text"
    path = written(tmp_path / "c.jsonl", '{"text": "a\\u0000"}\n')
    assert error_of(path).startswith(f"{path}:1: holds a zero byte")
    path = tmp_path / "d.txt.gz"
    path.write_bytes(gzip.compress(b"a b c\n" * 1000)[:-9])
    assert error_of(path).startswith(f"{path}: not a whole gzip file: ")
    for name in ("e.json", "e.conll", "e.parquet.gz"):
        path = tmp_path / name
        path.touch()
        suffixes = name.removeprefix("e")
        assert error_of(path) == (
            f"{path}: files of {suffixes} are no corpus; give .txt, .jsonl, .parquet, .csv or .tsv"
        )
    with pytest.raises(SettingsError, match="--encoding: unknown encoding: utf-88"):
        open_documents([tmp_path / "a.txt"], CorpusOptions(encoding="utf-88"))
    with pytest.raises(DataError, match="is read more than once"):
        open_documents([tmp_path.__class__("-")])


class Endless(io.RawIOBase):
    """A stream without a line end, which counts what is read of it."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = b"a" * len(buffer)
        self.taken += len(buffer)
        assert self.taken < 10**6, "the line is read without end"
        return len(buffer)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_lines_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    source = Source(written(tmp_path / "a.txt", "a"), encoding=encoding, most_characters=1000)
    monkeypatch.setattr(Source, "_open", lambda self: io.BufferedReader(Endless()))
    with pytest.raises(DataError, match=r"a\.txt:1: a line of more than 1,000 characters; end lines with \\n"):
        list(source.lines())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "latin-1"])
def test_lines_that_are_just_short_enough(tmp_path: Path, encoding: str) -> None:
    character = "é" if encoding == "latin-1" else "😀"
    path = written(tmp_path / "a.txt", f"{character * 10}\r\n{character * 10}\n{character * 11}\n".encode(encoding))
    lines = Source(path, encoding=encoding, most_characters=10).lines()
    assert [len(next(lines)), len(next(lines))] == [12, 11]
    with pytest.raises(DataError, match=r"a\.txt:3: a line of more than 10 characters"):
        next(lines)


def test_long_lines_and_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_MOST_LINE", 20)
    monkeypatch.setattr(documents, "_MOST_DOCUMENT", 30)
    path = written(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": "a very long text"}\n')
    assert error_of(path) == f"{path}:2: a line of more than 20 characters; end lines with \\n"
    path = written(tmp_path / "b.txt", "a\n\n" + "some words\n" * 3)
    assert error_of(path) == (
        f"{path}:3: a document of more than 30 characters begins here; blank lines separate documents"
        " (if each line is one, sed G FILE writes a blank line after each)"
    )


def test_options_are_checked() -> None:
    for wrong in ({"sentences": "none"}, {"language": "English"}, {"colum": "a"}):
        with pytest.raises(SettingsError):
            CorpusOptions(**wrong)  # type: ignore[arg-type]


def test_a_document_of_real_text(data_sets: Path) -> None:
    found = open_documents([data_sets / "pubmed_abstracts" / "abstracts.txt"])
    assert "paragraphs, split" in found.note
    read = list(found)
    assert len(read) == 1000
    assert read[0].sentences[0] == "To assess quality of storage of vaccines in the community."
    assert isinstance(read[0], Document)
    assert all(sentence.strip() == sentence != "" for document in read for sentence in document.sentences)
