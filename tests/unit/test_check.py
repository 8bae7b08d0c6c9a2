"""Each check on a small file with exactly one flaw, and on one without; real data sets; time."""

from __future__ import annotations

import re
import time
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bertsmith
from bertsmith.checks import CheckReport, before_training
from bertsmith.checks.near import ALIKE, near_duplicates, near_sources
from bertsmith.checks.splits import Split, fold, share
from bertsmith.cli.demo import SAMPLES
from bertsmith.data import ReadOptions, open_rows
from bertsmith.errors import CheckpointError, SettingsError
from bertsmith.records import Finding, Place, Row
from bertsmith.tasks._texts import TextExample
from bertsmith.tasks.answer import Answer
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.regress import Regress
from small_runs import tiny_bert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ANIMALS = ("cat", "horse", "otter", "swallow", "hedgehog", "salmon", "beetle", "python", "badger", "crane", "mole")
PLACES = ("by the river", "under an old bridge", "in our garden", "at the harbour")
# 44 texts that differ, 22 of each of two classes
SOUND = [
    (f"We saw a {animal} {place} and were {'glad' if number % 2 else 'sorry'} about it", "yes" if number % 2 else "no")
    for number, (animal, place) in enumerate((animal, place) for animal in ANIMALS for place in PLACES)
]


def write(path: Path, rows: Sequence[Sequence[Any]], *, header: str = "text\tlabel") -> Path:
    lines = [header, *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def checked(task: str | Any, *files: Path, **options: Any) -> CheckReport:
    return bertsmith.check(task, files, **{"encoder": None, **options})


def flaws(report: CheckReport) -> dict[str, Finding]:
    """What is not good, by its check; near-duplicates aside, as these texts are alike by design."""
    found = [finding for finding in report.findings if finding.level != "good"]
    found = [finding for finding in found if not finding.check.startswith("near-")]
    assert len({finding.check for finding in found}) == len(found), found
    return {finding.check: finding for finding in found}


def the_flaw(report: CheckReport) -> Finding:
    (finding,) = flaws(report).values()
    return finding


def test_sound_files_have_no_flaw(tmp_path: Path) -> None:
    train, dev = write(tmp_path / "train.tsv", SOUND[4:]), write(tmp_path / "dev.tsv", SOUND[:4])
    report = checked("classify", train, dev, encoder=tiny_bert())
    assert flaws(report) == {}
    assert report.passed(strict=True)
    assert [(file.name, file.rows) for file in report.files] == [(str(train), 40), (str(dev), 4)]
    assert "label = 'label' (guessed)" in report.files[0].note
    record = report.record()
    assert (record["warn"], record["fail"]) == (0, 0)
    assert record["good"] == len(report.findings)


# Rows and files


def test_every_refused_row_is_counted(tmp_path: Path) -> None:
    rows = [(text, number / 7 if number % 4 else "much") for number, (text, _) in enumerate(SOUND)]
    path = write(tmp_path / "train.tsv", rows)
    finding = the_flaw(checked("regress", path))
    assert (finding.level, finding.check) == ("fail", "rows")
    assert finding.numbers == {"rows": 44, "refused": 11}
    assert len(finding.places) == 5
    assert finding.places[1] == f"{path}:6: label 'much' is not a finite number, as 'regress' needs"


def test_a_broken_structure_ends_a_file_and_no_more(tmp_path: Path) -> None:
    train, dev = write(tmp_path / "train.tsv", SOUND), tmp_path / "dev.jsonl"
    dev.write_text('{"text": "one more", "label": "yes"}\n{"text": "broken"\n', encoding="utf-8")
    report = checked("classify", train, dev)
    finding = flaws(report)["structure"]
    assert finding.level == "fail"
    assert finding.places[0].startswith(f"{dev}:2: not valid JSON at column 18")
    assert "beyond 1 row" in finding.text
    assert [file.rows for file in report.files] == [44, 1]
    assert {"rows", "classes", "duplicates"} <= {finding.check for finding in report.files[0].findings}


def test_a_file_that_is_not_there_is_a_failure_among_others(tmp_path: Path) -> None:
    report = checked("classify", write(tmp_path / "train.tsv", SOUND), tmp_path / "trian.tsv")
    finding = the_flaw(report)
    assert finding.check == "structure"
    assert "no such file; did you mean 'train.tsv'?" in finding.places[0]


def test_a_test_file_may_be_without_targets(tmp_path: Path) -> None:
    train, test = write(tmp_path / "train.tsv", SOUND[4:]), write(tmp_path / "test.tsv", SOUND[:4], header="text\tidx")
    report = checked("classify", train, test)
    finding = the_flaw(report)
    assert (finding.level, finding.check) == ("warn", "no-targets")
    assert "there is no column for label" in finding.places[0]
    assert report.files[1].rows == 4
    # but not the file to learn from
    assert the_flaw(checked("classify", test)).check == "structure"


def test_what_teaches_nothing_is_a_failure(tmp_path: Path) -> None:
    found = flaws(checked("classify", write(tmp_path / "train.tsv", [(text, "yes") for text, _ in SOUND])))
    assert found["nothing-to-learn"].text == "the rows hold only the label 'yes'; a classifier needs 2 or more"
    found = flaws(checked("regress", write(tmp_path / "train.tsv", [(text, 3) for text, _ in SOUND])))
    assert "all 44 targets are 3" in found["nothing-to-learn"].text


def test_of_what_was_not_learned_nothing_is_said(tmp_path: Path) -> None:
    train = write(tmp_path / "train.tsv", [(text, "yes") for text, _ in SOUND[4:]])
    dev = write(tmp_path / "dev.tsv", [(text, "yes") for text, _ in SOUND[:4]])
    assert the_flaw(checked("classify", train, dev)).check == "nothing-to-learn"
    found = flaws(checked("classify", train, write(tmp_path / "dev.tsv", SOUND[:4])))
    assert {check: finding.level for check, finding in found.items()} == {
        "nothing-to-learn": "fail",
        "new-classes": "warn",  # whether training would stop at them is not known
    }
    outside = tagged(tmp_path / "outside.conll", [["O"] * 4] * 40)
    names = tagged(tmp_path / "names.conll", [["B-PER", "I-PER", "O"]] * 40, word="said")
    for files in ((outside, outside), (tmp_path / "missing.conll", names)):
        report = checked("tag", *files)
        assert not {"scheme", "broken-tags", "targets"} & {finding.check for finding in report.findings}
        assert not report.passed()
    assert "scheme" in {finding.check for finding in checked("tag", names).findings}


def tagged(path: Path, tags: Sequence[Sequence[str]], *, word: str = "word") -> Path:
    """Words that differ from row to row, with these tags."""
    rows = ["".join(f"{word}{row}x{at}\t{tag}\n" for at, tag in enumerate(each)) for row, each in enumerate(tags)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


# Classes


def test_a_class_only_in_dev_is_a_failure_with_its_place(tmp_path: Path) -> None:
    train = write(tmp_path / "train.tsv", SOUND[4:])
    dev = write(tmp_path / "dev.tsv", [*SOUND[:4], ("We heard a fox", "yess")])
    finding = the_flaw(checked("classify", train, dev))
    assert (finding.level, finding.check) == ("fail", "new-classes")
    assert finding.places == (f"{dev}:6 'yess'; did you mean 'yes'?",)
    assert finding.numbers == {"yess": 1}
    # one that is declared is no mistake
    declared = checked(Classify(labels=("no", "yes", "yess")), train, dev)
    assert the_flaw(declared).level == "warn"


def test_a_class_that_is_not_declared_is_a_failure(tmp_path: Path) -> None:
    path = write(
        tmp_path / "train.tsv", [*SOUND, *[(f"{number} {text}", "oh") for number, (text, _) in enumerate(SOUND)]]
    )
    finding = the_flaw(checked(Classify(labels=("yes", "no")), path))
    assert (finding.level, finding.check) == ("fail", "targets")
    assert f"{path}:46: label 'oh' is not one of 'yes', 'no'" in finding.text


def test_a_class_only_in_train(tmp_path: Path) -> None:
    train = write(tmp_path / "train.tsv", SOUND[4:])
    dev = write(tmp_path / "dev.tsv", [row for row in SOUND[:4] if row[1] == "yes"])
    finding = the_flaw(checked("classify", train, dev))
    assert (finding.level, finding.check) == ("warn", "missing-classes")
    assert "'no'" in finding.text


def test_rare_classes_and_a_majority(tmp_path: Path) -> None:
    rows = [(f"{number} {text}", "yes") for number in range(5) for text, _ in SOUND]
    found = flaws(checked("classify", write(tmp_path / "train.tsv", [*rows, ("Once", "no"), ("Twice", "no")])))
    assert found.keys() == {"rare-classes", "majority"}
    assert found["rare-classes"].numbers == {"no": 2}
    assert found["majority"].numbers["rows"] == 220
    # 2 % of a class is few only if there are few rows
    more = [(f"{number} {text}", "yes" if number else "no") for number in range(30) for text, _ in SOUND]
    assert flaws(checked("classify", write(tmp_path / "train.tsv", more))).keys() == {"majority"}


def test_a_majority_is_one_of_rows_with_one_class_each(tmp_path: Path) -> None:
    """Whoever always gives the tag that stands in most rows, or one of several labels, scores nothing by it."""
    people = [["B-PER", "I-PER", "O"]] * 200 + [["O", "B-LOC", "O"]] * 10
    assert flaws(checked("tag", tagged(tmp_path / "names.conll", people))) == {}
    # as many names as rows, though not one in each
    some = [["B-PER", "O", "O"]] * 188 + [["B-PER", "O", "B-LOC"]] * 11 + [["O", "O", "O"]] * 11
    assert flaws(checked("tag", tagged(tmp_path / "some.conll", some))) == {}
    plain = [["DET", "NOUN", "PUNCT"]] * 200 + [["DET", "NOUN", "VERB"]] * 10
    assert flaws(checked("tag", tagged(tmp_path / "plain.conll", plain))) == {}
    rows = [(f"{number} {text}", "yes" if number else "no") for number in range(30) for text, _ in SOUND]
    path = write(tmp_path / "train.tsv", rows)
    assert flaws(checked(Classify(multi_label=True), path)) == {}
    assert flaws(checked("classify", path)).keys() == {"majority"}


def test_of_many_classes_each_may_have_little(tmp_path: Path) -> None:
    rows = [(f"{number} {text}", f"intent {number % 110}") for number in range(30) for text, _ in SOUND]
    rows = [(f"{n} {text}", f"intent {n % 110}") for n, (text, _) in enumerate(rows)]
    assert flaws(checked("classify", write(tmp_path / "train.tsv", rows))) == {}


def test_names_that_differ_in_case_or_blanks(tmp_path: Path) -> None:
    rows = [
        (text, f"very {label}" if number % 4 < 2 else f"Very_{label}") for number, (text, label) in enumerate(SOUND)
    ]
    finding = the_flaw(checked("classify", write(tmp_path / "train.tsv", rows)))
    assert (finding.level, finding.check) == ("warn", "similar-classes")
    assert "'very yes'" in finding.text
    assert "'Very_yes'" in finding.text


def test_blanks_around_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [(text, f"{label} ") for text, label in SOUND])
    finding = the_flaw(checked("classify", path))
    assert (finding.check, finding.numbers) == ("label-blanks", {"rows": 44})
    assert finding.places[0] == f"{path}:2 'no '"


def test_several_labels_a_text(tmp_path: Path) -> None:
    rows = [(text, f"{label}|odd" if number % 3 else "") for number, (text, label) in enumerate(SOUND)]
    report = checked(Classify(multi_label=True), write(tmp_path / "train.tsv", rows))
    assert flaws(report) == {}
    (classes,) = [finding for finding in report.findings if finding.check == "classes"]
    assert classes.numbers["odd"] == sum(bool(label) for _, label in rows)


# Numbers


def numbers(path: Path, values: Sequence[float]) -> Path:
    return write(path, [(f"{number} {SOUND[number % 44][0]}", value) for number, value in enumerate(values)])


def test_sound_numbers(tmp_path: Path) -> None:
    report = checked("regress", numbers(tmp_path / "train.tsv", [number % 11 / 2 for number in range(99)]))
    assert flaws(report) == {}
    (found,) = [finding for finding in report.findings if finding.check == "numbers"]
    assert found.numbers["low"] == 0
    assert found.numbers["high"] == 5
    assert found.numbers["mean"] == pytest.approx(2.5)
    assert found.numbers["deviation"] == pytest.approx(10**0.5 / 2)


def test_outliers(tmp_path: Path) -> None:
    path = numbers(tmp_path / "train.tsv", [*(number % 11 / 2 for number in range(99)), 5000])
    finding = the_flaw(checked("regress", path))
    assert (finding.check, finding.places) == ("outliers", (f"{path}:101 5000",))


@pytest.mark.parametrize(("classes", "found"), [(2, True), (4, True), (5, False)])
def test_numbers_that_look_like_classes(classes: int, found: bool, tmp_path: Path) -> None:
    report = checked("regress", numbers(tmp_path / "train.tsv", [number % classes for number in range(60)]))
    assert ("class-like-numbers" in flaws(report)) is found


def test_a_constant_dev(tmp_path: Path) -> None:
    train = numbers(tmp_path / "train.tsv", [number % 11 / 2 for number in range(99)])
    dev = write(tmp_path / "dev.tsv", [("Here", 1.5), ("There", 1.5)])
    assert the_flaw(checked("regress", train, dev)).check == "numbers"


# Repeats


@pytest.mark.parametrize("changed", [str, str.upper, lambda text: f" {text.replace(' ', '  ')} "])
def test_duplicates(changed: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [*SOUND, (changed(SOUND[7][0]), SOUND[7][1])])
    finding = the_flaw(checked("classify", path))
    assert (finding.level, finding.check) == ("warn", "duplicates")
    assert finding.places == (f"{path}:46 = {path}:9",)
    assert finding.numbers == {"rows": 1, "of": 45, "share": 1 / 45}


def test_contradictions(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [*SOUND, (SOUND[7][0], "no")])
    found = flaws(checked("classify", path))
    assert found.keys() == {"duplicates", "contradictions"}
    assert found["contradictions"].places == (f"{path}:9 'yes' and {path}:46 'no'",)
    assert found["contradictions"].numbers["rows"] == 2


@pytest.mark.parametrize(("value", "contradicts"), [(0.9, False), (1.2, True)])
def test_numbers_contradict_each_other_by_a_tenth_of_their_range(
    value: float, contradicts: bool, tmp_path: Path
) -> None:
    rows = [(text, number / 4.3) for number, (text, _) in enumerate(SOUND)]  # 0 to 10
    found = flaws(checked("regress", write(tmp_path / "train.tsv", [*rows, (SOUND[0][0], value)])))
    assert ("contradictions" in found) is contradicts


def test_the_order_of_several_labels_is_no_contradiction(tmp_path: Path) -> None:
    rows = [(text, f"{label}|odd" if number % 3 else "") for number, (text, label) in enumerate(SOUND)]
    path = write(tmp_path / "train.tsv", [*rows, (rows[1][0], "odd|yes")])
    assert flaws(checked(Classify(multi_label=True), path)).keys() == {"duplicates"}
    path = write(tmp_path / "train.tsv", [*rows, (rows[1][0], "odd")])
    assert flaws(checked(Classify(multi_label=True), path)).keys() == {"duplicates", "contradictions"}


@pytest.mark.parametrize(("leaked", "level"), [(0, "good"), (1, "warn"), (4, "fail")])
def test_leakage(leaked: int, level: str, tmp_path: Path) -> None:
    train = write(tmp_path / "train.tsv", SOUND[24:])
    dev = write(tmp_path / "dev.tsv", [*SOUND[:20], *SOUND[30 : 30 + leaked]])
    report = checked("classify", train, dev)
    (finding,) = [finding for finding in report.across if finding.check == "leakage"]
    assert (finding.level, finding.numbers["rows"]) == (level, leaked)
    if leaked:
        assert finding.places[0] == f"{dev}:22 = {train}:8"
    assert report.passed() is (level != "fail")
    assert report.passed(strict=True) is (level == "good")


PAIRS = [(f"{text} today", f"{text} again", label) for text, label in SOUND]


def test_swapped_pairs(tmp_path: Path) -> None:
    header = "text\ttext_b\tlabel"
    first, second, label = PAIRS[3]
    path = write(tmp_path / "train.tsv", [*PAIRS, (second, first, label)], header=header)
    finding = the_flaw(checked("classify", path))
    assert (finding.level, finding.check) == ("warn", "swapped-pairs")
    assert finding.places == (f"{path}:46 = {path}:5",)
    assert finding.numbers["contradicting"] == 0
    dev = write(tmp_path / "dev.tsv", [*PAIRS[:2], (second, first, label)], header=header)
    train = write(tmp_path / "train.tsv", PAIRS[2:], header=header)
    leak = flaws(checked("classify", train, dev))["leakage"]
    assert (leak.numbers["rows"], leak.numbers["swapped"]) == (1, 1)


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_swapped_pairs_without_targets(task: str, tmp_path: Path) -> None:
    pairs = [(first, second, number / 7) for number, (first, second, _) in enumerate(PAIRS)]
    if task == "classify":
        pairs = [(first, second, int(number > 3)) for first, second, number in pairs]
    train = write(tmp_path / "train.tsv", pairs[4:], header="text\ttext_b\tlabel")
    rows = [pair[:2] for pair in PAIRS[:4]]
    test = write(tmp_path / "test.tsv", [*rows, rows[1][::-1], rows[0]], header="text\ttext_b")
    found = flaws(checked(task, train, test))
    assert found.keys() == {"no-targets", "swapped-pairs", "duplicates"}
    assert found["swapped-pairs"].places == (f"{test}:6 = {test}:3",)
    assert found["swapped-pairs"].numbers["contradicting"] == 0


words = st.lists(
    st.sampled_from(["a", "good", "film", "and", "bad", "über", "naïve", "ß", "🎬"]), min_size=1, max_size=6
)


@given(st.lists(words.map(" ".join), min_size=2, max_size=30), st.data())
def test_a_planted_duplicate_is_always_found(texts: list[str], data: st.DataObject) -> None:
    planted = data.draw(st.sampled_from(texts))
    changed = data.draw(st.sampled_from([planted, planted.upper(), planted.title()]))
    apart = data.draw(st.booleans())
    copy = f" {unicodedata.normalize('NFD' if apart else 'NFC', changed)}\t"
    examples = [TextExample(text, None, ("x",), Place("rows", line)) for line, text in enumerate([*texts, copy], 1)]
    keys = Split.of(Classify(), "rows", examples).keys
    assert keys[-1] in keys[:-1]
    leaks = before_training(Classify(), [("train", examples[:-1]), ("dev", examples[-1:])])
    assert any("dev: 1 row of 1 (100.0 %) also in train" in line for line in leaks)


def test_folding_is_done_once_and_for_all() -> None:
    for text in ("Straße", "STRASSE", "ΌΣΟΣ", "İstanbul", "ﬁne", "e\u0301té", "a\u00a0b\u2003c"):
        assert fold(fold(text)) == fold(text)
    assert fold("STRASSE") == fold("Straße")
    assert fold("É t\u00e9") == fold("e\u0301  T\u0045\u0301")


# Near-duplicates


def near(texts: Sequence[str | tuple[str, str]], **options: Any) -> set[tuple[int, int]]:
    """Which rows, from 0, are found to be nearly the same."""
    pairs = [(text, None) if isinstance(text, str) else text for text in texts]
    examples = [TextExample(text, text_b, ("x",), Place("rows", row)) for row, (text, text_b) in enumerate(pairs)]
    task = Classify()
    ((finding,),), _ = near_duplicates(task, [Split.of(task, "rows", examples)])
    found = [place.split(" ≈ ") for place in finding.places]
    return {(int(first.split(":")[1]), int(later.split(":")[1])) for later, first in found}


LONG = "The committee met on Tuesday evening to talk about the new bridge, and came to no decision at all."


def jaccard(text: str, other: str) -> float:
    runs, others = ({fold(each)[n : n + 5] for n in range(len(fold(each)) - 4)} for each in (text, other))
    return len(runs & others) / len(runs | others)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (LONG.replace("Tuesday", "Thursday"), True),
        (LONG.rstrip(".") + "!", True),
        (LONG[:60], False),
        (LONG.replace("Tuesday evening", "Friday").replace("no decision", "an end"), False),
    ],
)
def test_near_duplicates(other: str, found: bool) -> None:
    assert (jaccard(LONG, other) >= ALIKE) is found
    assert near(["Something else is said here, and at some length", LONG, "And a third text of its own", other]) == (
        {(1, 3)} if found else set()
    )


def test_both_texts_of_a_pair_must_be_alike() -> None:
    more = LONG + " It will meet again in a fortnight, when the engineers have counted the cars and the cost."
    assert near([(more, "There is a bridge"), (more, "It was sunny")]) == set()
    assert near([(more, "There is a bridge"), (more, "There is a bridge.")]) == {(0, 1)}


def test_near_duplicates_are_found_in_a_crowd() -> None:
    crowd = [
        f"{n} {n * 7919 % 1000003} {n * 104729 % 999983} {n * 611953 % 999979} rows of numbers" for n in range(3000)
    ]
    planted = [text[:-1] for text in crowd[:5]]
    assert near([*crowd, *planted]) == {(row, 3000 + row) for row in range(5)}


def test_near_duplicates_across_files(tmp_path: Path) -> None:
    train = write(tmp_path / "train.tsv", [(LONG, "yes"), ("Another text, of no importance whatever", "no")] * 10)
    dev = write(tmp_path / "dev.tsv", [(f"{LONG}..", "yes"), ("And something else again, for once", "no")])
    (finding,) = [finding for finding in checked("classify", train, dev).across if finding.check == "near-leakage"]
    assert (finding.level, finding.numbers["rows"]) == ("warn", 1)
    assert finding.places == (f"{dev}:2 ≈ {train}:2",)


class Quoting(Classify):
    """A task on a text and a source that many rows share, as questions share passages."""

    def sources(self, example: TextExample[Any]) -> tuple[str, ...]:
        return (example.text_b or "",)


def test_sources_that_two_files_share(tmp_path: Path) -> None:
    header = "text\ttext_b\tlabel"
    train = write(tmp_path / "train.tsv", [(text, LONG, label) for text, label in SOUND[4:]], header=header)
    apart = write(tmp_path / "apart.tsv", [(text, "Another one", label) for text, label in SOUND[:4]], header=header)
    dev = write(tmp_path / "dev.tsv", [(text, LONG.upper(), label) for text, label in SOUND[:4]], header=header)
    task = Quoting()
    assert flaws(checked(task, train, apart)) == {}
    finding = the_flaw(checked(task, train, dev))
    assert (finding.level, finding.check, finding.numbers["rows"]) == ("warn", "sources", 4)
    assert finding.places[0] == f"{dev}:2 and {train}:2"
    # near-duplicates are those on one source alone
    rows = [(LONG, "One source", "yes"), (f"{LONG}.", "Another source", "no"), (f"{LONG}!", "One source", "yes")]
    examples = [TextExample(*row[:2], (row[2],), Place("rows", n)) for n, row in enumerate(rows)]
    ((found,),), _ = near_duplicates(task, [Split.of(task, "rows", examples)])
    assert found.places == ("rows:2 ≈ rows:0",)


def test_sources_that_are_nearly_those_of_another_file(tmp_path: Path) -> None:
    header = "text\ttext_b\tlabel"
    revised = LONG.replace("Tuesday", "Thursday")
    train = write(tmp_path / "train.tsv", [(text, LONG, label) for text, label in SOUND[4:]], header=header)
    rows = [(text, revised if number % 2 else "Another", label) for number, (text, label) in enumerate(SOUND[:4])]
    dev = write(tmp_path / "dev.tsv", rows, header=header)
    test = write(tmp_path / "test.tsv", [("Is it?", f"{revised}", "yes"), ("Isn't it?", LONG, "no")], header=header)
    across = checked(Quoting(), train, dev, test).across
    found = [finding for finding in across if finding.check == "near-sources"]
    assert [(each.level, each.places) for each in found] == [
        ("warn", (f"{dev}:3 ≈ {train}:2", f"{dev}:5 ≈ {train}:2")),
        ("warn", (f"{test}:2 ≈ {train}:2",)),  # the other one is quite the same
        ("warn", (f"{test}:3 ≈ {dev}:3",)),
    ]
    assert found[0].numbers == {"rows": 2, "of": 4, "share": 0.5, "file": str(dev), "in": str(train)}
    assert "near-sources" not in {finding.check for finding in checked(Quoting(), train, train).across}
    # of a task whose rows share nothing, nothing is said
    assert "near-sources" not in {finding.check for finding in checked("classify", train, dev, test).across}


# Texts


class Renamed(Classify):
    """A task whose field of the text is no longer called as the input."""

    asked = ("sentence", "sentence_b")


def test_a_task_that_shows_no_texts_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"content\(\) of the task 'classify' gives no text of .*train\.tsv:2"):
        checked(Renamed(), write(tmp_path / "train.tsv", SOUND))


@pytest.mark.parametrize(
    ("text", "check"),
    [
        (" ", "empty-texts"),
        ("a bell \x07 rings", "control-characters"),
        ("it\x92s late", "control-characters"),
        ("the caf\ufffd is shut", "replacement-characters"),
        ("the cafÃ© is shut", "mojibake"),
        ("itâ€™s late", "mojibake"),
        ("it costs 5Â\u00a0euros", "mojibake"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚ to all", "mojibake"),
        ("so it begins\ufeff here", "byte-order-marks"),
        ("zero\u200bwidth", "invisible-characters"),
        ("turned \u202e round", "invisible-characters"),
        ("joined\u200dletters", "invisible-characters"),
        ("salt &amp; pepper", "html"),
        ("It #39;s late", "html"),
        ("one line<br/>another", "html"),
        ("the cafe\u0301 is shut", "not-nfc"),
    ],
)
def test_flaws_of_texts(text: str, check: str, tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", [*SOUND, (text, "yes")])
    finding = the_flaw(checked("classify", path))
    assert (finding.level, finding.check, finding.places) == ("warn", check, (f"{path}:46",))
    assert finding.numbers == {"rows": 1, "share": 1 / 45}


@pytest.mark.parametrize(
    "text",
    [
        "Das ist „groß“, »heiß« und süß",
        "SÃO PAULO, MAÇÃ", "“A MANHÃ”", "A château’s «âge d’or»", "naïve façade, crème brûlée – voilà …",
        "می\u200cخواهم", "👩\u200d👩\u200d👧 a family", "क्\u200dष", "Привет, Ñandú", "a < b and c > d; R&D; 5 #1; <3",
        "AT&T & co", "日本語 \u3000 テキスト", "İstanbul", "1 <b 2", "#hashtag; #42",
    ],
)  # fmt: skip
def test_texts_that_are_sound(text: str, tmp_path: Path) -> None:
    assert flaws(checked("classify", write(tmp_path / "train.tsv", [*SOUND, (text, "yes")]))) == {}


# Lengths


def test_lengths(tmp_path: Path) -> None:
    train = write(tmp_path / "train.tsv", SOUND)
    report = checked("classify", train, encoder=tiny_bert())
    (finding,) = [finding for finding in report.findings if finding.check == "lengths"]
    assert finding.level == "good"
    assert finding.numbers["limit"] == 48
    whole = finding.numbers["tokens"]
    cut = the_flaw(checked("classify", train, encoder=tiny_bert(), max_length=12))
    assert (cut.check, cut.level) == ("lengths", "warn")
    assert cut.numbers["tokens"] == whole
    assert cut.numbers["longest"] == finding.numbers["longest"]
    assert 0 < int(cut.numbers["rows_cut"]) <= 44
    assert cut.places[0].endswith(" cut")
    windows = checked(Classify(long_texts="windows", overlap=2), train, encoder=tiny_bert(), max_length=12)
    (finding,) = [finding for finding in windows.findings if finding.check == "lengths"]
    assert finding.level == "good"
    assert finding.numbers["tokens"] == whole
    assert finding.numbers["rows_in_windows"] == cut.numbers["rows_cut"]


def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    train = write(tmp_path / "train.tsv", SOUND)
    with pytest.raises(SettingsError, match=r"max_length must be at most 48 for .*, got 64"):
        checked("classify", train, encoder=tiny_bert(), max_length=64)
    with pytest.raises(CheckpointError, match="no such folder"):
        checked("classify", train, encoder="./nowhere")
    with pytest.raises(SettingsError, match=r"unknown task 'clasify'.*did you mean 'classify'"):
        checked("clasify", train)
    with pytest.raises(SettingsError, match="files must be a list"):
        bertsmith.check("classify", [])
    with pytest.raises(SettingsError, match="not 'labl'; did you mean 'label'"):
        checked("classify", train, columns={"labl": "label"})


def test_shares_are_never_rounded_to_none_or_all() -> None:
    assert [share(0, 9), share(1, 10**6), share(1, 8), share(10**6 - 1, 10**6), share(9, 9), share(0, 0)] == [
        "0.0 %", "<0.1 %", "12.5 %", ">99.9 %", "100.0 %", "0.0 %",
    ]  # fmt: skip


# Progress and documentation


def test_what_is_being_done_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertsmith.checks.splits.ROWS_A_WORD", 20)
    train, dev = write(tmp_path / "train.tsv", SOUND[4:]), write(tmp_path / "dev.tsv", SOUND[:4])
    told: list[str] = []
    report = checked("classify", train, dev, encoder=tiny_bert(), progress=told.append)
    assert told[:4] == [f"reading {train}", f"{train}: 20 rows read", f"{train}: 40 rows read", f"reading {dev}"]
    assert "44 rows: comparing all with all" in told
    assert f"{train}: 0 of 40 rows measured" in told
    assert told[-1] == f"comparing {dev} with {train}"
    assert report == checked("classify", train, dev, encoder=tiny_bert())


def test_the_page_names_every_check() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
    package = Path(bertsmith.__file__).parent
    sources = "".join(
        file.read_text(encoding="utf-8") for folder in ("checks", "tasks") for file in (package / folder).glob("*.py")
    )
    made = r"""(?:Finding\(\s*[\w" ]+,|_flaw\(|Flaw\(|_finding\(split,)\s*"([a-z-]+)\""""
    checks = set(re.findall(made, sources)) - {"no-words"}  # which is said of empty texts
    assert {"rows", "leakage", "mojibake", "empty-texts", "scheme", "broken-tags", "answers"} <= checks
    listed = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    assert {check for check in checks if f"`{check}`" not in listed} == set()


# What training says by itself


def said_before_training(*files: Sequence[tuple[str, str]], held_out: bool = False) -> list[str]:
    named = [
        (name, [TextExample(text, None, (label,), Place(name, line)) for line, (text, label) in enumerate(rows, 2)])
        for name, rows in zip(("train", "dev"), files, strict=False)
    ]
    return list(before_training(Classify(), named, held_out=held_out))


def test_training_says_what_may_spoil_it() -> None:
    assert said_before_training(SOUND[4:], SOUND[:4]) == []
    assert said_before_training(SOUND[4:], SOUND[:5]) == [
        "dev: 1 row of 5 (20.0 %) also in train, the first of them dev:6 = train:2"
    ]
    assert said_before_training([*SOUND, ("It\x92s late", "yes"), ("cafÃ©", "no"), ("A &amp; B", "no")]) == [
        "train: 1 row (2.1 %) with control characters, the first of them train:46",
        "train: 1 row (2.1 %) with what looks like UTF-8 read as Latin-1 (Ã© for é), the first of them train:47",
    ]
    twice = [*SOUND, SOUND[0]]
    assert said_before_training(twice) == []
    (line,) = said_before_training(twice, held_out=True)
    assert line.startswith("train: 1 row (2.2 %) like an earlier one (dev is held out of these rows")
    (line,) = said_before_training([*SOUND, (SOUND[0][0], "yes")])
    assert "1 text (2 rows, 4.4 %) with targets that contradict each other" in line
    (line,) = said_before_training([*SOUND, ("Once", "perhaps")])
    assert line == "train: 1 class has few rows to learn from: 'perhaps' 1"


ROWS_TO_COMPARE = st.lists(
    st.tuples(
        st.sampled_from(["a", "A ", "b", "c", " ", ""]), st.sampled_from([None, "a", "b", ""]), st.sampled_from("yn")
    ),
    min_size=1, max_size=9,
)  # fmt: skip


@given(ROWS_TO_COMPARE, ROWS_TO_COMPARE, st.booleans(), st.booleans())
def test_training_finds_of_the_rows_that_may_repeat_what_there_is_of_all(
    train: list[Any], dev: list[Any], paired: bool, held_out: bool
) -> None:
    """Only the keys of such rows are kept, and the lines are those that all keys give."""
    files = [
        (name, [TextExample(one, (two or "") if paired else None, (label,), Place(name, line))
                for line, (one, two, label) in enumerate(rows, 2)])
        for name, rows in (("train", train), ("dev", dev))
    ]  # fmt: skip
    found = list(before_training(Classify(), files, held_out=held_out))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Split, "repeating", lambda task, files: [Split.of(task, *file) for file in files])
        assert found == list(before_training(Classify(), files, held_out=held_out))


def test_questions_that_share_a_passage_with_dev_are_found() -> None:
    rows = [
        {"question": f"{word}?", "passage": f"passage {number}", "answers": ["passage"]}
        for number, word in enumerate(("Who", "What", "Why", "When"), 1)
    ]
    examples = [Answer().read(Row(row, Place("f", line))) for line, row in enumerate(rows, 1)]
    other = [replace(examples[1], question="How?")]
    (line,) = before_training(Answer(), [("train", examples), ("dev", other)])
    assert line.startswith("dev: 1 row of 1 (100.0 %) on a text that rows of train are on, too")


def test_rows_like_no_other_keep_no_texts() -> None:
    rows = [TextExample(f"text {number % 90}", None, ("y",), Place("f", number)) for number in range(100)]
    (split,) = Split.repeating(Classify(), [("f", rows)])
    assert [row for row, key in enumerate(split.keys) if key] == [*range(10), *range(90, 100)]


@pytest.mark.parametrize("task", [sample.task for sample in SAMPLES])
def test_the_packaged_samples_are_sound(task: str) -> None:
    folder = Path(bertsmith.__file__).parent / "data" / "samples" / task
    files = sorted(folder.iterdir(), key=lambda path: path.stem, reverse=True)
    assert [path.stem for path in files] == ["train", "dev"]
    report = checked(task, *files)
    assert report.passed(), report.findings
    assert not {"duplicates", "contradictions", "leakage"} & flaws(report).keys()


# Real data sets

SETS: Mapping[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "sst2": ("classify", ("train.tsv", "dev.tsv", "test.tsv"), {}),
    "cola": (
        "classify",
        ("in_domain_train.tsv", "in_domain_dev.tsv", "out_of_domain_dev.tsv"),
        {"text": "4", "label": "2"},
    ),
    "mrpc": ("classify", ("msr_paraphrase_train.txt", "msr_paraphrase_test.txt"), {}),
    "rte": ("classify", ("train.tsv", "dev.tsv"), {}),
    "stsb": (
        "regress",
        ("stsb-en-train.csv", "stsb-en-dev.csv", "stsb-en-test.csv"),
        {"text": "1", "text_b": "2", "label": "3"},
    ),
    "sms_spam": ("classify", ("SMSSpamCollection.tsv",), {"label": "1", "text": "2"}),
}


def of_set(data_sets: Path, name: str) -> CheckReport:
    task, files, columns = SETS[name]
    return bertsmith.check(task, [data_sets / name / file for file in files], columns=columns, encoder=None)


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name in SETS if name != "sst2"])
def test_real_sets_pass(data_sets: Path, name: str) -> None:
    report = of_set(data_sets, name)
    assert report.passed(), [finding for finding in report.findings if finding.level == "fail"]


@pytest.mark.data
def test_sst2(data_sets: Path) -> None:
    began = time.process_time()
    report = of_set(data_sets, "sst2")
    assert time.process_time() - began < 20  # 4 s on one core of a quiet machine
    assert report.passed()
    train, test = (str(data_sets / "sst2" / f"{name}.tsv") for name in ("train", "test"))
    (leak,) = [each for each in report.across if each.check == "leakage" and each.numbers["in"] == train
               and each.numbers["file"] == test]  # fmt: skip
    known = set(_texts(Path(train)))  # by another way
    assert leak.numbers["rows"] == sum(text in known for text in _texts(Path(test))) == 1


def _texts(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").split("\n")[1:-1]
    return [" ".join(line.split("\t")[0].lower().split()) for line in lines]


@pytest.mark.data
def test_two_versions_of_the_passages_of_squad(data_sets: Path) -> None:
    task, splits = Answer(), list[Split]()
    for name, ending in (("squad_v1.1/dev-v1.1.json", ""), ("squad_v2.0/dev-v2.0.json", " Revised.")):
        examples = [task.read(row) for row in open_rows(data_sets / name, task.inputs)]
        splits.append(Split.of(task, name, [replace(each, passage=each.passage + ending) for each in examples]))
    began = time.process_time()
    (finding,) = near_sources(task, splits)
    assert time.process_time() - began < 2  # 0.2 s on one core of a quiet machine
    assert finding.numbers["rows"] == 11_873  # as they are, all passages of the one are in the other


@pytest.mark.data
def test_what_training_does_by_itself_takes_no_time(data_sets: Path) -> None:
    task = Classify()
    rows = {name: list(open_rows(data_sets / "sst2" / f"{name}.tsv", task.inputs)) for name in ("train", "dev")}
    files = [(name, [task.read(row) for row in each]) for name, each in rows.items()]
    began = time.process_time()
    (line,) = before_training(task, files)
    assert time.process_time() - began < 2
    assert line.startswith("train: 5 texts (10 rows, <0.1 %) with targets that contradict each other")


@pytest.mark.data
def test_the_duplicates_of_sms_spam(data_sets: Path) -> None:
    path = data_sets / "sms_spam" / "SMSSpamCollection.tsv"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    texts = [" ".join(line.split("\t", 1)[1].casefold().split()) for line in lines]
    report = of_set(data_sets, "sms_spam")
    (finding,) = [finding for finding in report.findings if finding.check == "duplicates"]
    assert finding.numbers["rows"] == len(texts) - len(set(texts)) > 400


@pytest.mark.data
def test_ag_news_with_the_wrong_column_fails(data_sets: Path) -> None:
    files = [data_sets / "ag_news" / name for name in ("train_sample_10k.tsv", "test.csv")]
    report = bertsmith.check("classify", files, columns={"text": "1", "label": "2"}, encoder=None)
    assert [finding.check for finding in report.findings if finding.level == "fail"] == ["new-classes"]


def test_reading_options_and_numbers_of_regress(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    rows = [f"{text};{number / 7}" for number, (text, _) in enumerate(SOUND)]
    path.write_bytes("\n".join(["körper;score", *rows]).encode("latin-1"))
    report = checked(Regress(), path, columns={"text": "körper"}, reading=ReadOptions(encoding="latin-1"))
    assert flaws(report) == {}
