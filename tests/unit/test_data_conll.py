"""CoNLL files: real ones, written ones read back, and what is said of lines that are no words."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data import ReadOptions, Rows, open_rows
from bertsmith.data.conll import look_tagged
from bertsmith.errors import DataError
from bertsmith.records import Input
from token_inputs import ANSWER, TAG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory

CONLL = ReadOptions(format="conll")

# as the CoNLL-2003 files are: IOB1, where B- parts only neighbours of one kind
CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
call NN I-NP O
. . O O

-DOCSTART- -X- -X- O

Peter NNP I-NP I-PER
Blackburn NNP I-NP B-PER
"""


def written(tmp_path: Path, content: str, name: str = "a.conll") -> Path:
    path = tmp_path / name
    raw = content.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def read(
    path: Path,
    columns: Mapping[str, str] | None = None,
    *,
    training: bool = True,
    options: ReadOptions | None = None,
) -> Rows:
    return open_rows(path, TAG, columns=columns, training=training, options=options or ReadOptions())


def sentences(rows: Rows) -> list[list[tuple[str, ...]]]:
    """The words of each sentence with their tags, if these are read."""
    return [list(zip(*row.values.values(), strict=True)) for row in rows]


def error_of(path: Path, columns: Mapping[str, str] | None = None, *, training: bool = True) -> str:
    with pytest.raises(DataError) as caught:
        list(read(path, columns, training=training))
    return str(caught.value).removeprefix(str(path))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows", "words", "entities"),
    [
        ("wnut17train.conll", 3_394, 62_730, 1_975),
        ("emerging.dev.conll", 1_009, 15_733, 836),
        ("emerging.test.annotated", 1_287, 23_394, 1_079),
    ],
)
def test_wnut17(data_sets: Path, name: str, rows: int, words: int, entities: int) -> None:
    path = data_sets / "wnut17" / name
    found = list(read(path, options=CONLL))
    assert len(found) == rows
    assert sum(len(row.values["words"]) for row in found) == words
    assert sum(tag.startswith("B-") for row in found for tag in row.values["tags"]) == entities
    raw = path.read_text(encoding="utf-8").split("\n")
    for row in found:
        assert row.place.line == row.lines[0]
        assert [raw[line - 1].split("\t") for line in row.lines] == [
            list(pair) for pair in zip(row.values["words"], row.values["tags"], strict=True)
        ]


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\t\n"), min_size=1).map(lambda text: text.strip(" "))
CELLS = WORDS.filter(lambda cell: bool(cell.strip()) and not cell.endswith("\r"))


def no_document(word: str) -> bool:
    return word.split()[0] != "-DOCSTART-"


@given(
    st.lists(st.lists(st.tuples(CELLS.filter(no_document), CELLS), min_size=1), min_size=1),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\t", "  \t "]),
    st.booleans(),
)
def test_sentences_are_read_as_they_are_written(
    tmp_path_factory: TempPathFactory,
    written_sentences: list[list[tuple[str, str]]],
    end: str,
    between: str,
    comments: bool,
) -> None:
    # the first word that does not begin with "# " shows the form
    written_sentences = [[("word", "O")], *written_sentences]
    lines: list[str] = []
    numbers = []
    for sentence in written_sentences:
        if comments:
            lines.append("# sent_id = 7")
        numbers.append(tuple(range(len(lines) + 1, len(lines) + 1 + len(sentence))))
        lines += ["\t".join(word) for word in sentence]
        lines.append(between)
    path = written(tmp_path_factory.mktemp("conll"), "\ufeff" + end.join(lines[:-1]))
    rows = read(path)
    assert sentences(rows) == written_sentences
    assert [row.lines for row in rows] == numbers
    assert [row.place.line for row in rows] == [lines[0] for lines in numbers]


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1), min_size=1),
        min_size=1,
    )
)
def test_words_alone_are_read_as_they_are_written(
    tmp_path_factory: TempPathFactory, written_sentences: list[list[str]]
) -> None:
    content = "\n\n".join("\n".join(sentence) for sentence in written_sentences)
    path = written(tmp_path_factory.mktemp("conll"), content)
    assert [row.values for row in read(path, training=False)] == [{"words": words} for words in written_sentences]


def test_conll_2003(tmp_path: Path) -> None:
    path = written(tmp_path, CONLL_2003)
    rows = read(path)
    assert sentences(rows) == [
        [("EU", "I-ORG"), ("rejects", "O"), ("German", "I-MISC"), ("call", "O"), (".", "O")],
        [("Peter", "I-PER"), ("Blackburn", "B-PER")],
    ]
    assert [row.lines for row in rows] == [(3, 4, 5, 6, 7), (11, 12)]
    assert rows.describe() == (
        f"{path}: CoNLL, one word a line, 4 columns, blank-separated"
        "; words = 'words' (guessed), tags = 'tags' (guessed)"
    )


def test_columns_by_number(tmp_path: Path) -> None:
    path = written(tmp_path, CONLL_2003)
    assert next(iter(read(path, {"tags": "2"}))).values["tags"] == ["NNP", "VBZ", "JJ", "NN", "."]
    assert next(iter(read(path, {"words": "1", "tags": "4"}))).values["tags"][0] == "I-ORG"
    assert next(iter(read(path, {"words": "2", "tags": "3"}))).values == {
        "words": ["NNP", "VBZ", "JJ", "NN", "."],
        "tags": ["I-NP", "I-VP", "I-NP", "I-NP", "O"],
    }
    # what a model was trained on is looked for first, by the name that the column had then
    assert open_rows(path, TAG, preferred={"tags": "2"}).choices[1].position == 1


def test_the_tags_are_not_read_to_predict(tmp_path: Path) -> None:
    path = written(tmp_path, "the\tO\ndog\t\n")
    assert [row.values for row in read(path, training=False)] == [{"words": ["the", "dog"]}]
    assert [row.values for row in read(written(tmp_path, "the\ndog"), training=False)] == [{"words": ["the", "dog"]}]


def test_a_line_that_begins_with_a_hash_is_a_word_if_it_has_the_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "# id 7\n#\tO\n#NFL\tB-group\n# 1\tO\n\n# \n# text = # 1\n# 1\tO\n\n# the end")
    rows = read(path)
    assert sentences(rows) == [[("#", "O"), ("#NFL", "B-group"), ("# 1", "O")], [("# 1", "O")]]
    assert [row.lines for row in rows] == [(2, 3, 4), (8,)]
    path = written(tmp_path, "# 1 is\n# O\n#NFL O\n\n# O\n")
    assert sentences(read(path)) == [[("#", "O"), ("#NFL", "O")], [("#", "O")]]
    assert sentences(read(written(tmp_path, "#\n#NFL\n\n# a b\nthe\n"), training=False)) == [
        [("#",), ("#NFL",)],
        [("the",)],
    ]


def test_comments_that_have_as_many_columns_by_chance(tmp_path: Path) -> None:
    multiconer = "# id 5239d808\tdomain=en\nrobert _ _ B-PER\n# _ _ O\n\n# id 2f4\tdomain=en\n# _ _ O\n"
    assert sentences(read(written(tmp_path, multiconer))) == [[("robert", "B-PER"), ("#", "O")], [("#", "O")]]
    path = written(tmp_path, "# sent_id = 7\nEU NNP I-NP I-ORG\n\n# sent_id = 8\n# # O O\n")
    assert sentences(read(path)) == [[("EU", "I-ORG")], [("#", "O")]]


def test_metadata_of_conllu_between_two_columns(tmp_path: Path) -> None:
    comments = "# newdoc\n# newpar\n# sent_id 7\n# text EU\n"
    assert sentences(read(written(tmp_path, f"{comments}EU B-ORG\n\n# newpar\n# newdocs\n# O\n"))) == [
        [("EU", "B-ORG")],
        [("#", "newdocs"), ("#", "O")],
    ]


def test_words_that_are_numbered(tmp_path: Path) -> None:
    germeval = "#\thttp://a.de [2009-10-17]\n1\tIm\tO\tO\n2\tBahnhof\tB-LOC\tB-X\n\n#\tb.de\n1\t#\tO\tO\n"
    rows = read(written(tmp_path, germeval))
    assert rows.table.columns.cells == ("id", "words", "3", "tags")
    assert sentences(rows) == [[("Im", "O"), ("Bahnhof", "B-X")], [("#", "O")]]
    assert next(iter(read(rows.source.path, {"tags": "3"}))).values["tags"] == ["O", "B-LOC"]
    (row,) = read(written(tmp_path, "1 the\n2 dog\n"), training=False)
    assert row.values == {"words": ["the", "dog"]}
    # numbers may be words: one alone, or those that do not count the words
    assert sentences(read(written(tmp_path, "1 O\n\n2 O\n"))) == [[("1", "O")], [("2", "O")]]
    assert sentences(read(written(tmp_path, "2 O\n3 O\n"))) == [[("2", "O"), ("3", "O")]]


def test_a_file_of_hashes(tmp_path: Path) -> None:
    assert sentences(read(written(tmp_path, "# a b\n#\tO\n#\tO\n\n#\tO\n"))) == [[("#", "O")] * 2, [("#", "O")]]


def test_words_of_a_tab_separated_file_may_hold_blanks(tmp_path: Path) -> None:
    path = written(tmp_path, "New York \tB-LOC\n 10\u00a0000\tO \n")
    assert sentences(read(path)) == [[("New York", "B-LOC"), ("10\u00a0000", "O")]]
    path = written(tmp_path, "New  \t B-LOC\n")
    assert sentences(read(path)) == [[("New", "B-LOC")]]
    path = written(tmp_path, "  10\u00a0000   B-LOC \nx \t O\t\n")
    assert sentences(read(path)) == [[("10\u00a0000", "B-LOC"), ("x", "O")]]


def test_characters_stay_as_they_are(tmp_path: Path) -> None:
    words = ["👩‍👩‍👧", "e\u0301te\u0301", "\u0327c", "日本", "a\u2028b", "x\x0by", "\u200d", "i̇"]
    content = "".join(f"{word}\tO\n" for word in words)
    for name in ("a.bio", "a.iob", "a.iob2.gz", "a.bioes", "a.conll.gz"):
        (row,) = read(written(tmp_path, "\ufeff" + content, name))
        assert row.values["words"] == words
    (row,) = read(written(tmp_path, content.replace("\n", "\r\n") + "\r\n"))
    assert row.values == {"words": words, "tags": ["O"] * len(words)}


def test_a_long_sentence_is_one_row(tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, "word\tO\n" * 3000))
    assert len(row.values["words"]) == 3000
    assert row.lines == tuple(range(1, 3001))


def test_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"# a comment\nthe\ndog\n\nbarks")))
    rows = open_rows("-", TAG, training=False, options=CONLL)
    assert [(row.values["words"], row.lines) for row in rows] == [(["the", "dog"], (2, 3)), (["barks"], (5,))]


PARTED_BY_BLANKS = ", parted by blanks, as on line 1; a blank line ends a sentence"
PARTED_BY_TABS = ", parted by a tab each, as on line 1; a blank line ends a sentence"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("the O\ndog\n", f":2: 1 column ('dog'), expected 2{PARTED_BY_BLANKS}"),
        ("the O\n\nthe big O\n", f":3: 3 columns ('the big O'), expected 2{PARTED_BY_BLANKS}"),
        ("the DT O\n\n\ndog NN\n", f":4: 2 columns ('dog NN'), expected 3{PARTED_BY_BLANKS}"),
        ("the\tO\ndog O\n", f":2: 1 column ('dog O'), expected 2{PARTED_BY_TABS}"),
        ("the\tO\ndog\tNN\tO\n", f":2: 3 columns ('dog\\tNN\\tO'), expected 2{PARTED_BY_TABS}"),
        # a word that lost its tag, and no comment
        ("the\tO\n\n#NFL\nis\tO\n", f":3: 1 column ('#NFL'), expected 2{PARTED_BY_TABS}"),
        ("the\tO\n#\n", f":2: 1 column ('#'), expected 2{PARTED_BY_TABS}"),
        (
            "the\tO\n# text = dog\ndog\tO\n",
            (
                ":2: 1 column ('# text = dog'), expected 2, parted by a tab each, as on line 1"
                "; a comment stands before the first word of a sentence"
            ),
        ),
        ("the\tO\n\tO\n", ":2: column 1 is empty, and words needs a value"),
        ("the\tO\ndog\t \n", ":2: column 2 is empty, and tags needs a value"),
        ("the\tO\t\ndog\tO\t\n", ":1: column 3 is empty, and tags needs a value"),
        ("\n \n\t\n", ": holds no rows"),
        ("# only\n# comments\n\n-DOCSTART- O\n", ": holds no rows"),
        (
            "\nthe\ndog\n",
            (
                ":2: there is no column for tags (looked for 'tags', 'ner_tags', 'pos_tags', 'upos', 'labels') or spans"
                " (looked for 'spans', 'entities', 'label'); columns are 1 'words'"
                "; name it: --tags NAME or --spans NAME"
            ),
        ),
    ],
)
def test_broken_files(tmp_path: Path, content: str, said: str) -> None:
    assert error_of(written(tmp_path, content)) == said


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = written(tmp_path, CONLL_2003)
    columns = "columns are 1 'words', 2 '2', 3 '3', 4 'tags'"
    assert error_of(path, {"tags": "5"}) == f":3: --tags 5: there is no column 5; {columns}"
    assert error_of(path, {"tags": "ner"}) == f":3: --tags: there is no column 'ner'; {columns}"
    assert error_of(path, {"words": "4"}) == (
        ":3: there is no column for tags (looked for 'tags', 'ner_tags', 'pos_tags', 'upos', 'labels') or spans"
        f" (looked for 'spans', 'entities', 'label'); {columns}; 'tags' is taken for words"
        "; name it: --tags NAME or --spans NAME"
    )
    with pytest.raises(DataError, match=r"a\.conll:3: there is no column for question .*columns are 1 'words', 2 '2'"):
        open_rows(path, ANSWER)


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_bytes("the\tO\n\ncafé\tO\n".encode("latin-1"))
    assert error_of(path).startswith(":3: byte 0xe9 at offset 3 of the line is not UTF-8")


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.txt.gz"])
@pytest.mark.parametrize(
    "content", ["the\tO\ndog\tB-X\n\nIt\tO\n", "# id 7\nthe DT O\ndog NN B-X\n\nIt PR O\n", CONLL_2003]
)
def test_files_of_words_by_other_names(tmp_path: Path, name: str, content: str) -> None:
    path = written(tmp_path, content, name)
    assert sentences(read(path)) == sentences(read(path, options=CONLL))
    assert len(sentences(read(path))) == 2


@pytest.mark.parametrize(
    "content",
    [
        "words\ttags\nthe dog\tDET NOUN\n\nIt\tPRON\n",  # a table with an empty line
        "words\ttags\nthe\tDET\nIt\tPRON\n",  # no sentences
        "words\ttags\nthe\tDET\n\nIt\tPRON\tx\n",  # not equally many columns
    ],
)
def test_tables_stay_tables(tmp_path: Path, content: str) -> None:
    assert read(written(tmp_path, content, "a.tsv")).table.note == "header on line 1, tab-separated, no quoting"
    assert read(written(tmp_path, content, "a.txt")).table.note == "header on line 1, tab-separated, no quoting"


@pytest.mark.parametrize(
    "content", ["the\tO\ndog\tB-X\n\nIt\tO\n", "the DT\ndog NN\n\nIt PR\n", CONLL_2003, "# newdoc\na b-x\n\nb o\n"]
)
def test_files_of_words_are_known_to_predict_as_well(tmp_path: Path, content: str) -> None:
    for name in ("a.txt", "a.tsv"):
        path = written(tmp_path, content, name)
        assert read(path, training=False).table.note == read(path, options=CONLL).table.note
        assert all(row.values.keys() == {"words"} for row in read(path, training=False))


@pytest.mark.parametrize(
    "content",
    ["Hello world\n\nGood morning\n", "go on\nstop it\n\nNo way!\n", "Go on\n\n東京 塔\n", "Go home.\n\nMr. X\n"],
)
def test_texts_of_two_words_stay_texts_to_predict(tmp_path: Path, content: str) -> None:
    assert read(written(tmp_path, content, "a.txt"), training=False).table.note == "one text a line"


def on_standard_input(monkeypatch: pytest.MonkeyPatch, content: str) -> Rows:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    return open_rows("-", TAG, training=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("EU\tB-ORG\nrejects\tO\n\nIt\tO\n", [["EU", "rejects"], ["It"]]),
        ("\n# sent_id = 7\nEU\tB-ORG\n", [["EU"]]),
        ("-DOCSTART- O\n\nEU B-ORG\n", [["EU"]]),
        ("# newdoc\nEU B-ORG\n", [["EU"]]),
        ("# newdoc\n1\tEU\teu\tPROPN" + "\t_" * 6 + "\n", [["EU"]]),
    ],
    ids=str,
)
def test_words_on_standard_input(monkeypatch: pytest.MonkeyPatch, content: str, words: list[list[str]]) -> None:
    assert [row.values for row in on_standard_input(monkeypatch, content)] == [{"words": each} for each in words]


def test_texts_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = on_standard_input(monkeypatch, "# heading\nEU rejects\n\n\tindented\nEU\tB-ORG\n")
    found = iter(rows)
    assert [next(found).values["text"] for _ in range(4)] == ["# heading", "EU rejects", "", "\tindented"]
    with pytest.raises(DataError, match=r"^<stdin>:5: a tab parts columns, .* give --format conll, for texts"):
        next(found)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"EU\tB-ORG\n")))
    rows = open_rows("-", TAG, training=False, options=ReadOptions(format="lines"))
    assert [row.values["text"] for row in rows] == ["EU\tB-ORG"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(("lines", "values"), [("EU rejects\n", {"text": "EU rejects"}), ("# a\n", {"text": "# a"}),
                                               ("EU\tO\n\n", {"words": ["EU"]})])  # fmt: skip
def test_a_pipe_is_answered_before_more_comes(tmp_path: Path, lines: str, values: dict[str, Any]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    answered = threading.Event()

    def write() -> None:
        with pipe.open("w") as stream:
            stream.write(lines)
            stream.flush()
            assert answered.wait(60)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    found: list[Any] = []

    def read_one() -> None:
        found.append(next(iter(open_rows(pipe, TAG, training=False))))

    reader = threading.Thread(target=read_one, daemon=True)
    reader.start()
    reader.join(30)
    assert [row.values for row in found] == [values]
    answered.set()
    writer.join()


def test_files_of_words_are_only_looked_for_by_taggers(tmp_path: Path) -> None:
    path = written(tmp_path, "the DT\ndog NN\n\nIt PR\n", "a.txt")
    assert open_rows(path, [Input("text", ("text",))]).table.note == "one text a line"
    path = written(tmp_path, "words\ttags\n\nthe\tDT\n", "a.tsv")
    assert read(path, options=ReadOptions(header=True)).table.note.startswith("header on line 1")
    assert read(path, options=ReadOptions(delimiter="tab")).table.note.startswith("header on line 1")


def test_lines_of_text_have_no_tags(tmp_path: Path) -> None:
    path = written(tmp_path, "the dog\nIt barks\n", "a.txt")
    assert [row.values for row in read(path, training=False)] == [{"text": "the dog"}, {"text": "It barks"}]
    assert error_of(path) == (
        ": is read as one text a line, which holds no tags; if it has columns, give --format conll"
    )


OF_2012 = (
    "#begin document (bc/x); part 000\nbc/x 0 0 Hong NNP (NP* - - - S (GPE* -\nbc/x 0 1 Kong NNP *) - - - S *) -\n\n"
)


@pytest.mark.parametrize(("name", "training"), [("a.conll", True), ("a.txt", True), ("a.txt", False)])
def test_conll_2012_is_named(tmp_path: Path, name: str, training: bool) -> None:
    path = written(tmp_path, f"\n{OF_2012}", name)
    with pytest.raises(
        DataError, match=r":2: '#begin document' begins a file of CoNLL-2012, .* B-PERSON, I-PERSON or O"
    ):
        read(path, training=training)


def test_conll_2012_on_standard_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="begins a file of CoNLL-2012"):
        on_standard_input(monkeypatch, OF_2012)


@pytest.mark.parametrize(
    ("texts", "tagged"),
    [
        (["EU NNP B-NP B-ORG", "rejects VBZ B-VP O", "German JJ B-NP B-MISC"], True),
        (["It O", "is O", "so O"], True),
        (["EU B-ORG", "rejects O"], False),
        (["take vitamin B-12", "and then B-6", "and no O"], False),
        (["O", "O", "O"], False),
        (["I am O", "he is A", "she is B"], False),
    ],
)
def test_texts_that_look_like_words_and_tags(texts: list[str], tagged: bool) -> None:
    assert look_tagged(texts) is tagged
