"""Plain text, a text a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bertsmith.data import ReadOptions, open_rows
from bertsmith.errors import DataError
from bertsmith.records import Input
from token_inputs import ANSWER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TEXT = [Input("text", ("sentence",))]
PAIR = [*TEXT, Input("text_b", ("sentence2",), required=False, needed_to_train=False)]
LINES = ReadOptions(format="lines")


def read(
    tmp_path: Path, content: str, inputs: Sequence[Input], options: ReadOptions = LINES
) -> list[Mapping[str, Any]]:
    path = tmp_path / "a.txt"
    path.write_bytes(content.encode())
    return [row.values for row in open_rows(path, inputs, options=options)]


def test_each_line_is_a_text(tmp_path: Path) -> None:
    found = read(tmp_path, '\ufeff\n"a\r\n b \x0b\x85\u2028\rc\n\nd', TEXT, ReadOptions())
    assert [values["text"] for values in found] == ["", '"a', " b \x0b\x85\u2028\rc", "", "d"]


def test_one_tab_parts_the_texts_of_a_pair(tmp_path: Path) -> None:
    content = "a\nb\tc\nd\te\tf\n\t\n"
    assert read(tmp_path, content, PAIR) == [
        {"text": "a"},
        {"text": "b", "text_b": "c"},
        {"text": "d\te\tf"},
        {"text": "", "text_b": ""},
    ]
    assert [values["text"] for values in read(tmp_path, content, TEXT)] == ["a", "b\tc", "d\te\tf", "\t"]


def test_a_text_file_with_a_tab_in_its_first_line_is_tsv(tmp_path: Path) -> None:
    content = 'sentence\tsentence2\n"a\tb\n'
    assert read(tmp_path, content, PAIR, ReadOptions()) == [{"text": '"a', "text_b": "b"}]


def test_the_texts_of_a_line_are_those_that_the_task_names(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Who?\tIda sings.\n")
    rows = open_rows(path, ANSWER, texts=("question", "passage"), training=False, options=LINES)
    assert [row.values for row in rows] == [{"question": "Who?", "passage": "Ida sings."}]


@pytest.mark.parametrize(("line", "tabs"), [("a", 0), ("a\tb\tc", 2)])
def test_a_pair_that_is_required_has_one_tab(tmp_path: Path, line: str, tabs: int) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, f"a\tb\n{line}\n", [*TEXT, Input("text_b", ())])
    wanted = f"a.txt:2: {tabs} tabs on the line, expected exactly one, between text and text_b"
    assert str(caught.value).endswith(wanted)


def test_lines_have_no_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.txt: is read as one text a line, which holds no label; if"):
        read(tmp_path, "a\n", [*TEXT, Input("label", ("label",))])
