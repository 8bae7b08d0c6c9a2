"""CoNLL-U: the English Web Treebank, written sentences read back, and what is said of broken ones."""

from __future__ import annotations

import gzip
import io
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data import ReadOptions, Rows, open_rows
from bertsmith.errors import DataError
from bertsmith.records import Input
from token_inputs import TAG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory

# a multi-word token, an empty node, a word with a blank, and comments as the guide has them
VAMONOS = """# sent_id = 1
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\t_\tMood=Imp|Number=Plur\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\tCase=Acc,Dat|Number=Plur\t1\tobj\t_\t_
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\t_\t_\t5\tcase\t_\t_
4\tel\tel\tDET\t_\t_\t5\tdet\t_\t_
5\tmar\tmar\tNOUN\t_\tNumber=Sing\t1\tobl\t_\t_

# newpar
0.1\t_\t_\tVERB\t_\t_\t_\t_\t_\t_
1\t10 000\t10 000\tNUM\t_\tNumType=Card|Number[psor]=Sing\t0\troot\t_\t_
1.1\tx\t_\tVERB\t_\tTense=Past\t_\t_\t_\t_
2\t#\t#\tSYM\t_\t_\t1\tdep\t_\t_
"""


def line_of(number: str, form: str, upos: str = "X", feats: str = "_") -> str:
    return "\t".join([number, form, "_", upos, "_", feats, "_", "_", "_", "_"])


def written(tmp_path: Path, content: str, name: str = "a.conllu") -> Path:
    path = tmp_path / name
    raw = content.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def read(path: Path, columns: Mapping[str, str] | None = None, *, training: bool = True) -> Rows:
    return open_rows(path, TAG, columns=columns, training=training)


def error_of(path: Path, columns: Mapping[str, str] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        list(read(path, columns))
    return str(caught.value).removeprefix(str(path))


@pytest.mark.data
@pytest.mark.parametrize(
    ("part", "rows", "words"), [("train", 12_544, 204_577), ("dev", 2_001, 25_147), ("test", 2_077, 25_094)]
)
def test_english_web_treebank(data_sets: Path, part: str, rows: int, words: int) -> None:
    path = data_sets / "ud_english_ewt" / f"en_ewt-ud-{part}.conllu"
    found = list(read(path))
    assert len(found) == rows
    assert sum(len(row.values["words"]) for row in found) == words
    assert len({tag for row in found for tag in row.values["tags"]}) == 17
    # each word and tag, against a search of the raw file
    raw = re.findall(r"^\d+\t([^\t]*)\t[^\t]*\t([^\t]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [pair for row in found for pair in zip(row.values["words"], row.values["tags"], strict=True)] == raw


@pytest.mark.data
def test_features_of_the_english_web_treebank(data_sets: Path) -> None:
    path = data_sets / "ud_english_ewt" / "en_ewt-ud-dev.conllu"
    rows = read(path, {"tags": "feats.Number"})
    found = Counter(tag for row in rows for tag in row.values["tags"])
    words = re.findall(r"^\d+\t.*", path.read_text(encoding="utf-8"), re.MULTILINE)
    feats = [word.split("\t")[5] for word in words]
    assert found["Sing"] == sum("|Number=Sing|" in f"|{each}|" for each in feats)
    assert found["_"] == sum("|Number=" not in f"|{each}" for each in feats)
    assert found.total() == 25_147
    assert {"feats.Abbr", "feats.Number", "feats.VerbForm"} <= {*rows.table.columns.cells}


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), min_size=1).filter(
    lambda text: bool(text.strip(" "))
)
FEATURES = st.dictionaries(st.sampled_from(["Case", "Number", "Gender"]), st.sampled_from(["A", "B", "A,B"]))


@given(
    st.lists(st.lists(st.tuples(FIELDS, FIELDS, FEATURES), min_size=1), min_size=1),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_sentences_are_read_as_they_are_written(
    tmp_path_factory: TempPathFactory,
    sentences: list[list[tuple[str, str, dict[str, str]]]],
    end: str,
    more: bool,
) -> None:
    lines: list[str] = []
    numbers: list[list[int]] = []
    for sentence in sentences:
        lines += ["# sent_id = 7"] * more
        numbers.append([])
        for number, (form, upos, features) in enumerate(sentence, 1):
            lines += [line_of(f"{number}-{number + 1}", "both")] * more
            feats = "|".join(f"{name}={value}" for name, value in features.items()) or "_"
            lines.append(line_of(str(number), form, upos, feats))
            numbers[-1].append(len(lines))
            lines += [line_of(f"{number}.1", "empty")] * more
        lines.append("")
    path = written(tmp_path_factory.mktemp("conllu"), "\ufeff" + end.join(lines))
    rows = read(path)
    assert [row.values for row in rows] == [
        {"words": [form for form, _, _ in sentence], "tags": [upos for _, upos, _ in sentence]}
        for sentence in sentences
    ]
    assert [list(row.lines) for row in rows] == numbers
    assert [row.place.line for row in rows] == [lines[0] for lines in numbers]
    names = {f"feats.{name}" for sentence in sentences for _, _, features in sentence for name in features}
    assert {*rows.table.columns.cells[10:]} == names
    for name in names:
        assert [row.values["tags"] for row in read(path, {"tags": name})] == [
            [features.get(name.removeprefix("feats."), "_") for _, _, features in sentence] for sentence in sentences
        ]


def test_multi_word_tokens_and_empty_nodes_are_no_words(tmp_path: Path) -> None:
    path = written(tmp_path, VAMONOS)
    rows = read(path)
    assert [row.values for row in rows] == [
        {"words": ["vamos", "nos", "a", "el", "mar"], "tags": ["VERB", "PRON", "ADP", "DET", "NOUN"]},
        {"words": ["10 000", "#"], "tags": ["NUM", "SYM"]},
    ]
    assert [row.lines for row in rows] == [(4, 5, 7, 8, 9), (13, 15)]
    assert rows.describe() == f"{path}: CoNLL-U, one word a line; words = 'form' (guessed), tags = 'upos' (guessed)"


def test_columns_of_features(tmp_path: Path) -> None:
    path = written(tmp_path, VAMONOS)
    assert read(path).table.columns.cells == (
        *("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"),
        *("feats.Case", "feats.Mood", "feats.Number", "feats.Number[psor]", "feats.NumType"),
    )
    first, second = read(path, {"tags": "feats.number"})
    assert first.values["tags"] == ["Plur", "Plur", "_", "_", "Sing"]
    assert second.values["tags"] == ["_", "_"]
    first, _ = read(path, {"words": "lemma", "tags": "feats.Case"})
    assert first.values == {"words": ["ir", "nosotros", "a", "el", "mar"], "tags": ["_", "Acc,Dat", "_", "_", "_"]}
    first, _ = read(path, {"tags": "8"})
    assert first.values["tags"] == ["root", "obj", "case", "det", "obl"]


def test_the_tags_are_not_read_to_predict(tmp_path: Path) -> None:
    content = "1\tthe\t\t\t\tno features\t\t\t\t\n"
    assert [row.values for row in read(written(tmp_path, content), training=False)] == [{"words": ["the"]}]


def test_characters_stay_as_they_are(tmp_path: Path) -> None:
    words = ["👩‍👩‍👧", "e\u0301te\u0301", "\u0327c", "日本", "a\u2028b", "x\x0by", "_", " a"]
    content = "".join(line_of(str(number), word) + "\n" for number, word in enumerate(words, 1))
    for name, text in {"a.conllu": "\ufeff" + content, "a.conllu.gz": content.replace("\n", "\r\n")}.items():
        (row,) = read(written(tmp_path, text, name))
        assert row.values["words"] == words


def test_a_long_sentence_is_one_row(tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, "".join(line_of(str(number), "a") + "\n" for number in range(1, 3001))))
    assert len(row.values["words"]) == len(row.lines) == 3000


def test_a_pipe_has_no_columns_of_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(VAMONOS.encode())))
    rows = open_rows("-", TAG, options=ReadOptions(format="conllu"))
    assert len(rows.table.columns.cells) == 10
    assert [len(row.lines) for row in rows] == [5, 2]


@pytest.mark.parametrize("name", ["a.conll", "a.txt", "a.tsv"])
def test_conllu_by_another_name(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, VAMONOS, name)
    assert [row.values for row in read(path)] == [row.values for row in read(written(tmp_path, VAMONOS))]
    with pytest.raises(DataError, match="there is no column for question"):
        open_rows(written(tmp_path, VAMONOS), [Input("question", ("question",))])


ONE, TWO = line_of("1", "a"), line_of("2", "b")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            f"{ONE}\n2 b _ X _ _ _ _ _ _\n",
            (
                ":2: 1 field ('2 b _ X _ _ _ _ _ _'), expected 10 with a tab between each two"
                "; files of other columns are read with --format conll"
            ),
        ),
        (
            f"{ONE}\n\n1\tb\tX\n",
            (
                ":3: 3 fields ('1\\tb\\tX'), expected 10 with a tab between each two"
                "; files of other columns are read with --format conll"
            ),
        ),
        (
            f"1-2\tab\t_\n{ONE}\n{TWO}\n",
            (
                ":1: 3 fields ('1-2\\tab\\t_'), expected 10 with a tab between each two"
                "; files of other columns are read with --format conll"
            ),
        ),
        (
            f"{ONE}\n{line_of('3', 'c')}\n",
            ":2: the id is '3', expected '2': the ids of a sentence's words are 1, 2, 3 …",
        ),
        (f"\n{TWO}\n", ":2: the id is '2', expected '1': the ids of a sentence's words are 1, 2, 3 …"),
        (
            f"{ONE}\n{TWO}\n{ONE}\n",
            (
                ":3: the id is '1', expected '3': the ids of a sentence's words are 1, 2, 3 …"
                "; a blank line ends a sentence"
            ),
        ),
        (
            f"{ONE}\n{line_of('x', 'c')}\n",
            ":2: 'x' is no id; ids are 1, 2, 3 …, 5-6 for a multi-word token, 8.1 for an empty node",
        ),
        (
            f"{line_of('01', 'a')}\n",
            ":1: '01' is no id; ids are 1, 2, 3 …, 5-6 for a multi-word token, 8.1 for an empty node",
        ),
        (
            f"{ONE}\n# text = b\n{TWO}\n",
            ":2: a comment inside a sentence; comments stand before its first word, sentences end with a blank line",
        ),
        (
            f"{ONE}\n{line_of('2', '')}\n",
            ":2: form is empty, and words needs a value; CoNLL-U writes _ for nothing",
        ),
        (
            f"{line_of('1', 'a', '')}\n",
            ":1: upos is empty, and tags needs a value; CoNLL-U writes _ for nothing",
        ),
        ("# only\n\n# comments\n", ": holds no rows"),
        (f"{line_of('0.1', 'a')}\n", ": holds no rows (CoNLL-U, one word a line)"),
    ],
)
def test_broken_files(tmp_path: Path, content: str, said: str) -> None:
    assert error_of(written(tmp_path, content)) == said


@pytest.mark.parametrize("feats", ["Sing", "Number=", "=Sing", "Case=Nom|", "Case=Nom;", ""])
def test_features_that_are_none(tmp_path: Path, feats: str) -> None:
    path = written(tmp_path, f"{line_of('1', 'a', feats='Case=Nom')}\n{line_of('2', 'b', feats=feats)}\n")
    assert len(list(read(path))) == 1
    if feats == "Case=Nom;":  # a value like any other
        assert next(iter(read(path, {"tags": "feats.Case"}))).values["tags"] == ["Nom", "Nom;"]
    else:
        assert error_of(path, {"tags": "feats.Case"}) == (
            f":2: feats must be as in Case=Nom|Number=Sing, or _ for none, got {feats!r}"
        )


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = written(tmp_path, VAMONOS)
    said = error_of(path, {"tags": "feats.Numer"})
    assert said.startswith(":3: --tags: there is no column 'feats.Numer'; columns are 1 'id', 2 'form'")
    assert said.endswith("12 'feats.Mood' and 3 more; did you mean 'feats.Number'?")
