"""SQuAD's JSON: the real files, written ones read back, and what is said of others."""

from __future__ import annotations

import gzip
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data import ReadOptions, open_rows
from bertsmith.errors import DataError
from bertsmith.records import Place
from token_inputs import ANSWER, TAG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory

EXPECTED = 'expected SQuAD\'s object: {"data": [{"paragraphs": [{"context": …, "qas": [{"question": …}]}]}]}'


def written(tmp_path: Path, document: Any, name: str = "dev.json", **options: Any) -> Path:
    path = tmp_path / name
    raw = (document if isinstance(document, str) else json.dumps(document, **options)).encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def squad(*questions: Mapping[str, Any], context: str = "A text.", title: str = "Texts") -> dict[str, Any]:
    return {"version": "v2.0", "data": [{"title": title, "paragraphs": [{"context": context, "qas": [*questions]}]}]}


def error_of(path: Path, columns: Mapping[str, str] | None = None, *, training: bool = True) -> str:
    with pytest.raises(DataError) as caught:
        list(open_rows(path, ANSWER, columns=columns, training=training))
    return str(caught.value).removeprefix(str(path))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "questions", "passages", "impossible"),
    [
        ("squad_v1.1/dev-v1.1.json", 10_570, 2_067, None),
        ("squad_v2.0/dev-v2.0.json", 11_873, 1_204, 5_945),
        ("xquad_en/xquad.en.json", 1_190, 240, None),
        ("squadshifts_new_wiki/new_wiki_v1.0.json", 7_938, None, None),
    ],
)
def test_real_files(data_sets: Path, name: str, questions: int, passages: int | None, impossible: int | None) -> None:
    path = data_sets / name
    found = list(open_rows(path, ANSWER))
    assert len(found) == questions
    texts = {id(row.values["passage"]): row.values["passage"] for row in found}
    assert passages is None or len(texts) == passages
    assert impossible is None or sum(row.values["is_impossible"] for row in found) == impossible
    if impossible is None:
        assert not any("is_impossible" in row.values for row in found)
    else:
        assert all(bool(row.values["answers"]) != row.values["is_impossible"] for row in found)
    for row in found:
        for answer in row.values["answers"]:
            start = answer["answer_start"]
            assert row.values["passage"][start : start + len(answer["text"])] == answer["text"]
    # each place leads back to its question
    document = json.loads(path.read_text(encoding="utf-8"))
    for row in found[::97]:
        there = document
        for step in row.place.path.split("."):
            key, _, number = step.partition("[")
            there = there[key][int(number.removesuffix("]"))]
        assert there["question"] == row.values["question"]
        assert there["id"] == row.values["id"]


TEXTS = st.text(st.characters(codec="utf-8"))
ANSWERS = st.lists(st.fixed_dictionaries({"text": TEXTS, "answer_start": st.integers(0, 99)}))


@given(
    st.lists(st.lists(st.tuples(TEXTS, st.lists(st.tuples(TEXTS, ANSWERS, st.booleans())))), max_size=3),
    st.booleans(),
    st.sampled_from([None, 2]),
)
def test_questions_are_read_as_they_are_written(
    tmp_path_factory: TempPathFactory,
    articles: list[list[tuple[str, list[tuple[str, Any, bool]]]]],
    ascii_only: bool,
    indent: int | None,
) -> None:
    expected = []
    data: list[Any] = []
    for a, article in enumerate(articles):
        data.append({"title": f"Article {a}", "paragraphs": []})
        for p, (context, questions) in enumerate(article):
            data[-1]["paragraphs"].append({"context": context, "qas": []})
            for q, (question, answers, impossible) in enumerate(questions):
                values = {"question": question, "answers": answers, "is_impossible": impossible, "id": f"{a}-{p}-{q}"}
                data[-1]["paragraphs"][-1]["qas"].append(values)
                expected.append(({**values, "passage": context}, f"data[{a}].paragraphs[{p}].qas[{q}]"))
    path = written(tmp_path_factory.mktemp("squad"), {"data": data}, ensure_ascii=ascii_only, indent=indent)
    if expected:
        rows = open_rows(path, ANSWER)
        for _ in range(2):
            assert [(row.values, row.place) for row in rows] == [
                (values, Place(str(path), path=where)) for values, where in expected
            ]
    else:
        with pytest.raises(DataError):
            list(open_rows(path, ANSWER))


def test_the_columns_are_those_that_a_question_has(tmp_path: Path) -> None:
    path = written(tmp_path, squad({"question": "What?", "id": "1"}, {"question": "Who?", "answers": []}))
    rows = open_rows(path, ANSWER)
    assert rows.table.columns.cells == ("id", "question", "context", "answers", "title")
    # whether a question may lack its answers is for the task to say
    assert [row.values for row in rows] == [
        {"question": "What?", "passage": "A text.", "id": "1"},
        {"question": "Who?", "passage": "A text.", "answers": []},
    ]
    assert rows.describe() == (
        f"{path}: SQuAD JSON; question = 'question' (guessed), passage = 'context' (guessed)"
        ", answers = 'answers' (guessed), id = 'id' (guessed)"
    )
    first, second = rows
    assert str(second.place) == f"{path}:data[0].paragraphs[0].qas[1]"
    assert first.values["passage"] is second.values["passage"]


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, squad({"question": "What?", "answers": [], "id": 5}))
    (row,) = open_rows(path, ANSWER, columns={"question": "title", "passage": "2"})
    assert row.values == {"question": "Texts", "passage": "What?", "answers": [], "id": 5}


def test_the_answers_are_not_read_to_predict(tmp_path: Path) -> None:
    path = written(tmp_path, squad({"question": "What?", "answers": None, "is_impossible": "maybe"}))
    (row,) = open_rows(path, ANSWER, training=False)
    assert row.values == {"question": "What?", "passage": "A text."}
    assert error_of(path) == f":data[0].paragraphs[0].qas[0]: {NULL}"


def test_gzip_and_a_byte_order_mark_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = squad({"question": "Où est l'e\u0301te\u0301 👩‍👩‍👧?", "answers": []}, context="\r\n 日本\u2028")
    text = "\ufeff" + json.dumps(document, ensure_ascii=False, indent=1).replace("\n", "\r\n")
    wanted = [{"question": "Où est l'e\u0301te\u0301 👩‍👩‍👧?", "passage": "\r\n 日本\u2028", "answers": []}]
    assert [row.values for row in open_rows(written(tmp_path, text), ANSWER)] == wanted
    assert [row.values for row in open_rows(written(tmp_path, text, "dev.json.gz"), ANSWER)] == wanted
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert [row.values for row in open_rows("-", ANSWER, options=ReadOptions(format="squad"))] == wanted


def in_article(article: Any) -> dict[str, Any]:
    return {"data": [{"paragraphs": []}, article]}


def in_paragraph(paragraph: Any) -> dict[str, Any]:
    return {"data": [{"paragraphs": [{"context": "a", "qas": []}, paragraph]}]}


NULL = "'answers' is null, and answers needs a value; [], an empty list, says that there is no answer"
IN_QUESTION = ":data[0].paragraphs[0].qas[1]"
GOOD = {"question": "What?", "id": "a", "answers": []}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ('{"data": [\n  {"paragraphs": [}\n]}', ":2: not valid JSON at column 19: Expecting value"),
        ('{"data": [\n', ":2: not valid JSON at column 1: Expecting value"),
        ("question,answer\n", ":1: not valid JSON at column 1: Expecting value"),
        (
            '{"text": "a"}\n{"text": "b"}\n',
            ":2: not valid JSON at column 1: Extra data; one object a line is JSONL: --format jsonl",
        ),
        (
            '{"data": [], "data": []}',
            ": the key 'data' is there twice in one object",
        ),
        ("", ": holds no rows"),
        (" \n", ": holds no rows"),
        ({"data": []}, ": holds no rows"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": []}]}]}, ": holds no rows"),
        (
            [{"text": "a", "label": 1}, {"text": "b", "label": 1}],
            (
                f": a list of 2, the first an object with the keys 'text', 'label'; {EXPECTED}"
                "; jq -c '.[]' FILE makes JSONL of a list of rows"
            ),
        ),
        ([], f": an empty list; {EXPECTED}; jq -c '.[]' FILE makes JSONL of a list of rows"),
        (
            {"question": "a", "context": "b"},
            f": an object with the keys 'question', 'context'; {EXPECTED}; one object a line is JSONL: --format jsonl",
        ),
        ("5", f": the number 5; {EXPECTED}"),
        ('"text"', f": the string 'text'; {EXPECTED}"),
        ("null", f": null; {EXPECTED}"),
        (
            {"data": {"a": 1}, "version": "1"},
            f": an object with the keys 'data', 'version', 'data' being an object with the keys 'a'; {EXPECTED}",
        ),
        ({"data": ["a"]}, ":data[0]: must be an object, got the string 'a'"),
        (
            {"data": [{"id": "1", "question": "a", "context": "b"}]},
            (
                ":data[0]: there is no 'paragraphs', a list; keys are 'id', 'question', 'context'"
                "; jq -c '.data[]' FILE makes JSONL of such rows"
            ),
        ),
        (
            in_article({"paragraph": []}),
            ":data[1]: there is no 'paragraphs', a list; keys are 'paragraph'; did you mean 'paragraph'?",
        ),
        (in_article({}), ":data[1]: there is no 'paragraphs', a list; keys are none"),
        (in_article({"paragraphs": {}}), ":data[1].paragraphs: must be a list, got an empty object"),
        (in_article({"paragraphs": [[1]]}), ":data[1].paragraphs[0]: must be an object, got a list of 1, the first "),
        (in_paragraph({"qas": []}), ":data[0].paragraphs[1]: there is no 'context', a string; keys are 'qas'"),
        (
            in_paragraph({"context": ["a"], "qas": []}),
            ":data[0].paragraphs[1].context: must be a string, got a list of 1, the first the string 'a'",
        ),
        (
            in_paragraph({"context": "a"}),
            ":data[0].paragraphs[1]: there is no 'qas', a list; keys are 'context'",
        ),
        (in_paragraph({"context": "a", "qas": None}), ":data[0].paragraphs[1].qas: must be a list, got null"),
        (squad(GOOD, {"id": "b"}), f"{IN_QUESTION}: there is no 'question', a string; keys are 'id'"),
        (squad(GOOD, {"question": 5}), f"{IN_QUESTION}.question: must be a string, got the number 5"),
        (squad(GOOD, {"question": True}), f"{IN_QUESTION}.question: must be a string, got true"),
        (
            squad(GOOD, {"question": "a", "id": 0.5}),
            f"{IN_QUESTION}.id: must be a string or a whole number, got the number 0.5",
        ),
        (
            squad(GOOD, {**GOOD, "question": "Who?"}),
            f"{IN_QUESTION}: the id 'a' is that of data[0].paragraphs[0].qas[0], too; ids must differ",
        ),
        (
            squad(GOOD, {**GOOD, "id": "b", "answers": None}),
            f"{IN_QUESTION}: {NULL}",
        ),
        (
            '{"data": [{"paragraphs": [{"context": "a \\ud83d\\ude00 \\ud83d", "qas": []}]}]}',
            ":data[0].paragraphs[0]: \\ud83d is half of a surrogate pair, and not a character; write both halves",
        ),
        (
            '{"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "\\udead"}]}]}]}',
            ":data[0].paragraphs[0].qas[0]: \\udead is half of a surrogate pair, and not a character",
        ),
        ('{"data": ' + "9" * 5000 + "}", ": not usable JSON: "),
        ("[" * 100_000, ": not usable JSON: "),
    ],
)
def test_broken_files(tmp_path: Path, document: Any, said: str) -> None:
    assert error_of(written(tmp_path, document)).startswith(said)


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, indent: int | None) -> None:
    for document in (squad({**GOOD}), {"data": squad({**GOOD})["data"]}):
        raw = json.dumps(document, indent=indent).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        rows = open_rows("-", ANSWER, training=False)
        assert rows.table.note == "SQuAD JSON"
        assert len(list(rows)) == 1


def test_standard_input_of_objects_is_not_taken_for_squad(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"question": 'What is "data":', "context": "a", "data": 3}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(row).encode())))
    assert open_rows("-", ANSWER, training=False).table.note == "one JSON object a line"


def test_no_questions_are_no_rows(tmp_path: Path) -> None:
    assert error_of(written(tmp_path, {"data": []}), training=False) == ": holds no rows"


def test_a_column_that_a_question_lacks(tmp_path: Path) -> None:
    document = squad(GOOD)
    document["data"] += squad({**GOOD, "id": "b"})["data"]
    del document["data"][1]["title"]
    path = written(tmp_path, document)
    assert error_of(path, {"passage": "title"}) == ":data[1].paragraphs[0].qas[0]: there is no 'title' for passage"
    said = error_of(path, {"passage": "contxt"})
    assert said.endswith(
        "columns are 1 'id', 2 'question', 3 'context', 4 'answers', 5 'title'; did you mean 'context'?"
    )


def test_another_task_is_told_the_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column for words .* or text .* columns are 1 'id', 2 'question'"):
        open_rows(written(tmp_path, squad(GOOD)), TAG)
