"""`tag`: rows of words and of texts, pieces that stand for words, windows, legal tags, entities, scores."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith import api, schemes
from bertsmith.batching import collate
from bertsmith.checkpoint import load_pretrained
from bertsmith.config import Settings
from bertsmith.errors import DataError, InputError, SettingsError
from bertsmith.evaluation import score
from bertsmith.infer import Predictor
from bertsmith.infer.engine import run
from bertsmith.records import Place, Row
from bertsmith.schemes import Scheme
from bertsmith.tasks._words import TagExample, split_words
from bertsmith.tasks.tag import Tag, Tagging
from bertsmith.training import fit_examples
from tiny import TEXTS, Case, bundle_of, cases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bertsmith.records import Encoded
    from bertsmith.tokenizer import Tokenizer

PLACE = Place("words.conll", 7)
FAMILY = "👩\u200d👩\u200d👧"
TEXT = f"Zoë Łódź-Smith {FAMILY} of e\u0301tait flew to New York."
MARKS = "abzÉßñ1_.,-'\u0301\ufe0f\u200d\u200b\u00ad\x07👩🚀👍🏽🇩🇪東京タ한ไทย"
BERT = next(case for case in cases() if case.family.model_type == "bert")


def word_texts() -> Any:
    """Words of any look: some that the tiny tokenizers know, some of which no piece is left."""
    known = st.sampled_from([word for text in TEXTS for word in text.split()])
    return st.one_of(known, st.text(st.sampled_from(MARKS), min_size=1, max_size=7).filter(str.strip))


def read(task: Tag | None = None, lines: tuple[int, ...] = (), **values: Any) -> TagExample:
    return (task or Tag()).read(Row(values, PLACE, lines))


def examples_of(sentences: Sequence[str], *, scheme: Any = "auto") -> tuple[Tag, list[TagExample]]:
    """A task that has learned, and its examples, from sentences as ``word/TAG word/TAG``."""
    examples = []
    for line, sentence in enumerate(sentences, start=1):
        pairs = [each.rsplit("/", 1) for each in sentence.split()]
        values = {"words": [word for word, _ in pairs], "tags": [tag for _, tag in pairs]}
        examples.append(Tag().read(Row(values, Place("words.conll", line))))
    return Tag(scheme=scheme).learn(examples), examples


def predicted(task: Tag, example: TagExample, tags: Sequence[str]) -> Tagging:
    """A prediction that gives these tags."""
    return task._tagging(example, tags, [1.0] * len(tags))


@pytest.fixture(scope="module")
def tokenizers(tiny_checkpoint: Callable[[Case], Path]) -> Mapping[str, Tokenizer]:
    """Those of all families, and a real one."""
    found = {str(case): load_pretrained(tiny_checkpoint(case)).tokenizer for case in cases()}
    return {**found, "minilm": load_pretrained("minilm").tokenizer}


# Rows of words.


@pytest.mark.parametrize(
    "words", [["EU", "rejects", "calls"], ("EU", "rejects", "calls"), " EU  rejects calls"], ids=str
)
@pytest.mark.parametrize(
    "tags", [["B-ORG", "O", "O"], "B-ORG O  O", '["B-ORG", "O", "O"]', ["B-ORG ", "O", " O"]], ids=str
)
def test_words_and_tags_as_lists_or_in_one_cell(words: Any, tags: Any) -> None:
    example = read(words=words, tags=tags)
    assert example.words == ("EU", "rejects", "calls")
    assert example.target == ("B-ORG", "O", "O")
    assert example.text == "EU rejects calls"
    assert [example.text[start:stop] for start, stop in example.word_spans] == list(example.words)


def test_numbers_become_names() -> None:
    assert read(words="a b c", tags=[3, 4.0, "5"]).target == ("3", "4", "5")


def test_without_tags_there_is_no_target() -> None:
    assert read(words="a b").target is None
    assert read(words="a b", tags=None).target is None
    assert read(text="a b").target is None


PRODIGY: dict[str, Any] = {
    "text": "Ida  sang. \n",
    "words": [
        {"text": "Ida", "start": 0, "end": 3, "id": 0, "ws": True},
        {"text": " ", "start": 4, "end": 5, "id": 1, "ws": False},
        {"text": "sang", "start": 5, "end": 9, "id": 2, "ws": False},
        {"text": ".", "start": 9, "end": 10, "id": 3, "ws": True},
        {"text": "\n", "start": 11, "end": 12, "id": 4, "ws": False},
    ],
    "spans": [{"start": 0, "end": 3, "token_start": 0, "token_end": 0, "label": "PER"}],
}


def test_words_as_prodigy_writes_them() -> None:
    example = read(**PRODIGY)
    assert example.words == ("Ida", " ", "sang", ".", "\n")
    assert example.word_spans.tolist() == [[0, 3], [4, 5], [5, 9], [9, 10], [11, 12]]
    assert example.target == ("B-PER", "O", "O", "O", "O")
    assert not example.from_text
    in_cells: dict[str, Any] = {name: value if name == "text" else json.dumps(value) for name, value in PRODIGY.items()}
    assert read(**in_cells) == example
    # without offsets, or without a text for them, words are words
    bare = [{"text": word["text"]} for word in PRODIGY["words"]]
    assert read(**{**PRODIGY, "words": bare}).word_spans[2:].tolist() == example.word_spans[2:].tolist()
    assert read(words=PRODIGY["words"][:1], tags=["O"]).text == "Ida"


@pytest.mark.parametrize("cell", ["[" * 100_000, f"[{'1' * 5000}]"], ids=["brackets", "digits"])
def test_a_cell_that_is_no_usable_json(cell: str) -> None:
    assert read(words=cell).words == (cell,)
    with pytest.raises(DataError, match="spans must be a list of"):
        read(text="a", spans=cell)


def test_words_of_blanks_alone_are_words() -> None:
    assert read(words=["a", "\u3000", "\xa0"], tags=["O", "O", "B-X"]).target == ("O", "O", "B-X")


def test_a_cell_that_looks_like_json_but_is_words() -> None:
    assert read(words="[ 1 ] a").words == ("[", "1", "]", "a")
    assert read(words='["EU", "a b"]').words == ("EU", "a b")


def test_words_are_found_in_the_text_given_beside_them() -> None:
    example = read(words=["Don", "'t", "-", "go", "go"], text=" Don't - go\u200b\tgo\n", spans=[[9, 11, "X"]])
    assert [example.text[start:stop] for start, stop in example.word_spans] == list(example.words)
    assert example.word_spans[-1].tolist() == [13, 15]
    assert example.target == ("O", "O", "O", "B-X", "O")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "there are neither words nor a text"),
        ({"text": None}, "there are neither words nor a text"),
        ({"words": 3}, "words must be a list, or one text with blanks between them, got int '3'"),
        ({"words": ["a", ""]}, "word 2 must be a string that is not empty, got ''"),
        ({"words": ["a", None]}, "word 2 must be a string that is not empty, got None"),
        ({"words": ["a", 3]}, "word 2 must be a string that is not empty, got 3"),
        ({"words": ["a", "\ud83d"]}, "word 2 '\\ud83d' holds half a surrogate pair"),
        ({"words": ["a", "b"], "tags": ["O"]}, "2 words, but 1 tag"),
        ({"words": ["a"], "tags": []}, "1 word, but 0 tags"),
        ({"words": ["a"], "tags": [True]}, "tag 1 must be a name or a whole number, got True"),
        ({"words": ["a"], "tags": [None]}, "tag 1 must be a name or a whole number, got None"),
        ({"words": ["a"], "tags": [0.5]}, "tag 1 must be a name or a whole number, got 0.5"),
        ({"words": ["a"], "tags": [" "]}, "tag 1 is empty"),
        ({"words": ["a"], "tags": {"a": "O"}}, "tags must be a list"),
        ({"words": ["a", "c"], "text": "a b"}, "word 2 'c' is not in the text after character 1"),
        (
            {"words": ["a", "at"], "text": "a cat"},
            "word 2 'at' is in the text at character 3, but before it stands 'c'",
        ),
        ({"words": ["a", "cat"], "text": "a , b cat"}, "but before it stands ', b', of no word; if words are written"),
        ({"words": ["a", "c"], "text": "a cat"}, "after the last word, 'c', the text goes on 'at', of no word"),
        ({"words": ["``", "a"], "text": '" a'}, "give its column a name that is not guessed"),
        ({"words": [{"text": "a", "start": 0, "end": 2}], "text": "ab"}, "word 1 is said to be 'a', but at 0 to 2"),
        ({"words": [{"text": "a", "start": 0, "end": 9}], "text": "a"}, "0 ≤ start < end ≤ 1, characters of the text"),
        ({"words": [{"text": "a", "start": "0", "end": 1}], "text": "a"}, "got '0' and 1"),
        ({"words": [{"text": "a", "start": 0, "end": 1}] * 2, "text": "aa"}, "word 2 'a' must have whole numbers 1 ≤"),
        ({"words": [{"word": "a"}], "text": "a"}, "word 1 must be a string that is not empty, got {'word': 'a'}"),
        ({"words": ["a"], "spans": [[0, 1, "X"]]}, "spans count characters of a text"),
        ({"text": "a b", "tags": ["O", "O"]}, "there are tags, but no words to have them"),
        ({"text": 3}, "text must be a string"),
    ],
    ids=str,
)
def test_what_is_no_row_is_said_with_its_place(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(**values)
    assert str(caught.value).startswith("words.conll:7: ")
    assert message in str(caught.value)


def test_errors_name_the_line_of_the_word() -> None:
    with pytest.raises(DataError, match=r"^words\.conll:12: tag 3 is empty"):
        read(words=["a", "b", "c"], tags=["O", "O", ""], lines=(10, 11, 12))
    task, _ = examples_of(["a/B-PER b/O"])
    with pytest.raises(DataError, match=r"^words\.conll:11: the tag 'B-PRE' of word 2 'b' .*did you mean 'B-PER'\?"):
        task.check([read(words=["a", "b"], tags=["O", "B-PRE"], lines=(10, 11))])
    with pytest.raises(DataError, match=r"^words\.conll:7: the tag 'B-PRE' of word 2 'b'"):
        task.check([read(words=["a", "b"], tags=["O", "B-PRE"])])


def test_a_list_is_words_and_a_text_is_split() -> None:
    place = Place("question 1")
    assert Tag.ask(["a", "b"], place).values == {"words": ["a", "b"]}
    assert Tag.ask("a b", place).values == {"text": "a b"}
    assert Tag.ask({"words": ["a"], "tags": ["O"], "spans": []}, place).values == {"words": ["a"]}
    with pytest.raises(InputError, match="question 1: word 2 must be a string, got 3"):
        Tag.ask(["a", 3], place)  # type: ignore[list-item]


# Rows of text.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It costs 3.50, doesn't it?", ["It", "costs", "3", ".", "50", ",", "doesn", "'", "t", "it", "?"]),
        (TEXT, ["Zoë", "Łódź", "-", "Smith", FAMILY, "of", "e\u0301tait", "flew", "to", "New", "York", "."]),
        ("👍🏽👍🏽 ❤\ufe0f! 1\ufe0f\u20e3 🇩🇪🇫🇷", ["👍🏽", "👍🏽", "❤\ufe0f", "!", "1\ufe0f\u20e3", "🇩🇪", "🇫🇷"]),
        ("بي\u200cخبر हिन्दी 한국어", ["بي\u200cخبر", "हिन्दी", "한국어"]),
        ("東京へ", ["東", "京", "へ"]),
        ("a\u200bb\x00c\ufeffd \u200d x_1", ["a", "b", "c", "d", "x_1"]),
        (" \n\t", []),
        ("", []),
    ],
)
def test_texts_are_split_into_words(text: str, words: list[str]) -> None:
    assert [text[start:stop] for start, stop in split_words(text).tolist()] == words


@given(st.text(st.one_of(st.sampled_from(MARKS + " \n"), st.characters(codec="utf-8"))))
def test_words_stand_apart_and_leave_nothing_visible(text: str) -> None:
    spans = split_words(text).tolist()
    rest, at = [], 0
    for start, stop in spans:
        assert at <= start < stop
        rest.append(text[at:start])
        at = stop
    left = "".join([*rest, text[at:]])
    assert not any(character.isalnum() or (character.isprintable() and not character.isspace()) for character in left)
    assert len(split_words(text.replace(" ", "  "))) == len(spans)


@pytest.mark.parametrize(
    "span",
    [
        [0, 3, "PER"],
        (0, 3, "PER"),
        {"start": 0, "end": 3, "label": "PER"},
        {"start": 0, "stop": 3, "type": "PER", "text": "Zoë", "probability": 0.5},
        {"start_offset": 0, "end_offset": 3, "label": "PER", "id": 7},
    ],
    ids=str,
)
def test_forms_of_spans(span: Any) -> None:
    assert read(text="Zoë of Łódź", spans=[[7, 11, "LOC"], span]).target == ("B-PER", "O", "B-LOC")
    assert read(text="Zoë of Łódź", spans=json.dumps([span])).target == ("B-PER", "O", "O")


def test_spans_become_tags_of_the_scheme() -> None:
    spans = [[0, 4, "X"], [5, 6, "X"]]
    tags = {scheme: read(Tag(scheme=scheme), text="ab c d e", spans=spans).target for scheme in ("iob1", "bioes")}
    assert tags == {"iob1": ("I-X", "I-X", "B-X", "O"), "bioes": ("B-X", "E-X", "S-X", "O")}
    learned = Tag(read_scheme=Scheme.BILOU, labels=("O",))
    assert read(learned, text="ab c d e", spans=spans).target == ("B-X", "L-X", "U-X", "O")


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[0, 4]], "span 1 must be [start, stop, label]"),
        ([[0, 2, "X"], "X"], "span 2 must be [start, stop, label]"),
        ({"start": 0}, "spans must be a list of"),
        (3, "spans must be a list of"),
        ("PER", "spans must be a list of"),
        ([["0", 1, "X"]], "span 1: start must be a whole number, got '0'"),
        ([[0, 1.0, "X"]], "span 1: stop must be a whole number, got 1.0"),
        ([[False, 1, "X"]], "span 1: start must be a whole number, got False"),
        ([[2, 2, "X"]], "span 1 must have 0 ≤ start < stop ≤ 9, the characters of the text, got 2 and 2"),
        ([[-1, 2, "X"]], "got -1 and 2"),
        ([[0, 10, "X"]], "got 0 and 10"),
        ([[0, 2, ""]], "the label of span 1 is empty"),
        ([[0, 2, None]], "the label of span 1 must be a name or a whole number, got None"),
        ([[2, 3, "X"]], "span 1 ('X', 2 to 3) holds no word, only ' '"),
        ([[3, 5, "X"], [0, 4, "Y"]], "span 2 ('Y', 0 to 4) and span 1 ('X', 3 to 5) overlap"),
        ([[3, 4, "X"], [4, 5, "Y"]], "span 1 ('X', 3 to 4) and span 2 ('Y', 4 to 5) share the word 'cd'"),
        ([{"start": 3, "end": 5, "label": "X", "text": "ab"}], "span 1 is said to be 'ab', but at 3 to 5 the text has"),
    ],
    ids=str,
)
def test_what_is_no_span_is_said_with_its_place(spans: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(text="ab cd efg", spans=spans)
    assert str(caught.value).startswith("words.conll:7: ")
    assert message in str(caught.value)


def test_spans_are_widened_to_whole_words_and_that_is_said() -> None:
    examples = [read(text="Anna Maria sings", spans=spans) for spans in ([[0, 4, "X"]], [[2, 11, "X"]], [[1, 2, "X"]])]
    assert [example.target for example in examples[1:]] == [("B-X", "I-X", "O"), ("B-X", "O", "O")]
    assert [example.widened for example in examples] == [0, 1, 1]
    (remark,) = Tag().learn(examples).remarks(examples)
    assert (
        remark == "2 spans begin or end inside a word and are widened to whole words, the first of them words.conll:7"
    )


def test_plain_tags_are_of_words() -> None:
    with pytest.raises(DataError, match="spans are entities, and the scheme is plain"):
        read(Tag(scheme="plain"), text="a b", spans=[[0, 1, "X"]])


@given(st.text(st.sampled_from(MARKS + " "), max_size=40), st.data())
def test_spans_of_whole_words_come_back(text: str, data: Any) -> None:
    words = split_words(text).tolist()
    spans, word = [], 0
    while word < len(words):
        stop = word + data.draw(st.integers(0, 3))
        if word < stop <= len(words):
            spans.append([words[word][0], words[stop - 1][1], data.draw(st.sampled_from("XY"))])
        word = max(stop, word + 1)
    example = read(text=text, spans=spans)
    assert not example.widened
    found = predicted(Tag(scheme="iob2", labels=("O", "B-X")), example, example.target or ()).entities
    assert [[each.start, each.stop, each.type] for each in found] == spans
    assert [each.text for each in found] == [text[start:stop] for start, stop, _ in spans]


# What is learned.


def test_labels_are_closed_in_one_order() -> None:
    task, _ = examples_of(["a/B-PER b/O", "a/I-LOC"])
    assert task.spells is Scheme.IOB2
    assert task.labels == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert task.counts == (1, 0, 1, 1, 0)
    task, _ = examples_of(["a/S-PER b/O"])
    assert task.labels == ("O", "B-PER", "I-PER", "E-PER", "S-PER")
    assert task.describe() == "BIOES entities of 1 type"
    task, _ = examples_of(["a/DET b/NOUN"])
    assert task.labels == ("DET", "NOUN")
    assert task.describe() == "plain tags, 2 of them"


def test_the_scheme_is_as_chosen() -> None:
    task, _ = examples_of(["a/B-PER b/I-PER"], scheme="plain")
    assert task.labels == ("B-PER", "I-PER")
    assert task.main_score() == "accuracy"
    task, _ = examples_of(["a/B-PER b/I-PER"], scheme="bilou")
    assert task.labels == ("O", "B-PER", "I-PER", "L-PER", "U-PER")


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        (["a/O b/O"], "the rows hold only the tag 'O'; a tagger needs two tags or more"),
        (["a/NOUN"], "the rows hold only the tag 'NOUN'"),
        ([""], "the rows hold no tag"),
    ],
)
def test_nothing_to_learn(sentences: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        examples_of(sentences)


def test_no_entity_of_the_scheme_chosen() -> None:
    with pytest.raises(DataError, match="no entity of the scheme BIOES, only tags such as 'DET', 'NOUN'"):
        examples_of(["a/DET b/NOUN"], scheme="bioes")


def test_two_families_of_prefixes_are_told_where_they_meet() -> None:
    task, examples = examples_of(["a/B-PER b/E-PER c/S-PER", "d/O e/U-PER"])
    with pytest.raises(
        DataError, match=r"^words\.conll:2: the tag 'U-PER' of word 2 'e' is not one of .*\(scheme BIOES\)"
    ):
        task.check(examples)


def test_broken_sequences_are_counted_with_their_place() -> None:
    task, examples = examples_of(["a/B-PER b/I-PER c/O", "a/O b/I-PER", "a/B-PER b/I-LOC c/I-LOC", "d/B-LOC"])
    (remark,) = task.remarks(examples)
    assert remark == "2 tags in 2 rows break the rules of IOB2, the first of them words.conll:2 'I-PER'"
    assert [(each.level, each.check) for each in task.findings(examples)] == [
        ("good", "scheme"),
        ("warn", "broken-tags"),
    ]
    _, iob1 = examples_of(["a/I-PER b/I-PER c/O", "a/O b/I-LOC"])
    assert "break the rules of IOB2; these look like IOB1" in task.remarks(iob1)[0]


def test_a_tag_without_its_prefix_is_said() -> None:
    task, examples = examples_of(["a/B-PER b/I-PER c/O", "a/PER b/B-LOC"])
    assert task.spells is Scheme.PLAIN
    (remark,) = task.remarks(examples)
    assert "taken as plain, not as entities ('B-LOC', 'B-PER', 'I-PER')" in remark
    assert remark.endswith("the first of them words.conll:2 'PER'")
    task, examples = examples_of(["a/DET b/NOUN"])
    assert task.remarks(examples) == []


@pytest.mark.parametrize("sentences", [["a/b-per b/i-per c/o", "d/b-loc"], ["a/O", "b/B_PER c/I_PER d/S_LOC"]])
def test_prefixes_that_are_written_otherwise_are_said(sentences: list[str]) -> None:
    task, examples = examples_of(sentences)
    assert task.spells is Scheme.PLAIN
    (remark,) = task.remarks(examples)
    assert remark.startswith("tags are taken as plain, not as entities (")
    assert "for want of prefixes as in 'B-PER', the first of them words.conll:" in remark
    assert [each.check for each in task.findings(examples)] == ["scheme", "nearly-entities"]
    task, examples = examples_of(sentences, scheme="plain")
    assert task.remarks(examples) == []


def test_a_stray_prefix_is_an_error_at_its_place_and_changes_no_scheme() -> None:
    task, examples = examples_of(["a/B-PER b/I-PER c/O"] * 3 + ["d/E-PER e/O"])
    assert task.spells is Scheme.IOB2
    with pytest.raises(DataError, match=r"^words\.conll:4: the tag 'E-PER' of word 1 'd' is not one of"):
        task.check(examples)


def test_classes_are_types_or_tags() -> None:
    task, (example,) = examples_of(["a/B-PER b/I-PER c/O d/B-PER e/B-LOC"])
    assert list(task.classes(example)) == list(Tag().classes(example)) == ["LOC", "PER"]
    task, (example,) = examples_of(["a/DET b/NOUN c/O d/DET"])
    assert list(task.classes(example)) == list(Tag().classes(example)) == ["DET", "NOUN", "O"]
    assert list(task.classes(replace(example, target=None))) == []


# Pieces that stand for words.


def pieces_by_hand(windows: Sequence[Encoded], example: TagExample) -> list[list[int]]:
    """For every word the pieces, counted over the whole text, that hold a character of it."""
    spans: dict[int, tuple[int, int]] = {}
    for window in windows:
        assert window.spans is not None
        for place in range(*window.body):
            spans[window.offset + place - window.body[0]] = tuple(window.spans[place].tolist())
    return [
        [piece for piece, (first, last) in sorted(spans.items()) if first < last and first < stop and last > start]
        for start, stop in example.word_spans.tolist()
    ]


def context(windows: Sequence[Encoded], number: int, low: int, high: int) -> float:
    """How many pieces a window holds before and after those from `low` to `high`, the fewer; any at the text's ends."""
    window = windows[number]
    last = window.offset + window.body[1] - window.body[0] - 1
    before = low - window.offset if number else np.inf
    return min(before, last - high if number < len(windows) - 1 else np.inf)


@settings(max_examples=60)
@given(
    data=st.data(),
    pieces=st.sampled_from(["first", "last", "mean"]),
    max_length=st.integers(6, 40),
    overlap=st.integers(0, 3) | st.none(),
)
def test_the_aligner_is_that_of_trying_all(
    tokenizers: Mapping[str, Tokenizer], data: Any, pieces: Any, max_length: int, overlap: int | None
) -> None:
    """Which pieces stand for a word, and that it is the window with most context in which they do."""
    tokenizer = tokenizers[data.draw(st.sampled_from(sorted(tokenizers)))]
    sentences = data.draw(st.lists(st.lists(word_texts(), max_size=25), min_size=1, max_size=3))
    examples = [read(words=words) for words in sentences]
    task = Tag(pieces=pieces, overlap=overlap)
    encoded = task.encode(examples, tokenizer, max_length=max_length)
    used = max(0, min(64, (max_length - 2) // 4)) if overlap is None else overlap
    texts = [example.text for example in examples]
    bare = tokenizer.windows(texts, max_length=max_length, overlap=used, spans=True)
    for example, windows, ours in zip(examples, bare, encoded, strict=True):
        found: dict[int, list[tuple[int, int]]] = {}
        for number, window in enumerate(ours):
            assert window.spans is None
            assert window.anchors is not None
            for word, place in window.anchors.tolist():
                found.setdefault(word, []).append((number, window.offset + place - window.body[0]))
        for word, every in enumerate(pieces_by_hand(windows, example)):
            if not every:
                assert word not in found
                continue
            wanted = {"first": every[:1], "last": every[-1:], "mean": list(range(every[0], every[-1] + 1))}[pieces]
            (number,) = {number for number, _ in found[word]}

            contexts = [context(windows, each, wanted[0], wanted[-1]) for each in range(len(windows))]
            assert contexts[number] == max(contexts)
            first, stop = ours[number].offset, ours[number].offset + ours[number].body[1] - ours[number].body[0]
            assert [piece for _, piece in found[word]] == [piece for piece in wanted if first <= piece < stop]
            assert len(found[word]) >= 1


@settings(max_examples=60)
@given(data=st.data(), pieces=st.sampled_from(["first", "last", "mean"]), max_length=st.sampled_from([8, 24, 64]))
def test_what_is_aligned_and_decoded_is_what_it_was(
    tokenizers: Mapping[str, Tokenizer], data: Any, pieces: Any, max_length: int
) -> None:
    """Pieces that each say what their word's tag is give these tags again; words without a piece have a legal one."""
    tokenizer = tokenizers[data.draw(st.sampled_from(sorted(tokenizers)))]
    words = data.draw(st.lists(word_texts(), min_size=1, max_size=20))
    task = Tag(scheme="iob2", labels=schemes.closed(["B-X", "B-Y"], Scheme.IOB2), pieces=pieces)
    drawn = np.random.default_rng(data.draw(st.integers(0, 999))).normal(size=(len(words), 5))
    tags = [task.labels[n] for n in schemes.viterbi(drawn, schemes.transitions(task.labels, Scheme.IOB2))]
    example = read(words=words, tags=tags)
    (encoded,) = task.encode([example], tokenizer, max_length=max_length)
    outputs, seen, apart = [], set(), True
    for window in encoded:
        logits = np.random.default_rng(0).normal(size=(len(window), 5)).astype(np.float32)
        assert window.anchors is not None
        apart &= len(set(window.anchors[:, 1].tolist())) == len(window.anchors)
        for word, place in window.anchors.tolist():
            logits[place] = 50 * np.eye(5)[task.labels.index(tags[word])]
            seen.add(word)
        outputs.append({"logits": logits})
    answer = task.decode(example, encoded, outputs)
    assert len(answer.tags) == len(answer.probabilities) == len(words)
    assert schemes.broken(answer.tags, Scheme.IOB2) == []
    if apart:  # else one piece is asked to say two things
        assert all(answer.tags[word] == tags[word] for word in seen)
    assert [each.text for each in answer.entities] == [example.text[each.start : each.stop] for each in answer.entities]


def test_windows_do_not_depend_on_tags(tokenizers: Mapping[str, Tokenizer]) -> None:
    words = TEXTS[3].split()
    with_tags = Tag().encode([read(words=words, tags=["B-X"] * len(words))], tokenizers["bert"], max_length=12)
    without = Tag().encode([read(words=words)], tokenizers["bert"], max_length=12)
    assert len(with_tags[0]) > 2
    for one, other in zip(with_tags[0], without[0], strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert one.anchors is not None
        assert other.anchors is not None
        assert np.array_equal(one.anchors, other.anchors)


@pytest.mark.parametrize("pieces", ["first", "mean"])
def test_every_word_of_a_long_sentence_has_one_answer(pieces: Any, tiny_checkpoint: Callable[[Case], Path]) -> None:
    task, _ = examples_of(["a/B-X b/I-X c/O"])
    task = task.model_copy(update={"pieces": pieces})
    predictor = Predictor(bundle_of(task, load_pretrained(tiny_checkpoint(BERT)), max_length=48))
    words = [word for text in TEXTS for word in text.split()] * 60
    words[7] = "\x07"
    assert len(words) > 3000
    (answer,) = predictor.predict([words])
    assert answer.words == tuple(words)
    assert len(answer.tags) == len(words)
    assert schemes.broken(answer.tags, Scheme.IOB2) == []
    assert not answer.truncated
    (encoded,) = task.encode([read(words=words)], predictor.bundle.tokenizer, max_length=48)
    assert len(encoded) > 50
    answered = np.concatenate([window.anchors for window in encoded if window.anchors is not None])[:, 0]
    assert sorted(set(answered.tolist()) | {7}) == list(range(len(words)))


def test_a_word_without_a_piece_takes_what_fits(tokenizers: Mapping[str, Tokenizer]) -> None:
    words = ["film", "\u3000", "plot"]

    def answered(task: Tag, tags: Sequence[str | None]) -> tuple[str, ...]:
        example = read(words=words)
        (encoded,) = task.encode([example], tokenizers["bert"], max_length=24)
        (window,) = encoded
        assert window.anchors is not None
        assert [word for word, _ in window.anchors.tolist()] == sorted(set(window.anchors[:, 0].tolist()))
        logits = np.zeros((len(window), len(task.labels)), dtype=np.float32)
        for word, place in window.anchors.tolist():
            logits[place, task.labels.index(tags[word] or "")] = 9.0
        return task.decode(example, encoded, [{"logits": logits}]).tags

    entities, _ = examples_of(["a/B-X b/I-X"])
    assert answered(entities, ["B-X", None, "O"]) == ("B-X", "O", "O")
    assert answered(entities, ["B-X", None, "I-X"])[1] in ("B-X", "I-X")
    plain, _ = examples_of(["a/DET b/NOUN c/NOUN"])
    assert answered(plain, ["DET", None, "DET"]) == ("DET", "NOUN", "DET")


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), scheme=st.sampled_from(["iob1", "iob2", "bioes", "bilou"]))
def test_no_answer_is_illegal(tokenizers: Mapping[str, Tokenizer], seed: int, scheme: Any) -> None:
    task = Tag(scheme=scheme, labels=schemes.closed([f"{letter}-{kind}" for letter in "BI" for kind in "XY"], scheme))
    example = read(text=f"{TEXT} {TEXTS[3]}")
    (encoded,) = task.encode([example], tokenizers["minilm"], max_length=16)
    chance = np.random.default_rng(seed)
    outputs = [{"logits": 9 * chance.normal(size=(len(w), len(task.labels))).astype(np.float32)} for w in encoded]
    answer = task.decode(example, encoded, outputs)
    assert schemes.broken(answer.tags, Scheme(scheme)) == []
    assert all(0 < probability <= 1 for probability in answer.probabilities)
    for entity in answer.entities:
        assert entity.text == example.text[entity.start : entity.stop]
        assert entity.probability == pytest.approx(float(np.prod(answer.probabilities[slice(*entity.words)])))


def test_overlap_must_leave_room(tokenizers: Mapping[str, Tokenizer]) -> None:
    with pytest.raises(SettingsError, match="overlap must be at least 0 and less than 22, got 40"):
        Tag(overlap=40).encode([read(text=TEXT)], tokenizers["bert"], max_length=24)


def test_rows_without_words_are_no_harm(tiny_checkpoint: Callable[[Case], Path]) -> None:
    encoder = tiny_checkpoint(BERT)
    rows: list[dict[str, Any]] = [
        {"words": ["film", "plot"], "tags": ["B-X", "O"]},
        {"words": [], "tags": []},
        {"words": ["\x07"], "tags": "O"},
    ]
    examples = [read(**row) for row in rows]
    steps = Settings(encoder=str(encoder), max_steps=2, batch_size=2, dev_fraction=0.0)
    bundle, _, _ = fit_examples(Tag(), examples, examples, steps)
    assert bundle.task.remarks(examples) == ["1 rows hold no word, the first of them words.conll:7"]
    answers = Predictor(bundle).predict([[], "", " \n", ["\x07"], ["film"]])
    assert [len(answer.tags) for answer in answers] == [0, 0, 0, 1, 1]
    assert answers[0].record() == {"words": [], "tags": [], "probabilities": [], "text": "", "entities": []}
    batch = collate([window for windows in bundle.task.encode(examples[1:], bundle.tokenizer, max_length=24)
                     for window in windows], examples[1:])  # fmt: skip
    hidden = bundle.model.hidden(batch.id_T, batch.segment_T, batch.layout)
    loss = bundle.task.loss(bundle.model.head, hidden, batch)
    assert (float(loss.total.detach()), loss.targets) == (0.0, 0)


# Answers and scores.


def test_records() -> None:
    task, _ = examples_of(["a/B-PER b/I-PER"])
    example = read(text="Zoë 👩\u200d🚀 of York")
    answer = task._tagging(example, ["B-PER", "I-PER", "O", "B-LOC"], [0.5, 0.8, 0.9, 0.75])
    record = json.loads(json.dumps(answer.record()))
    assert record == {
        "words": ["Zoë", "👩\u200d🚀", "of", "York"],
        "tags": ["B-PER", "I-PER", "O", "B-LOC"],
        "probabilities": [0.5, 0.8, 0.9, 0.75],
        "offsets": [[0, 3], [4, 7], [8, 10], [11, 15]],
        "entities": [
            {"type": "PER", "text": "Zoë 👩\u200d🚀", "start": 0, "stop": 7, "probability": 0.4},
            {"type": "LOC", "text": "York", "start": 11, "stop": 15, "probability": 0.75},
        ],
    }
    of_words = task._tagging(read(words=["New", "York"]), ["B-LOC", "I-LOC"], [0.5, 0.5]).record()
    assert of_words["text"] == "New York"
    assert "offsets" not in of_words
    plain, _ = examples_of(["a/DET b/NOUN"])
    assert list(predicted(plain, read(words=["a"]), ["DET"]).record()) == ["words", "tags", "probabilities"]


LETTERS = {"iob1": "BI", "iob2": "BI", "bioes": "BIES", "bilou": "BILU"}


@pytest.mark.parametrize("scheme", LETTERS)
@settings(max_examples=100)
@given(data=st.data())
def test_scores_are_those_of_seqeval(scheme: Any, data: Any) -> None:
    reference = pytest.importorskip("seqeval.metrics.v1", reason="seqeval is the reference")
    lenient = pytest.importorskip("seqeval.metrics.sequence_labeling", reason="seqeval is the reference")
    kinds = pytest.importorskip("seqeval.scheme", reason="seqeval is the reference")
    labels = ["O", *(f"{letter}-{kind}" for letter in LETTERS[scheme] for kind in ("PER", "LOC"))]
    pair = st.integers(1, 6).flatmap(
        lambda n: st.tuples(*[st.lists(st.sampled_from(labels), min_size=n, max_size=n)] * 2)
    )
    pairs = data.draw(st.lists(pair, min_size=1, max_size=5))
    examples = [read(words=["w"] * len(gold), tags=gold) for gold, _ in pairs]
    task = Tag(scheme=scheme, labels=schemes.closed(labels, Scheme(scheme)))
    answers = [predicted(task, example, tags) for example, (_, tags) in zip(examples, pairs, strict=True)]
    rows = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=6))
    found = task.scorer(examples, answers)(np.array(rows))
    gold, given_ = [pairs[row][0] for row in rows], [pairs[row][1] for row in rows]
    named = kinds.IOBES if scheme == "bioes" else getattr(kinds, scheme.upper())
    shared: dict[str, Any] = {"average": "micro", "zero_division": 0}
    expected = reference.precision_recall_fscore_support(gold, given_, scheme=named, **shared)
    assert [found[name] or 0.0 for name in ("precision", "recall", "f1")] == pytest.approx(expected[:3])
    if scheme != "bilou":  # whose L and U conlleval does not know
        expected = lenient.precision_recall_fscore_support(gold, given_, **shared)
        assert (found["conlleval_f1"] or 0.0) == pytest.approx(expected[2])
    words = [(a, b) for one, other in zip(gold, given_, strict=True) for a, b in zip(one, other, strict=True)]
    assert found["accuracy"] == pytest.approx(sum(a == b for a, b in words) / len(words))
    _, _, f1, support = reference.precision_recall_fscore_support(
        [gold for gold, _ in pairs], [tags for _, tags in pairs], scheme=named, average=None, zero_division=0
    )
    details = task.details(examples, answers)
    there = [name for name in sorted(details) if any(v for v in _counts(task, pairs, name))]
    assert [details[name]["f1"] for name in there] == pytest.approx(list(f1))
    assert [details[name]["support"] for name in there] == list(support)


def _counts(task: Tag, pairs: Sequence[tuple[list[str], list[str]]], kind: str) -> list[int]:
    """How many entities of a type either side has."""
    return [sum(each.type == kind for each in schemes.entities(tags, task.spells)) for pair in pairs for tags in pair]


@settings(max_examples=50)
@given(data=st.data())
def test_scores_of_plain_tags_are_those_of_scikit_learn(data: Any) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    task, _ = examples_of(["a/ADJ b/DET c/NOUN d/VERB"])
    tag = st.sampled_from(task.labels)
    pair = st.integers(1, 6).flatmap(lambda n: st.tuples(*[st.lists(tag, min_size=n, max_size=n)] * 2))
    pairs = data.draw(st.lists(pair, min_size=1, max_size=5))
    examples = [read(words=["w"] * len(gold), tags=gold) for gold, _ in pairs]
    answers = [predicted(task, example, tags) for example, (_, tags) in zip(examples, pairs, strict=True)]
    rows = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=6))
    found = task.scorer(examples, answers)(np.array(rows))
    gold = [tag for row in rows for tag in pairs[row][0]]
    given_ = [tag for row in rows for tag in pairs[row][1]]
    assert found["accuracy"] == pytest.approx(accuracy_score(gold, given_))
    assert found["macro_f1"] == pytest.approx(f1_score(gold, given_, average="macro"))


def test_where_nothing_is_there_nothing_is_defined() -> None:
    task, _ = examples_of(["a/B-PER b/O"])
    (nothing,) = [read(words=["a"], tags=["O"])]
    scores = score(task, [nothing], [predicted(task, nothing, ["O"])], resamples=5).scores
    assert scores.values["f1"].value is None
    assert scores.values["accuracy"].value == 1.0


def test_the_baseline_and_a_collapse() -> None:
    task, examples = examples_of(["a/B-PER b/O", "c/O"])
    baseline = task.baseline(examples)
    assert baseline is not None
    assert [answer.tags for answer in baseline] == [("O", "O"), ("O",)]
    assert task.collapsed(examples, baseline) == "collapsed: every word is answered with 'O'"
    assert task.collapsed(examples[1:], baseline[1:]) is None
    plain, examples = examples_of(["a/DET b/NOUN c/NOUN"])
    assert [answer.tags for answer in plain.baseline(examples) or ()] == [("NOUN",) * 3]
    assert Tag(labels=("O", "B-X")).baseline(examples) is None


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (("O", "B-PER", "I-PER"), Scheme.IOB2),
        (("B-PER", "I-PER", "O", "B-LOC"), Scheme.IOB2),
        (("I-LOC", "I-PER", "O"), Scheme.IOB1),
        (("O", "B-PER", "I-PER", "E-PER", "S-PER"), Scheme.BIOES),
        (("O", "B-PER", "I-PER", "L-PER", "U-PER"), Scheme.BILOU),
        (("O", "B-PER", "E-PER", "M-PER", "S-PER"), Scheme.BMES),
        (("ADJ", "NOUN"), Scheme.PLAIN),
        (("B-PER", "I-PER"), Scheme.PLAIN),  # without O, no legal sequence may be left
        (("LABEL_0", "LABEL_1"), Scheme.PLAIN),
    ],
    ids=str,
)
def test_labels_of_a_model_of_transformers(labels: tuple[str, ...], scheme: Scheme) -> None:
    task = Tag.from_transformers({"id2label": {str(number): label for number, label in enumerate(labels)}})
    assert task == Tag(labels=labels, read_scheme=scheme)
    legal = schemes.transitions(labels, scheme)
    for seed in range(50):
        path = schemes.viterbi(np.random.default_rng(seed).normal(size=(9, len(labels))), legal)
        assert schemes.broken([labels[number] for number in path], scheme) == []


def test_the_scheme_may_be_chosen_for_a_trained_model(tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    """A model of transformers tells its labels alone, and B and I may be of IOB1."""
    labels = ("B-X", "I-X", "O")
    task = Tag.from_transformers({"id2label": {str(number): label for number, label in enumerate(labels)}})
    assert task is not None
    assert task.spells is Scheme.IOB2
    bundle_of(task, load_pretrained(tiny_checkpoint(BERT)), max_length=24).save(tmp_path / "saved")
    loaded = api.load(tmp_path / "saved", options={"scheme": "iob1"})
    assert isinstance(loaded.bundle.task, Tag)
    assert loaded.bundle.task.spells is Scheme.IOB1
    (answer,) = loaded.predict([["film", "plot"]])
    assert answer.scheme is Scheme.IOB1
    (plain,) = api.load(tmp_path / "saved", options={"scheme": "plain"}).predict([["film", "plot"]])
    assert plain.scheme is Scheme.PLAIN
    with pytest.raises(SettingsError, match=r"labels must be those of the scheme BIOES, got \('B-X', 'I-X', 'O'\)"):
        api.load(tmp_path / "saved", options={"scheme": "bioes"})


def test_the_mean_of_pieces_is_learned_as_it_is_answered(tiny_checkpoint: Callable[[Case], Path]) -> None:
    """The loss is that of the scores which the answers come from, over windows, too."""
    pretrained = load_pretrained(tiny_checkpoint(BERT))
    words = [word for text in TEXTS for word in text.split()]
    tags = [str(len(word) % 3) for word in words]
    example = read(words=words, tags=tags)
    for pieces in ("first", "last", "mean"):
        task = Tag(pieces=pieces).learn([example])
        bundle = bundle_of(task, pretrained, max_length=24)
        (encoded,) = task.encode([example], bundle.tokenizer, max_length=24)
        assert len(encoded) > 3
        batch = collate(encoded, [example])
        with torch.no_grad():
            loss = task.loss(bundle.model.head, bundle.model.hidden(batch.id_T, batch.segment_T, batch.layout), batch)
        score_WC = torch.from_numpy(task._word_scores(len(words), encoded, run(bundle.model, encoded, [example])))
        target_W = torch.tensor([task.labels.index(tag) for tag in tags])
        expected = torch.nn.functional.cross_entropy(score_WC, target_W, reduction="sum")
        assert loss.targets == len(words)
        assert float(loss.total) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("tags", ["(ORG*/*)/*/(LOC)", "(ORG*/*)/*/*", "*/*/(ORG*)/*", "(0/0)/-/(0)", "-/(3|(4/3)|4)/-"])
def test_the_brackets_of_conll_2012_are_named(tags: str) -> None:
    words = " ".join(f"{word}/{tag}" for word, tag in zip("abcd", tags.split("/"), strict=False))
    with pytest.raises(DataError, match=r"^words\.conll:1: the tag '\(.*' is in the bracket form of CoNLL-2012"):
        examples_of([words])
    task, _ = examples_of([words], scheme="plain")
    assert set(task.labels) == set(tags.split("/"))


def test_tags_with_brackets_that_are_parts_of_speech() -> None:
    task, _ = examples_of(["a/DT (/( b/NN )/) -/- */SYM"])
    assert task.spells is Scheme.PLAIN


def test_bmes_keeps_its_letters() -> None:
    sentence = "Li/B-PER of/M-PER Wu/E-PER saw/O Oslo/S-LOC"
    task, (example,) = examples_of([sentence])
    assert task.describe() == "BMES entities of 2 types"
    assert task.labels == ("O", *(f"{prefix}-{kind}" for kind in ("LOC", "PER") for prefix in "BMES"))
    assert example.target is not None
    found = predicted(task, example, example.target)
    assert [(each.type, each.text) for each in found.entities] == [("PER", "Li of Wu"), ("LOC", "Oslo")]
    spelled = Tag(scheme="bmes").read(Row({"text": "Li of Wu saw", "spans": [[0, 8, "PER"]]}, PLACE))
    assert spelled.target == ("B-PER", "M-PER", "E-PER", "O")
