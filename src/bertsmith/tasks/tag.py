"""`tag`: a tag for every word: its part of speech, or the named entity that it is in (Devlin et al. 2019, §5.3).

Letters: W words of a sentence, C labels, N words of a batch, P their pieces.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F

from bertsmith import metrics, schemes
from bertsmith.data import text_of
from bertsmith.errors import DataError, InputError, listed, nearest
from bertsmith.nn.encoder import initialize
from bertsmith.nn.heads import TokenHead
from bertsmith.records import Finding, Input, Place, Row
from bertsmith.schemes import Scheme
from bertsmith.tasks import Chosen, Loss, Task, label_names, learned, option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from bertsmith.batching import Batch
    from bertsmith.families import HeadForm
    from bertsmith.nn.encoder import EncoderConfig
    from bertsmith.nn.heads import Head
    from bertsmith.records import Encoded
    from bertsmith.tasks import Output, Question, Scorer
    from bertsmith.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TagExample:
    """A sentence. spans_W2: int32, the characters of each word in `text`, half-open.

    raw: whether it was read as a text, and not as words. target: a tag for each word; None if not known. lines: of
    each word, where it has one of its own. widened: how many of the entities given began or ended within a word.
    """

    text: str
    words: tuple[str, ...]
    spans_W2: NDArray[np.int32]
    raw: bool
    target: tuple[str, ...] | None
    place: Place
    lines: tuple[int, ...] = ()
    widened: int = 0

    def place_of(self, word: int) -> Place:
        """Where a word was read."""
        if self.lines:
            return replace(self.place, line=self.lines[word])
        return replace(self.place, path=f"word {word + 1}")


@dataclass(frozen=True, slots=True)
class Entity:
    """A named entity: ``text`` is the sentence's characters ``[start:stop]``.

    probability: the product of the probabilities of its words' tags.
    """

    type: str
    text: str
    start: int
    stop: int
    probability: float

    def record(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "text": self.text,
            "start": self.start,
            "stop": self.stop,
            "probability": self.probability,
        }


@dataclass(frozen=True, slots=True)
class Tagging:
    """The tags of one sentence's words, with the probability of each.

    entities: of tags that name some, else None; their characters are those of the text, or of the words joined by
    blanks. offsets: of every word in the text, where a text was given.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: tuple[float, ...]
    entities: tuple[Entity, ...] | None = None
    offsets: tuple[tuple[int, int], ...] | None = None
    # windows hold all of a sentence, however long
    truncated: bool = False

    def record(self) -> dict[str, Any]:
        """As one JSON object: ``words``, ``tags``, ``probabilities``, and ``entities`` and ``offsets`` if there are."""
        record: dict[str, Any] = {
            "words": list(self.words),
            "tags": list(self.tags),
            "probabilities": list(self.probabilities),
        }
        if self.entities is not None:
            record["entities"] = [entity.record() for entity in self.entities]
        if self.offsets is not None:
            record["offsets"] = [list(span) for span in self.offsets]
        return record


class Tag(Task[TagExample, Tagging]):
    """Every word → a tag. Sentences beyond the limit are read in windows; each word is answered from one of them."""

    name = "tag"
    summary = "every word to a tag: parts of speech, or named entities"
    head_kind = "token"
    part = "tag"
    asked = ("text",)
    inputs = (
        Input(
            "words",
            names=("words", "tokens", "form", "token"),
            help="the column of the words: lists, or words parted by blanks",
            or_else="text",
        ),
        Input(
            "text",
            names=("text", "sentence"),
            help="the column of the text, where it is not parted into words",
            or_else="words",
        ),
        Input(
            "tags",
            names=("tags", "ner_tags", "pos_tags", "upos", "labels"),
            required=False,
            help="the column of the words' tags",
            or_else="spans",
        ),
        Input(
            "spans",
            names=("spans", "entities", "label"),
            required=False,
            help="the column of the entities in a text: [start, stop, type], in characters",
            or_else="tags",
        ),
    )
    scores = ("f1 (strict), precision, recall, conlleval_f1 of entities", "accuracy", "macro_f1 of plain tags")

    scheme: Literal["auto", "plain", "iob1", "iob2", "bioes", "bilou"] = option(
        "auto",
        "how tags spell entities: auto (read from the data), plain (they spell none), iob1, iob2, bioes or bilou",
    )
    pieces: Literal["first", "last", "mean"] = option(
        "first", "which of a word's pieces stands for it: its first, its last, or the mean of all"
    )
    overlap: int | None = option(
        None,
        "how many pieces neighbouring windows of a long sentence share; left out, 64 or what fits",
        at_use=True,
        ge=0,
    )

    labels: tuple[str, ...] = learned(())
    seen_scheme: str = learned("plain")
    commonest: str = learned("")

    @property
    def spelling(self) -> Scheme:
        """The scheme of the tags."""
        return Scheme(self.seen_scheme if self.scheme == "auto" else self.scheme)

    @classmethod
    def ask(cls, question: Question, place: Place) -> Row:
        """A text; or a list of words."""
        if not isinstance(question, str) and isinstance(question, list | tuple):
            if not all(isinstance(word, str) for word in question):
                raise InputError(f"wanted a text, a list of words or a mapping, got {question!r}", place=place)
            return Row({"words": list(question)}, place)
        return super().ask(question, place)

    def read(self, row: Row) -> TagExample:
        if "words" in row.values:
            words = _strings(row, "words")
            text, spans_W2, raw = " ".join(words), _spans_of(words), False
        else:
            text = text_of(row, "text")
            spans_W2, raw = split(text), True
            words = [text[start:stop] for start, stop in spans_W2.tolist()]
        target, widened = None, 0
        if "tags" in row.values:
            target = tuple(_strings(row, "tags"))
            if len(target) != len(words):
                raise DataError(f"{len(words)} words, but {len(target)} tags: each word needs one", place=row.place)
        elif "spans" in row.values:
            if not raw:
                raise DataError("entities by character need a text, and this row has words", place=row.place)
            found, widened = _entities_of(row, text, spans_W2)
            target = tuple(schemes.spelled(found, len(words), Scheme.IOB2))
        return TagExample(text, tuple(words), spans_W2, raw, target, row.place, row.lines, widened)

    def learn(self, examples: Sequence[TagExample]) -> Self:
        sentences = [example.target or () for example in examples]
        counts = Counter(tag for tags in sentences for tag in tags)
        source = examples[0].place.source
        if len(counts) < 2:
            found = f"only the tag {next(iter(counts))!r}" if counts else "no tag"
            raise DataError(f"{source}: the rows hold {found}; a tagger needs two or more")
        seen = schemes.detect(sentences)
        scheme = seen if self.scheme == "auto" else Scheme(self.scheme)
        self._check_spelling(examples, scheme)
        labels = schemes.closed(counts, scheme)
        # of equally common tags, the first in the order of the labels
        commonest = max(labels, key=lambda label: counts[label])
        return self.model_copy(update={"labels": labels, "seen_scheme": seen.value, "commonest": commonest})

    def _check_spelling(self, examples: Sequence[TagExample], scheme: Scheme) -> None:
        """Raises DataError for the first tag that the scheme does not have."""
        if scheme is Scheme.PLAIN:
            return
        allowed = schemes.closed({tag for example in examples for tag in example.target or ()}, scheme)
        for example in examples:
            for word, tag in enumerate(example.target or ()):
                if tag not in allowed:
                    message = f"tag {tag!r} is none of {scheme}: {listed(allowed)}; --scheme names another scheme"
                    raise DataError(message, place=example.place_of(word))

    def check(self, examples: Sequence[TagExample]) -> None:
        known = set(self.labels)
        for example in examples:
            for word, tag in enumerate(example.target or ()):
                if tag not in known:
                    message = f"tag {tag!r} is not one of {listed(self.labels)}{nearest(tag, known)}"
                    raise DataError(message, place=example.place_of(word))

    def remarks(self, examples: Sequence[TagExample]) -> Sequence[str]:
        remarks = [finding.text for finding in self.findings(examples) if finding.level == "warn"]
        empty = [example for example in examples if not example.words]
        if empty:
            remarks.append(f"{len(empty):,} rows hold no word, the first of them {empty[0].place}")
        return remarks

    def findings(self, examples: Sequence[TagExample]) -> Sequence[Finding]:
        findings = []
        breaks = [
            (example, word) for example in examples for word in schemes.broken(example.target or (), self.spelling)[:1]
        ]
        if breaks:
            example, word = breaks[0]
            assert example.target is not None, "only tags can be broken"
            after = f"after {example.target[word - 1]!r}" if word else "at the beginning"
            text = (
                f"{len(breaks):,} of {len(examples):,} sentences hold tags that {self.spelling} does not allow, "
                f"the first {example.target[word]!r} {after}: {example.place_of(word)}"
            )
            places = tuple(str(each.place_of(place)) for each, place in breaks[:5])
            findings.append(Finding("warn", "broken_tags", text, places, {"sentences": len(breaks)}))
        elif self.spelling is not Scheme.PLAIN:
            text = f"tags spell entities in {self.spelling}, and no sequence breaks it"
            findings.append(Finding("good", "broken_tags", text))
        widened = [example for example in examples if example.widened]
        if widened:
            count = sum(example.widened for example in widened)
            text = (
                f"{count:,} entities begin or end within a word and are widened to whole words, the first of them "
                f"{widened[0].place}"
            )
            places = tuple(str(example.place) for example in widened[:5])
            findings.append(Finding("warn", "entities_within_words", text, places, {"entities": count}))
        return findings

    def content(self, example: TagExample) -> tuple[str, ...]:
        return (example.text,)

    def classes(self, example: TagExample) -> Sequence[str]:
        return sorted(set(example.target or ()))

    def encode(self, examples: Sequence[TagExample], tokenizer: Tokenizer, *, max_length: int) -> list[list[Encoded]]:
        room = max_length - tokenizer.overhead(pair=False)
        windows = tokenizer.windows(
            [example.text for example in examples],
            max_length=max_length,
            overlap=max(0, min(64, room // 4)) if self.overlap is None else self.overlap,
            spans=True,
        )
        return [
            _anchored(example, sequences, self.pieces) for example, sequences in zip(examples, windows, strict=True)
        ]

    def for_training(self, examples: Sequence[TagExample], encoded: Sequence[Sequence[Encoded]]) -> Chosen:
        """All windows in which a word is answered; and which scheme was read."""
        chosen = [
            [each for each in sequences if each.anchors is not None and len(each.anchors)] for sequences in encoded
        ]
        if self.spelling is Scheme.PLAIN:
            return Chosen(chosen, [f"{len(self.labels)} plain tags"])
        kinds = list(dict.fromkeys(kind for kind in map(schemes.type_of, self.labels) if kind is not None))
        return Chosen(chosen, [f"tags spell entities in {self.spelling}, of {len(kinds)} types: {listed(kinds)}"])

    def head(self, config: EncoderConfig, form: HeadForm, *, dropout: float) -> TokenHead:
        return TokenHead(width=config.width, outputs=len(self.labels), dropout=dropout)

    def start_head(self, head: Head, *, deviation: float, generator: torch.Generator) -> None:
        initialize(head, deviation=deviation, generator=generator)

    def loss(self, head: Head, hidden: Tensor, batch: Batch) -> Loss:
        """Cross-entropy of every word's tag, at the piece that stands for it."""
        number_of = {label: number for number, label in enumerate(self.labels)}
        positions, words, targets = [], [], []
        count = 0
        firsts = batch.layout.first_S.tolist()
        for sequence, first, row in zip(batch.encoded, firsts, batch.row_S.tolist(), strict=True):
            assert sequence.anchors is not None, "encode says where the words are"
            if not len(sequence.anchors):
                continue
            word_P, position_P = sequence.anchors.T
            numbers, of_piece = np.unique(word_P, return_inverse=True)
            positions.append(position_P + first)
            words.append(of_piece + count)
            count += len(numbers)
            tags = batch.examples[row].target
            targets += [number_of[tags[word]] for word in numbers]
        if not targets:
            return Loss(hidden.sum() * 0.0, targets=0)
        # the pieces that stand for a word alone go through the head
        position_P = torch.from_numpy(np.concatenate(positions)).to(hidden.device)
        logits_PC: Tensor = head(hidden[position_P], batch.layout)["logits"].float()
        if len(logits_PC) > count:
            word_P = torch.from_numpy(np.concatenate(words)).to(hidden.device)
            sums_NC = logits_PC.new_zeros(count, logits_PC.shape[1]).index_add(0, word_P, logits_PC)
            logits_PC = sums_NC / torch.bincount(word_P, minlength=count)[:, None]
        target_N = torch.tensor(targets, device=hidden.device)
        return Loss(F.cross_entropy(logits_PC, target_N, reduction="sum"), targets=count)

    def decode(self, example: TagExample, encoded: Sequence[Encoded], outputs: Sequence[Output]) -> Tagging:
        """The likeliest legal sequence of tags. A word without a piece takes the tag that suits its neighbours."""
        logit_WC = np.zeros((len(example.words), len(self.labels)))
        count_W = np.zeros(len(example.words))
        for sequence, output in zip(encoded, outputs, strict=True):
            assert sequence.anchors is not None, "encode says where the words are"
            word_P, position_P = sequence.anchors.T
            np.add.at(logit_WC, word_P, output["logits"][position_P])
            np.add.at(count_W, word_P, 1)
        logit_WC /= np.maximum(count_W, 1)[:, None]
        if self.commonest:
            logit_WC[count_W == 0, self.labels.index(self.commonest)] += 1e-6
        logit_WC -= logit_WC.max(1, keepdims=True, initial=-np.inf) if len(logit_WC) else 0.0
        log_WC = logit_WC - np.log(np.exp(logit_WC).sum(1, keepdims=True))
        path_W = schemes.viterbi(log_WC, schemes.transitions(self.labels, self.spelling))
        tags = tuple(self.labels[number] for number in path_W)
        probability_W = np.exp(log_WC[np.arange(len(path_W)), path_W])
        return Tagging(
            words=example.words,
            tags=tags,
            probabilities=tuple(probability_W.tolist()),
            entities=None if self.spelling is Scheme.PLAIN else self._entities(example, tags, probability_W),
            offsets=tuple((int(start), int(stop)) for start, stop in example.spans_W2) if example.raw else None,
        )

    def _entities(
        self, example: TagExample, tags: Sequence[str], probability_W: NDArray[np.float64]
    ) -> tuple[Entity, ...]:
        found = []
        for entity in schemes.entities(tags, self.spelling):
            start, stop = int(example.spans_W2[entity.start, 0]), int(example.spans_W2[entity.stop - 1, 1])
            probability = float(probability_W[entity.start : entity.stop].prod())
            found.append(Entity(entity.type, example.text[start:stop], start, stop, probability))
        return tuple(found)

    def baseline(self, examples: Sequence[TagExample]) -> Sequence[Tagging] | None:
        """The commonest tag of the training data for every word."""
        if not self.commonest:
            return None
        return [Tagging(each.words, (self.commonest,) * len(each.words), (1.0,) * len(each.words)) for each in examples]

    def collapsed(self, examples: Sequence[TagExample], predictions: Sequence[Tagging]) -> str | None:
        given = {tag for prediction in predictions for tag in prediction.tags}
        if len(given) > 1 or len({tag for example in examples for tag in example.target or ()}) < 2:
            return None
        return f"collapsed: every word is tagged {' and '.join(map(repr, given))}" if given else None

    def main_score(self) -> str:
        return "accuracy" if self.spelling is Scheme.PLAIN else "f1"

    def scorer(self, examples: Sequence[TagExample], predictions: Sequence[Tagging]) -> Scorer:
        pairs = [(each.target or (), given.tags) for each, given in zip(examples, predictions, strict=True)]
        right_R = np.array([sum(map(str.__eq__, target, tags)) for target, tags in pairs])
        words_R = np.array([len(target) for target, _ in pairs])

        def accuracy(rows: NDArray[np.int64]) -> float | None:
            words = int(words_R[rows].sum())
            return float(right_R[rows].sum() / words) if words else None

        if self.spelling is Scheme.PLAIN:
            cells = self._confusion_by_row(pairs)
            return lambda rows: {"accuracy": accuracy(rows), "macro_f1": _macro_f1(cells, rows, len(self.labels))}
        strict_R3 = _counts_by_row(pairs, lambda tags: schemes.entities(tags, self.spelling))
        lenient_R3 = _counts_by_row(pairs, schemes.entities_conlleval)

        def scores(rows: NDArray[np.int64]) -> Mapping[str, float | None]:
            right, given, true = strict_R3[rows].sum(0).tolist()
            return {
                "f1": _f1(right, given, true),
                "precision": right / given if given else 0.0,
                "recall": right / true if true else 0.0,
                "conlleval_f1": _f1(*lenient_R3[rows].sum(0).tolist()),
                "accuracy": accuracy(rows),
            }

        return scores

    def _confusion_by_row(self, pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[NDArray[np.int64]]:
        """Of every row, the cells of the confusion matrix that its words fall into."""
        number_of = {label: number for number, label in enumerate(self.labels)}
        classes = len(self.labels)
        return [
            np.array(
                [number_of[true] * classes + number_of[given] for true, given in zip(*pair, strict=True)], dtype=int
            )
            for pair in pairs
        ]

    def details(
        self, examples: Sequence[TagExample], predictions: Sequence[Tagging]
    ) -> Mapping[str, Mapping[str, float]]:
        """Precision, recall, F1 and support of every type of entity, strictly; or of every plain tag."""

        def parts(tags: Sequence[str]) -> set[tuple[str, int, int]]:
            if self.spelling is Scheme.PLAIN:
                return {(tag, word, word + 1) for word, tag in enumerate(tags)}
            return {(each.type, each.start, each.stop) for each in schemes.entities(tags, self.spelling)}

        counts: dict[str, list[int]] = {}
        for example, prediction in zip(examples, predictions, strict=True):
            true, given = parts(example.target or ()), parts(prediction.tags)
            for place, found in enumerate((true & given, given, true)):
                for kind, *_ in found:
                    counts.setdefault(kind, [0, 0, 0])[place] += 1
        return {
            kind: {
                "precision": right / given if given else 0.0,
                "recall": right / true if true else 0.0,
                "f1": _f1(right, given, true),
                "support": true,
            }
            for kind, (right, given, true) in sorted(counts.items())
        }

    def target_record(self, target: Sequence[str]) -> Any:
        return list(target)

    @classmethod
    def from_transformers(cls, config: Mapping[str, Any]) -> Self | None:
        labels = label_names(config)
        return cls(labels=labels, seen_scheme=_usable(labels, schemes.scheme_of_labels(labels)).value)

    def to_transformers(self) -> Mapping[str, Any]:
        return {
            "id2label": {str(number): label for number, label in enumerate(self.labels)},
            "label2id": {label: number for number, label in enumerate(self.labels)},
        }


TASK = Tag


def split(text: str) -> NDArray[np.int32]:
    """The words of a text as character spans ``[W, 2]``.

    A word is a run of letters, digits and underscores with their combining marks, or one other visible character with
    what is attached to it: marks, variation selectors, and what a zero-width joiner binds (an emoji of several).
    """
    spans: list[list[int]] = []
    kind, joined = "", False  # of the word that could go on: "word", "sign", or "" after a blank
    for place, character in enumerate(text):
        category = unicodedata.category(character)
        if character.isspace() or category in ("Cc", "Cs"):
            kind, joined = "", False
            continue
        this = "word" if category[0] in "LN" or character == "_" else "sign"
        attached = category[0] == "M" or category == "Cf" or "\U0001f3fb" <= character <= "\U0001f3ff" or joined
        if kind and (attached or (this == kind == "word")):
            spans[-1][1] = place + 1
        else:
            spans.append([place, place + 1])
            kind = this
        joined = character == "\u200d"
    return np.array(spans, dtype=np.int32).reshape(-1, 2)


def _spans_of(words: Sequence[str]) -> NDArray[np.int32]:
    """The spans of words that are joined by blanks."""
    length_W = np.array([len(word) for word in words], dtype=np.int64)
    start_W = np.cumsum(length_W + 1) - length_W - 1
    return np.stack([start_W, start_W + length_W], axis=-1).astype(np.int32).reshape(-1, 2)


def _strings(row: Row, name: str) -> list[str]:
    """The words or tags of a row. Raises DataError, naming the word, for what is none."""
    value = row.values[name]
    if isinstance(value, str):
        return value.split()
    if not isinstance(value, list | tuple):
        raise DataError(f"{name} must be a list, or a string of them, got {value!r}", place=row.place)
    found = []
    for number, item in enumerate(value):
        place = (
            replace(row.place, line=row.lines[number]) if row.lines else replace(row.place, path=f"{name}[{number}]")
        )
        if name == "tags" and type(item) is int:
            item = str(item)
        if not isinstance(item, str) or not item.strip():
            wanted = "a name or a whole number" if name == "tags" else "a string that is not blank"
            raise DataError(f"must be {wanted}, got {item!r}", place=place)
        text_of(Row({name: item}, place), name)  # no half of a surrogate pair
        found.append(item.strip() if name == "tags" else item)
    return found


def _entities_of(row: Row, text: str, spans_W2: NDArray[np.int32]) -> tuple[list[schemes.Entity], int]:
    """The entities of a text by word, and how many of them were widened to whole words. May raise DataError."""
    value = row.values["spans"]
    if not isinstance(value, list | tuple):
        raise DataError(f"spans must be a list of [start, stop, type], got {value!r}", place=row.place)
    found, widened = [], 0
    for number, item in enumerate(value):
        place = replace(row.place, path=f"spans[{number}]")
        start, stop, kind = _span(item, place)
        if not 0 <= start < stop <= len(text):
            message = f"[{start}, {stop}] is not within the text, which has {len(text)} characters"
            raise DataError(message, place=place)
        first = int(np.searchsorted(spans_W2[:, 1], start, side="right"))
        last = int(np.searchsorted(spans_W2[:, 0], stop, side="left"))
        if first >= last:
            raise DataError(f"[{start}, {stop}] holds no word, only {text[start:stop]!r}", place=place)
        inked = text[start:stop]
        exact = (start + len(inked) - len(inked.lstrip()), stop - len(inked) + len(inked.rstrip()))
        widened += exact != (spans_W2[first, 0], spans_W2[last - 1, 1])
        found.append((schemes.Entity(kind, first, last), place))
    found.sort(key=lambda each: each[0].start)
    for (before, _), (after, place) in pairwise(found):
        if after.start < before.stop:
            message = f"overlaps another of type {before.type!r}: a word can be in one entity alone"
            raise DataError(message, place=place)
    return [entity for entity, _ in found], widened


def _span(item: Any, place: Place) -> tuple[int, int, str]:
    """The start, stop and type of an entity, in any form that annotation tools write."""
    parts = item
    if isinstance(item, dict):
        kind = item.get("label", item.get("type"))
        parts = [
            item.get("start", item.get("start_offset")),
            item.get("stop", item.get("end", item.get("end_offset"))),
            kind,
        ]
    if isinstance(parts, list | tuple) and len(parts) == 3:
        start, stop, kind = parts
        if type(start) is type(stop) is int and isinstance(kind, str) and kind.strip():
            return start, stop, kind.strip()
    raise DataError(f"must be [start, stop, type], got {item!r}", place=place)


def _anchored(example: TagExample, windows: Sequence[Encoded], pieces: str) -> list[Encoded]:
    """The windows with the words that each answers for; their spans are then of no more use.

    A word is answered from the window where the piece that stands for it is farthest from an edge beyond which the
    text goes on. Windows know nothing of tags.
    """
    total = max(window.offset + window.body[1] - window.body[0] for window in windows)
    span_P2 = np.zeros((total, 2), dtype=np.int32)
    for window in windows:
        assert window.spans is not None, "words are found by their characters"
        here = window.spans[slice(*window.body)]
        span_P2[window.offset : window.offset + len(here)] = here
    inked = np.flatnonzero(span_P2[:, 0] < span_P2[:, 1])
    start_P, stop_P = span_P2[inked].T
    # the first piece that ends after a word's start, and the last one that starts before its end
    first_W = np.searchsorted(stop_P, example.spans_W2[:, 0], side="right")
    last_W = np.searchsorted(start_P, example.spans_W2[:, 1], side="left") - 1
    has_W = first_W <= last_W
    word_W = np.flatnonzero(has_W)
    first_W, last_W = inked[first_W[has_W]], inked[last_W[has_W]]
    stands_W = last_W if pieces == "last" else first_W
    best_W = _most_context(stands_W, windows)
    anchored = []
    for number, window in enumerate(windows):
        mine = best_W == number
        word, first, last = word_W[mine], stands_W[mine], stands_W[mine]
        if pieces == "mean":
            last = np.minimum(last_W[mine], window.offset + window.body[1] - window.body[0] - 1)
        count = last - first + 1
        position = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
        anchors = np.stack([np.repeat(word, count), position - window.offset + window.body[0]], axis=-1)
        anchored.append(replace(window, spans=None, anchors=anchors.astype(np.int32)))
    return anchored


def _most_context(piece_W: NDArray[np.int64], windows: Sequence[Encoded]) -> NDArray[np.int64]:
    """For each of these pieces of a text, the number of the window where it is farthest from the nearer edge."""
    if len(windows) == 1:
        return np.zeros(len(piece_W), dtype=np.int64)
    starts = np.array([window.offset for window in windows])[:, None]
    stops = np.array([window.offset + window.body[1] - window.body[0] for window in windows])[:, None]
    before = np.where(starts > 0, piece_W - starts, np.iinfo(np.int64).max)
    after = np.where(stops < stops[-1], stops - 1 - piece_W, np.iinfo(np.int64).max)
    context = np.where((piece_W >= starts) & (piece_W < stops), np.minimum(before, after), -1)
    best: NDArray[np.int64] = context.argmax(0)
    return best


def _counts_by_row(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]], entities: Callable[[Sequence[str]], list[schemes.Entity]]
) -> NDArray[np.int64]:
    """Of every row, how many entities are right, given and true, ``[R, 3]``."""
    counts = []
    for target, tags in pairs:
        true, given = set(entities(target)), set(entities(tags))
        counts.append((len(true & given), len(given), len(true)))
    return np.array(counts, dtype=np.int64).reshape(-1, 3)


def _macro_f1(cells: Sequence[NDArray[np.int64]], rows: NDArray[np.int64], classes: int) -> float | None:
    matrix_CC = np.bincount(np.concatenate([cells[row] for row in rows]), minlength=classes**2).reshape(
        classes, classes
    )
    return metrics.macro_f1(matrix_CC.astype(np.float64)) if matrix_CC.any() else None


def _f1(right: int, given: int, true: int) -> float:
    return 2 * right / (given + true) if given + true else 0.0


def _usable(labels: Sequence[str], scheme: Scheme) -> Scheme:
    """The scheme, or PLAIN where a model lacks labels that its legal sequences need."""
    return scheme if set(schemes.closed(labels, scheme)) <= set(labels) else Scheme.PLAIN
