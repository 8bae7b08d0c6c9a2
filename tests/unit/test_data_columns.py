"""Which column is which input: requested, guessed, missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bertsmith.data import ReadOptions, Rows, open_rows, text_of
from bertsmith.errors import DataError, SettingsError
from bertsmith.records import Input, Place, Row
from token_inputs import ANSWER, TAG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

INPUTS = [
    Input("text", ("text", "sentence", "#1 string")),
    Input("text_b", ("text_b", "sentence2"), required=False, needed_to_train=False),
    Input("label", ("label", "class"), required=False),
]


def opened(
    tmp_path: Path,
    content: str,
    columns: Mapping[str, str] | None = None,
    *,
    training: bool = True,
    header: bool | None = None,
) -> Rows:
    path = tmp_path / "a.tsv"
    path.write_text(content)
    return open_rows(path, INPUTS, columns=columns, training=training, options=ReadOptions(header=header))


def values(rows: Rows) -> list[Mapping[str, Any]]:
    return [row.values for row in rows]


def message(tmp_path: Path, content: str, columns: Mapping[str, str] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        opened(tmp_path, content, columns)
    return str(caught.value).removeprefix(f"{tmp_path / 'a.tsv'}:")


def test_columns_are_guessed_by_name(tmp_path: Path) -> None:
    rows = opened(tmp_path, "id\tClass\t Sentence2 \t#1 String\n7\tpos\tb\ta\n")
    assert values(rows) == [{"text": "a", "text_b": "b", "label": "pos"}]
    assert [(choice.input, choice.column, choice.guessed) for choice in rows.choices] == [
        ("text", "#1 String", True),
        ("text_b", " Sentence2 ", True),
        ("label", "Class", True),
    ]


def test_the_first_of_the_names_is_guessed(tmp_path: Path) -> None:
    assert values(opened(tmp_path, "sentence\ttext\tlabel\na\tb\tc\n")) == [{"text": "b", "label": "c"}]


def test_no_column_is_guessed_for_two_inputs(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("text\tsentence\na\tb\n")
    inputs = [Input("first", ("text", "sentence")), Input("second", ("text", "sentence"))]
    assert values(open_rows(path, inputs)) == [{"first": "a", "second": "b"}]
    requested = open_rows(path, inputs, columns={"second": "text"})
    assert values(requested) == [{"first": "b", "second": "a"}]


def test_columns_are_requested_by_name_or_number(tmp_path: Path) -> None:
    content = "review\tstars\tlabel\na\t5\tx\n"
    assert values(opened(tmp_path, content, {"text": "review"})) == [{"text": "a", "label": "x"}]
    rows = opened(tmp_path, content, {"text": "1", "label": "STARS"})
    assert values(rows) == [{"text": "a", "label": "5"}]
    assert rows.describe() == (
        f"{tmp_path / 'a.tsv'}: header on line 1, tab-separated, no quoting; text = 'review', label = 'stars'"
    )


def test_a_name_wins_over_a_number(tmp_path: Path) -> None:
    assert values(opened(tmp_path, "text\t1\na\tb\n", {"label": "1"})) == [{"text": "a", "label": "b"}]


def test_without_a_header_columns_have_numbers(tmp_path: Path) -> None:
    rows = opened(tmp_path, "a\tpos\nb\tneg\n", {"text": "1", "label": "2"})
    assert values(rows) == [{"text": "a", "label": "pos"}, {"text": "b", "label": "neg"}]
    assert rows.describe().endswith(": no header, tab-separated, no quoting; text = column 1, label = column 2")


def test_a_number_in_the_first_row_makes_no_header(tmp_path: Path) -> None:
    assert len(values(opened(tmp_path, "2\ta\n1\tb\n", {"text": "2", "label": "1"}))) == 2
    assert values(opened(tmp_path, "2019\t2020\na\tb\n", {"text": "2019", "label": "2020"})) == [
        {"text": "a", "label": "b"}
    ]


def test_header_can_be_said(tmp_path: Path) -> None:
    content = "text\tlabel\na\tb\n"
    assert len(values(opened(tmp_path, content, {"text": "1", "label": "2"}, header=False))) == 2
    content = "x\ty\na\tb\n"
    assert values(opened(tmp_path, content, {"text": "1", "label": "2"}, header=True)) == [{"text": "a", "label": "b"}]


def test_predicting_never_reads_labels(tmp_path: Path) -> None:
    content = "label\tsentence\nx\ta\n"
    rows = opened(tmp_path, content, training=False)
    assert values(rows) == [{"text": "a"}]
    assert values(opened(tmp_path, content, {"label": "no such"}, training=False)) == [{"text": "a"}]
    assert values(opened(tmp_path, "sentence\na\n", training=False)) == [{"text": "a"}]


def test_missing_columns_are_told_with_those_there_are(tmp_path: Path) -> None:
    assert message(tmp_path, "sentence\tlabell\n") == (
        "1: there is no column for label (looked for 'label', 'class'); columns are 1 'sentence', 2 'labell'"
        "; name it: --label NAME; did you mean 'labell'?"
    )
    assert message(tmp_path, "a\tb\t" + "c" * 40 + "\n") == (
        "1: there is no column for text (looked for 'text', 'sentence', '#1 string')"
        " and label (looked for 'label', 'class'); line 1 was taken as a row, not as a header, and holds"
        f" 1 'a', 2 'b', 3 '{'c' * 29}…; say --header if it is one, else give column numbers"
        ": --text NUMBER --label NUMBER"
    )


def test_misspelt_columns_are_told_with_the_nearest(tmp_path: Path) -> None:
    assert message(tmp_path, "text\treview\tlabel\n", {"text": "reviews"}) == (
        "1: --text: there is no column 'reviews'; columns are 1 'text', 2 'review', 3 'label'; did you mean 'review'?"
    )
    assert message(tmp_path, "review\tstars\n", {"text": "reviews", "text_b": "x"}) == (
        "1: --text: there is no column 'reviews'; line 1 was taken as a row, not as a header, and holds"
        " 1 'review', 2 'stars'; say --header if it is one, else give column numbers; did you mean 'review'?"
    )
    assert message(tmp_path, "text\tlabel\n", {"text_b": "3"}) == (
        "1: --text-b 3: there is no column 3; columns are 1 'text', 2 'label'"
    )
    assert "--text 0: there is no column 0" in message(tmp_path, "a\tb\n", {"text": "0"})
    many = "\t".join(f"c{number}" for number in range(20))
    assert "12 'c11' and 8 more" in message(tmp_path, many + "\n", {"text": "30"})


def test_names_that_are_there_twice(tmp_path: Path) -> None:
    content = "text\tText\tlabel\n1\t2\t3\n"
    assert message(tmp_path, content) == (
        "1: column 'text' for text is there 2 times, as columns 1 and 2; rename one, or give its number: --text 1"
    )
    assert values(opened(tmp_path, content, {"text": "Text"})) == [{"text": "2", "label": "3"}]
    assert "column 'id' for text is there 2 times" in message(tmp_path, "id\tid\tlabel\n", {"text": "id"})
    assert len(values(opened(tmp_path, "id\tid\ttext\tlabel\n1\t2\t3\t4\n"))) == 1


def test_one_column_for_two_inputs(tmp_path: Path) -> None:
    assert message(tmp_path, "a\tb\n", {"text": "2", "label": "2"}) == ("1: --text and --label both name column 2")


def test_inputs_that_the_task_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        opened(tmp_path, "text\tlabel\n", {"lable": "label"})
    assert str(caught.value) == (
        "--lable: the task reads 'text', 'text_b', 'label', not 'lable'; did you mean 'label'?"
    )


def chosen(tmp_path: Path, header: str, inputs: Sequence[Input], *, training: bool = True) -> dict[str, bool]:
    """The inputs that the columns of a header are chosen for, and whether each row must have them."""
    path = tmp_path / "a.tsv"
    path.write_text(header.replace(" ", "\t") + "\n")
    return {choice.input: choice.required for choice in open_rows(path, inputs, training=training).choices}


def refused(tmp_path: Path, header: str, inputs: Sequence[Input], *, training: bool = True) -> str:
    with pytest.raises(DataError) as caught:
        chosen(tmp_path, header, inputs, training=training)
    return str(caught.value).removeprefix(f"{tmp_path / 'a.tsv'}:")


def test_one_of_two_inputs_is_enough(tmp_path: Path) -> None:
    assert chosen(tmp_path, "tokens upos", TAG) == {"words": True, "tags": True}
    assert chosen(tmp_path, "text entities", TAG) == {"text": True, "spans": True}
    assert chosen(tmp_path, "text tokens tags spans", TAG) == dict.fromkeys(("words", "text", "tags", "spans"), False)
    assert chosen(tmp_path, "sentence tags", TAG, training=False) == {"text": True}
    assert chosen(tmp_path, "question text answers", ANSWER) == dict.fromkeys(("question", "passage", "answers"), True)
    # answers may stand for is_impossible, and not the other way round
    assert chosen(tmp_path, "question text answers is_impossible", ANSWER)["is_impossible"] is False


WORDS_OR_TEXT = "words (looked for 'words', 'tokens', 'form', 'token') or text (looked for 'text', 'sentence')"
TAGS_OR_SPANS = (
    "tags (looked for 'tags', 'ner_tags', 'pos_tags', 'upos', 'labels')"
    " or spans (looked for 'spans', 'entities', 'label')"
)


def test_both_of_two_inputs_are_told_where_neither_is_there(tmp_path: Path) -> None:
    assert refused(tmp_path, "words x", TAG) == (
        f"1: there is no column for {TAGS_OR_SPANS}; columns are 1 'words', 2 'x'; name it: --tags NAME or --spans NAME"
    )
    assert refused(tmp_path, "labels x", TAG) == (
        f"1: there is no column for {WORDS_OR_TEXT}; columns are 1 'labels', 2 'x'"
        "; name it: --words NAME or --text NAME"
    )
    assert refused(tmp_path, "tag x", TAG, training=False) == (
        f"1: there is no column for {WORDS_OR_TEXT}; line 1 was taken as a row, not as a header, and holds"
        " 1 'tag', 2 'x'; say --header if it is one, else give column numbers: --words NUMBER or --text NUMBER"
    )
    assert refused(tmp_path, "a b", TAG) == (
        f"1: there is no column for {WORDS_OR_TEXT} and {TAGS_OR_SPANS}; line 1 was taken as a row, not as a header,"
        " and holds 1 'a', 2 'b'; say --header if it is one, else give column numbers"
        ": --words NUMBER or --text NUMBER --tags NUMBER or --spans NUMBER"
    )


def test_an_input_that_may_be_replaced_but_replaces_none_is_not_told(tmp_path: Path) -> None:
    missing = "there is no column for answers (looked for 'answers', 'answer')"
    assert refused(tmp_path, "question passage", ANSWER) == (
        f"1: {missing}; columns are 1 'question', 2 'passage'; name it: --answers NAME"
    )
    assert missing in refused(tmp_path, "question passage is_impossible", ANSWER)


def test_texts_are_strings() -> None:
    place = Place("a.jsonl", 3)
    assert text_of(Row({"text": " a "}, place), "text") == " a "
    for value, found in {5: "int 5", 0.5: "float 0.5", True: "bool True", ("a",): "tuple ('a',)"}.items():
        with pytest.raises(DataError) as caught:
            text_of(Row({"text": value}, place), "text")
        assert str(caught.value) == f"a.jsonl:3: text must be a string, got {found}"
    with pytest.raises(DataError, match=r"^a\.jsonl:3: there is no text_b; it must be a string$"):
        text_of(Row({"text": "a"}, place), "text_b")
