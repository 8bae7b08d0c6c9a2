"""The real sets: as many rows as their publishers say, and the values that their raw files hold."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bertsmith.data import open_rows
from bertsmith.records import Input

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.data

TEXT = Input("text", ("text", "sentence", "sentence1", "#1 string"))
TEXT_B = Input("text_b", ("text_b", "sentence2", "#2 string"), required=False, needed_to_train=False)
LABEL = Input("label", ("label", "quality"), required=False)
INPUTS = [TEXT, TEXT_B, LABEL]

GUESSED: dict[str, str] = {}
COLA = {"text": "4", "label": "2"}
STSB = {"text": "1", "text_b": "2", "label": "3"}
SMS = {"text": "2", "label": "1"}

# Each: the columns to ask for, the rows, and how many of them each label has (not for scores).
SETS: list[tuple[str, dict[str, str], int, dict[str, int] | None]] = [
    ("sst2/train.tsv", GUESSED, 67_349, {"0": 29_780, "1": 37_569}),
    ("sst2/dev.tsv", GUESSED, 872, {"0": 428, "1": 444}),
    ("sst2/test.tsv", GUESSED, 1_821, {"0": 912, "1": 909}),
    ("cola/in_domain_train.tsv", COLA, 8_551, {"0": 2_528, "1": 6_023}),
    ("cola/in_domain_dev.tsv", COLA, 527, {"0": 162, "1": 365}),
    ("cola/out_of_domain_dev.tsv", COLA, 516, {"0": 162, "1": 354}),
    ("mrpc/msr_paraphrase_train.txt", GUESSED, 4_076, {"0": 1_323, "1": 2_753}),
    ("mrpc/msr_paraphrase_test.txt", GUESSED, 1_725, {"0": 578, "1": 1_147}),
    ("rte/train.tsv", GUESSED, 2_490, {"entailment": 1_249, "not_entailment": 1_241}),
    ("rte/dev.tsv", GUESSED, 277, {"entailment": 146, "not_entailment": 131}),
    ("stsb/stsb-en-train.csv", STSB, 5_749, None),
    ("stsb/stsb-en-dev.csv", STSB, 1_500, None),
    ("stsb/stsb-en-test.csv", STSB, 1_379, None),
    ("sms_spam/SMSSpamCollection.tsv", SMS, 5_574, {"ham": 4_827, "spam": 747}),
    ("ag_news/test.csv", {"text": "3", "label": "1"}, 7_600, dict.fromkeys("1234", 1_900)),
    (
        "ag_news/train_sample_10k.tsv",
        {"text": "1", "label": "2"},
        10_001,
        {"World": 2_509, "Sports": 2_458, "Business": 2_496, "Sci/Tech": 2_538},
    ),
]


@pytest.mark.parametrize(("name", "columns", "rows", "labels"), SETS, ids=[case[0] for case in SETS])
def test_rows_and_labels(
    data_sets: Path, name: str, columns: dict[str, str], rows: int, labels: dict[str, int] | None
) -> None:
    found = Counter(row.values["label"] for row in open_rows(data_sets / name, INPUTS, columns=columns))
    assert found.total() == rows
    assert labels is None or found == labels


@pytest.mark.parametrize("name", ["sst2/dev.tsv", "rte/train.tsv", "mrpc/msr_paraphrase_train.txt"])
def test_unquoted_sets_are_read_as_they_stand(data_sets: Path, name: str) -> None:
    raw = (data_sets / name).read_bytes().decode("utf-8-sig")
    lines = [line.split("\t") for line in raw.removesuffix("\n").split("\n")]
    rows = open_rows(data_sets / name, INPUTS)
    found = [(row.place.line, *row.values.values()) for row in rows]
    chosen = [choice.position for choice in rows.choices]
    assert found == [(n, *(line[position] for position in chosen)) for n, line in enumerate(lines[1:], 2)]


def test_control_characters_of_cola_stay(data_sets: Path) -> None:
    rows = open_rows(data_sets / "cola" / "in_domain_train.tsv", INPUTS, columns=COLA)
    assert sum(row.values["text"].count("\x08") for row in rows) == 3


@pytest.mark.parametrize(
    ("name", "columns", "delimiter"),
    [
        ("stsb/stsb-en-train.csv", STSB, ","),
        ("ag_news/test.csv", {"text": "3", "label": "1"}, ","),
        ("ag_news/train_sample_10k.tsv", {"text": "1", "label": "2"}, "\t"),
    ],
)
def test_quoted_sets_are_read_as_the_csv_module_reads_them(
    data_sets: Path, name: str, columns: dict[str, str], delimiter: str
) -> None:
    raw = (data_sets / name).read_bytes().decode()
    reference = list(csv.reader(io.StringIO(raw, newline=""), delimiter=delimiter))
    rows = open_rows(data_sets / name, INPUTS, columns=columns)
    assert "CSV quoting" in rows.describe()
    found = [list(row.values.values()) for row in rows]
    chosen = [choice.position for choice in rows.choices]
    assert found == [[fields[position] for position in chosen] for fields in reference]
