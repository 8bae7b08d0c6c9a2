"""`tag`: a tag for every word, such as parts of speech or named entities (Devlin et al. 2019, §5.3).

Letters: A anchors (pieces that stand for words), G words that have some, W words of an example, C labels, R rows.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import field_validator

from bertsmith import metrics, schemes
from bertsmith.errors import DataError, InputError, listed, nearest
from bertsmith.records import Finding, Input, Row
from bertsmith.schemes import Scheme
from bertsmith.sequences import Sequences
from bertsmith.tasks import Chosen, Loss, Task, label_names, learned, option
from bertsmith.tasks._pieces import Pieces, anchored
from bertsmith.tasks._words import TagExample, read_example

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch
    from numpy.typing import NDArray
    from pydantic import ValidationInfo
    from torch import Tensor

    from bertsmith.batching import Batch
    from bertsmith.families import HeadForm
    from bertsmith.nn.encoder import EncoderConfig
    from bertsmith.nn.heads import Head, TokenHead
    from bertsmith.records import Encoded, Place
    from bertsmith.tasks import Output, Question, Scorer
    from bertsmith.tokenizer import Tokenizer

# How much neighbouring windows share where the user does not say: at most so many pieces, and a quarter of the room.
OVERLAP = 64

# Tags that would be those of entities, were their prefixes written in capitals and with a hyphen; and the share of
# others up to which nearly all are such.
_LOOKS_LIKE_ENTITY = re.compile("[biesluom][-_].+", re.IGNORECASE | re.DOTALL)
_FEW = 0.1
# The first word of what CoNLL-2012 has in brackets, an entity or a numbered mention; and what it has for other words.
_BEGINS_BRACKET = re.compile(r"\([^\s()*|]+(?:\*\)?|\))|\(\d+(?:\|.+)?")
_NO_BRACKET = ("*", "-")


@dataclass(frozen=True, slots=True)
class TaggedEntity:
    """An entity, ``text[start:stop]`` of the example's text; words: its half-open range of words.

    probability: the product of those of its words' tags.
    """

    type: str
    text: str
    start: int
    stop: int
    words: tuple[int, int]
    probability: float

    def record(self) -> dict[str, Any]:
        return {
            "type": self.type, "text": self.text, "start": self.start, "stop": self.stop,
            "probability": self.probability,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tagging:
    """The tags of one text's words.

    probabilities: of each tag, in a softmax over all labels at its word. word_spans: the words' half-open character
    spans in `text`, which is the row's, or its words with a blank between each two. entities: what the tags spell;
    none where `scheme` is plain.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: tuple[float, ...]
    text: str
    word_spans: tuple[tuple[int, int], ...]
    scheme: Scheme
    entities: tuple[TaggedEntity, ...] = ()
    from_text: bool = False

    @property
    def truncated(self) -> bool:
        """False: a long text is read in windows, all of it."""
        return False

    def record(self) -> dict[str, Any]:
        """As one JSON object: ``words``, ``tags``, ``probabilities``, one a word, and ``entities`` with characters.

        Of words that the row held, ``text`` is what the characters count in, if there are entities to count them for;
        of a text that was split into words, ``offsets`` are where these lie in it.
        """
        record: dict[str, Any] = {
            "words": list(self.words), "tags": list(self.tags), "probabilities": list(self.probabilities),
        }  # fmt: skip
        if self.from_text:
            record["offsets"] = [list(span) for span in self.word_spans]
        if self.scheme is not Scheme.PLAIN:
            record |= {} if self.from_text else {"text": self.text}
            record["entities"] = [entity.record() for entity in self.entities]
        return record


class Tag(Task[TagExample, Tagging]):
    """Every word of a text → a tag; tags that spell entities come as a legal sequence of their scheme.

    Texts beyond `max_length` are read in windows, and each word is answered, in training as in prediction, where it
    has most context. Words without any piece (control characters, say) get the tag that fits in best.
    """

    name = "tag"
    summary = "a tag for every word: parts of speech, named entities"
    example = "bertsmith train tag --train train.conll --dev dev.conll --out runs/ner"
    head_kind = "token"
    part = "tag"
    decides = "words"
    sums_sequences = True
    asked = ("text",)
    inputs = (
        Input(
            "words",
            names=("words", "tokens", "form", "token"),
            help="the column of the words: a list, or one text with blanks between them",
            or_else="text",
        ),
        Input(
            "text",
            names=("text", "sentence"),
            help="the column of the text, which is split into words",
            or_else="words",
        ),
        Input(
            "tags",
            names=("tags", "ner_tags", "pos_tags", "upos", "labels"),
            required=False,
            help="the column of the tags, one a word",
            or_else="spans",
            per_word=True,
        ),
        Input(
            "spans",
            names=("spans", "entities", "label"),
            required=False,
            help="the column of the entities of a text: a list of [start, stop, label], in characters",
            or_else="tags",
        ),
    )
    scores = (
        "f1, precision and recall of entities, strictly (seqeval's strict mode)",
        "conlleval_f1, leniently",
        "accuracy of words",
        "macro_f1 (tags without entities)",
    )

    scheme: Literal["auto", "iob1", "iob2", "bioes", "bilou", "bmes", "plain"] = option(
        "auto",
        "how tags spell entities: iob1, iob2, bioes, bilou, bmes; plain if they do not; auto reads it from the data",
        at_use=True,
    )
    pieces: Pieces = option("first", "which of a word's pieces stand for it: first, last, or the mean of all")
    overlap: int | None = option(
        None,
        "how many pieces neighbouring windows of a long text share; left out, 64 or what fits",
        at_use=True,
        ge=0,
    )

    labels: tuple[str, ...] = learned(())
    read_scheme: Scheme | None = learned(None)
    counts: tuple[int, ...] = learned(())

    @field_validator("labels")
    @classmethod
    def _labels_of_the_scheme(cls, labels: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Those of a trained model, whose scheme may be chosen anew, but only among those that they can spell."""
        scheme = info.data.get("scheme", "auto")
        if labels and scheme != "auto" and not schemes.fits(labels, Scheme(scheme)):
            raise ValueError(f"must be those of the scheme {Scheme(scheme)}")
        return labels

    @classmethod
    def ask(cls, question: Question, place: Place) -> Row:
        """A list of texts is words, a single one a text to be split into words."""
        if isinstance(question, list | tuple):
            for number, word in enumerate(question, start=1):
                if not isinstance(word, str):
                    raise InputError(f"word {number} must be a string, got {word!r}", place=place)
            return Row({"words": list(question)}, place)
        return super().ask(question, place)

    def read(self, row: Row) -> TagExample:
        return read_example(row, self._scheme(otherwise=Scheme.IOB2))

    def _scheme(self, *, otherwise: Scheme) -> Scheme:
        """The scheme that was chosen or read from the training data."""
        return (self.read_scheme or otherwise) if self.scheme == "auto" else Scheme(self.scheme)

    @property
    def spells(self) -> Scheme:
        """The scheme of a task that has learned."""
        return self._scheme(otherwise=Scheme.PLAIN)

    @property
    def types(self) -> tuple[str, ...]:
        """The types of entities, in the order of the labels."""
        return tuple(dict.fromkeys(kind for label in self.labels if (kind := schemes.type_of(label)) is not None))

    def learn(self, examples: Sequence[TagExample]) -> Self:
        targets = [example.target for example in examples if example.target is not None]
        scheme = schemes.detect(targets) if self.scheme == "auto" else Scheme(self.scheme)
        counts = Counter(tag for tags in targets for tag in tags)
        if self.scheme == "auto" and not counts.keys().isdisjoint(_NO_BRACKET):
            _check_no_brackets(examples)
        labels = schemes.closed(counts, scheme)
        if len(labels) < 2:
            if scheme is Scheme.PLAIN:
                found = f"only the tag {labels[0]!r}" if labels else "no tag"
            else:
                found = f"no entity of the scheme {scheme}, only tags such as {listed(sorted(counts), most=3)}"
            raise DataError(f"{examples[0].place.source}: the rows hold {found}; a tagger needs two tags or more")
        return self.model_copy(
            update={"labels": labels, "read_scheme": scheme, "counts": tuple(counts[label] for label in labels)}
        )

    def check(self, examples: Sequence[TagExample]) -> None:
        known = set(self.labels)
        for example in examples:
            if example.target is None or known.issuperset(example.target):
                continue
            word, tag = next((word, tag) for word, tag in enumerate(example.target) if tag not in known)
            message = f"the tag {tag!r} of word {word + 1} {example.words[word]!r} is not one of {listed(self.labels)}"
            how = "" if self.spells is Scheme.PLAIN else f" (scheme {self.spells})"
            raise DataError(f"{message}{how}{nearest(tag, known)}", place=example.place_of(word))

    def describe(self) -> str:
        """What the tags are, in a line."""
        if self.spells is Scheme.PLAIN:
            return f"plain tags, {len(self.labels)} of them"
        return f"{self.spells} entities of {len(self.types)} type{'' if len(self.types) == 1 else 's'}"

    def remarks(self, examples: Sequence[TagExample]) -> Sequence[str]:
        return [finding.text + _first(finding) for finding in (*_wordless(examples), *self._flaws(examples))]

    def _flaws(self, examples: Sequence[TagExample]) -> Iterator[Finding]:
        widened = [example for example in examples if example.widened]
        if widened:
            count = sum(example.widened for example in widened)
            text = f"{count:,} spans begin or end inside a word and are widened to whole words"
            yield _flaw("widened-spans", text, [str(each.place) for each in widened])
        targets = [example.target for example in examples if example.target is not None]
        if self.spells is Scheme.PLAIN:
            yield from self._nearly_entities(examples)
            return
        places, rows = [], 0
        for example in examples:
            words = schemes.broken(example.target or (), self.spells)
            rows += bool(words)
            places += [f"{example.place_of(word)} {(example.target or ())[word]!r}" for word in words]
        if places:
            text = f"{len(places):,} tags in {rows:,} rows break the rules of {self.spells}"
            looks = schemes.detect(targets)
            other = f"; these look like {looks}" if looks not in (self.spells, Scheme.PLAIN) else ""
            yield _flaw("broken-tags", text + other, places)

    def _nearly_entities(self, examples: Sequence[TagExample]) -> Iterator[Finding]:
        """Tags that are plain ones, although they look like those of entities, and the few that make them so."""
        if self.scheme != "auto":
            return
        entities = [tag for tag in self.labels if schemes.type_of(tag) is not None]
        others = [tag for tag in self.labels if tag not in entities and tag != schemes.OUTSIDE]
        misspelt = [tag for tag in others if _LOOKS_LIKE_ENTITY.fullmatch(tag)]
        rest = len([tag for tag in others if tag not in misspelt and tag != "o"])
        if len(entities) > len(others) > 0:
            odd, text = {*others}, f"({listed(entities, most=3)}), for want of a prefix in some"
        elif misspelt and rest <= _FEW * len(self.labels):
            odd, text = {*misspelt}, f"({listed(misspelt, most=3)}), for want of prefixes as in 'B-PER'"
        else:
            return
        places = [
            f"{example.place_of(word)} {tag!r}"
            for example in examples
            for word, tag in enumerate(example.target or ())
            if tag in odd
        ]
        if places:
            yield _flaw("nearly-entities", f"tags are taken as plain, not as entities {text}", places)

    def classes(self, example: TagExample) -> Sequence[str]:
        """The types of the entities in a row, or its tags if these spell none; each once."""
        tags = sorted(set(example.target or ()))
        if self._name_no_entities(tags):
            return tags
        # what is no tag of the scheme stands for itself, to be seen
        return list(dict.fromkeys(schemes.type_of(tag) or tag for tag in tags if tag != schemes.OUTSIDE))

    def _name_no_entities(self, tags: Sequence[str]) -> bool:
        """Whether tags are plain; as long as no scheme is known, whether one of these is none of an entity."""
        if self.scheme == "auto" and self.read_scheme is None:
            return any(schemes.type_of(tag) is None for tag in tags if tag != schemes.OUTSIDE)
        return self.spells is Scheme.PLAIN

    def findings(self, examples: Sequence[TagExample]) -> Sequence[Finding]:
        """The scheme of the tags, and what breaks its rules."""
        flaws = [*self._flaws(examples)]  # rows without words are said with those of empty texts
        if not any(example.target for example in examples):
            return flaws
        words = sum(len(example.words) for example in examples)
        good = Finding("good", "scheme", self.describe(), numbers={"scheme": str(self.spells), "words": words})
        return (good, *flaws)

    def encode(self, examples: Sequence[TagExample], tokenizer: Tokenizer, *, max_length: int) -> list[list[Encoded]]:
        room = max_length - tokenizer.overhead(pair=False)
        overlap = max(0, min(OVERLAP, room // 4)) if self.overlap is None else self.overlap
        windows = tokenizer.windows(
            [example.text for example in examples], max_length=max_length, overlap=overlap, spans=True
        )
        return anchored(windows, [example.word_spans for example in examples], pieces=self.pieces)

    def for_training(self, examples: Sequence[TagExample], encoded: Sequence[Sequence[Encoded]]) -> Chosen:
        """All windows that a word is learned from. Says what the tags are."""
        chosen = ([sequence for sequence in sequences if _anchors(sequence).size] for sequences in encoded)
        return Chosen(Sequences(chosen), (f"tags: {self.describe()}",))

    def head(self, config: EncoderConfig, form: HeadForm, *, dropout: float) -> TokenHead:
        from bertsmith.nn.heads import TokenHead

        return TokenHead(width=config.width, outputs=len(self.labels), dropout=dropout)

    def start_head(self, head: Head, *, deviation: float, generator: torch.Generator) -> None:
        from bertsmith.nn.encoder import initialize

        initialize(head, deviation=deviation, generator=generator)

    def loss(self, head: Head, hidden: Tensor, batch: Batch) -> Loss:
        """Cross-entropy, summed over words; the head reads the pieces that stand for them, and no others."""
        import torch
        import torch.nn.functional as F

        number_of = {label: number for number, label in enumerate(self.labels)}
        targets = [np.array([number_of[tag] for tag in example.target], dtype=np.int64) for example in batch.examples]
        pieces, begins, wanted = [], [], []
        for sequence, first, row in zip(
            batch.encoded, batch.layout.first_S.tolist(), batch.row_S.tolist(), strict=True
        ):
            word_A, at_A = _anchors(sequence).T
            pieces.append(at_A.astype(np.int64) + first)
            begins_A = np.diff(word_A, prepend=-1) > 0
            begins.append(begins_A)
            wanted.append(targets[row][word_A[begins_A]])
        piece_A, begins_A, target_G = (
            torch.from_numpy(np.concatenate(each)).to(hidden.device) for each in (pieces, begins, wanted)
        )
        logits_GC: Tensor = head(hidden[piece_A], batch.layout)["logits"].float()
        if self.pieces == "mean":
            group_A = begins_A.cumsum(0) - 1
            sums_GC = logits_GC.new_zeros(len(target_G), logits_GC.shape[1]).index_add(0, group_A, logits_GC)
            logits_GC = sums_GC / torch.bincount(group_A, minlength=len(target_G))[:, None]
        return Loss(F.cross_entropy(logits_GC, target_G, reduction="sum"), targets=len(target_G))

    def decode(self, example: TagExample, encoded: Sequence[Encoded], outputs: Sequence[Output]) -> Tagging:
        score_WC = self._word_scores(len(example.words), encoded, outputs)
        number_W = schemes.viterbi(score_WC, schemes.transitions(self.labels, self.spells))
        weight_WC = np.exp(score_WC - score_WC.max(1, keepdims=True))
        chance_W = np.take_along_axis(weight_WC, number_W[:, None], axis=1)[:, 0] / weight_WC.sum(1)
        return self._tagging(example, [self.labels[number] for number in number_W.tolist()], chance_W.tolist())

    def _word_scores(self, words: int, encoded: Sequence[Encoded], outputs: Sequence[Output]) -> NDArray[np.float64]:
        """The logits of every word, ``[W, C]``: equal ones, but for a trace more of the usual tag, of no piece."""
        score_WC, count_W = np.zeros((words, len(self.labels))), np.zeros(words)
        for sequence, output in zip(encoded, outputs, strict=True):
            word_A, at_A = _anchors(sequence).T
            np.add.at(score_WC, word_A, output["logits"][at_A])
            count_W += np.bincount(word_A, minlength=words)
        score_WC /= np.maximum(count_W, 1)[:, None]
        score_WC[count_W == 0, self.labels.index(self._usual())] = 1e-6
        return score_WC

    def _usual(self) -> str:
        """O, or the commonest tag if tags spell no entities."""
        if self.spells is not Scheme.PLAIN:
            return schemes.OUTSIDE
        return self.labels[int(np.argmax(self.counts))] if self.counts else self.labels[0]

    def _tagging(self, example: TagExample, tags: Sequence[str], probabilities: Sequence[float]) -> Tagging:
        spans = [(start, stop) for start, stop in example.word_spans.tolist()]
        entities = []
        for found in schemes.entities(tags, self.spells):
            start, stop = spans[found.start][0], spans[found.stop - 1][1]
            entities.append(
                TaggedEntity(
                    type=found.type,
                    text=example.text[start:stop],
                    start=start,
                    stop=stop,
                    words=(found.start, found.stop),
                    probability=float(np.prod(probabilities[found.start : found.stop])),
                )
            )
        return Tagging(
            words=example.words,
            tags=tuple(tags),
            probabilities=tuple(probabilities),
            text=example.text,
            word_spans=tuple(spans),
            scheme=self.spells,
            entities=tuple(entities),
            from_text=example.from_text,
        )

    def baseline(self, examples: Sequence[TagExample]) -> Sequence[Tagging] | None:
        """O for every word, or the commonest tag of the training data if tags spell no entities."""
        if not self.counts:
            return None
        usual = self._usual()
        return [self._tagging(each, [usual] * len(each.words), [1.0] * len(each.words)) for each in examples]

    def agreeing(self, examples: Sequence[TagExample]) -> Callable[[Tagging, Tagging], Sequence[bool]]:
        """Each word's tag is a decision."""
        return lambda one, other: [tag == other_tag for tag, other_tag in zip(one.tags, other.tags, strict=True)]

    def collapsed(self, examples: Sequence[TagExample], predictions: Sequence[Tagging]) -> str | None:
        given = {tag for prediction in predictions for tag in prediction.tags}
        wanted = {tag for example in examples for tag in example.target or ()}
        if len(given) != 1 or len(wanted) < 2:
            return None
        return f"collapsed: every word is answered with {next(iter(given))!r}"

    def main_score(self) -> str:
        return "accuracy" if self.spells is Scheme.PLAIN else "f1"

    def scorer(self, examples: Sequence[TagExample], predictions: Sequence[Tagging]) -> Scorer:
        if self.spells is Scheme.PLAIN:
            return self._plain_scorer(examples, predictions)
        strict_R3, lenient_R3, word_R2 = (
            np.array(counts, dtype=np.float64)
            for counts in zip(*(self._counted(*each) for each in zip(examples, predictions, strict=True)), strict=True)
        )

        def scores(rows: NDArray[np.int64]) -> Mapping[str, float | None]:
            times_R = np.bincount(rows, minlength=len(word_R2)).astype(np.float64)
            strict = metrics.Found.of(*(times_R @ strict_R3).tolist())
            right, words = (times_R @ word_R2).tolist()
            return {
                "f1": strict.f1,
                "precision": strict.precision,
                "recall": strict.recall,
                "conlleval_f1": metrics.Found.of(*(times_R @ lenient_R3).tolist()).f1,
                "accuracy": right / words if words else None,
            }

        return scores

    def _counted(
        self, example: TagExample, prediction: Tagging
    ) -> tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int]]:
        """Entities right, given and wanted: strictly, and as conlleval counts them; words right, and all words."""
        wanted, given = example.target or (), prediction.tags
        strict = _matched(schemes.entities(given, self.spells), schemes.entities(wanted, self.spells))
        lenient = _matched(schemes.entities_conlleval(given), schemes.entities_conlleval(wanted))
        return strict, lenient, (_right(given, wanted), len(wanted))

    def _plain_scorer(self, examples: Sequence[TagExample], predictions: Sequence[Tagging]) -> Scorer:
        from scipy.sparse import coo_matrix

        number_of = {label: number for number, label in enumerate(self.labels)}
        row_W = np.repeat(np.arange(len(examples)), [len(example.words) for example in examples])
        wanted_W, given_W = (
            np.array([number_of[tag] for tags in each for tag in tags], dtype=np.int64)
            for each in ([e.target or () for e in examples], [p.tags for p in predictions])
        )
        shape = (len(self.labels), len(examples))
        right_W = wanted_W == given_W
        # how often each tag is right, given, wanted in every row: few of them, so only what is not 0 is kept
        right_CR, given_CR, wanted_CR = (
            coo_matrix((np.ones(len(tag_W)), (tag_W, row)), shape=shape).tocsr()
            for tag_W, row in ((wanted_W[right_W], row_W[right_W]), (given_W, row_W), (wanted_W, row_W))
        )

        def scores(rows: NDArray[np.int64]) -> Mapping[str, float | None]:
            times_R = np.bincount(rows, minlength=shape[1]).astype(np.float64)
            right_C, given_C, wanted_C = right_CR @ times_R, given_CR @ times_R, wanted_CR @ times_R
            there_C = given_C + wanted_C > 0
            if not there_C.any():
                return {"accuracy": None, "macro_f1": None}
            f1_C = 2 * right_C[there_C] / (given_C + wanted_C)[there_C]
            return {"accuracy": float(right_C.sum() / wanted_C.sum()), "macro_f1": float(f1_C.mean())}

        return scores

    def target_record(self, target: tuple[str, ...]) -> Any:
        return list(target)

    def details(
        self, examples: Sequence[TagExample], predictions: Sequence[Tagging]
    ) -> Mapping[str, Mapping[str, float]]:
        """Of every type of entity, strictly; or of every tag."""
        right, given, wanted = Counter[str](), Counter[str](), Counter[str]()
        for example, prediction in zip(examples, predictions, strict=True):
            tags, gold = prediction.tags, example.target or ()
            if self.spells is Scheme.PLAIN:
                given.update(tags)
                wanted.update(gold)
                right.update(tag for tag, other in zip(tags, gold, strict=True) if tag == other)
                continue
            found, expected = (schemes.entities(each, self.spells) for each in (tags, gold))
            given.update(entity.type for entity in found)
            wanted.update(entity.type for entity in expected)
            right.update(entity.type for entity in {*found} & {*expected})
        details = {}
        for name in self.labels if self.spells is Scheme.PLAIN else self.types:
            score = metrics.Found.of(right[name], given[name], wanted[name])
            details[name] = {
                "precision": score.precision or 0.0,
                "recall": score.recall or 0.0,
                "f1": score.f1 or 0.0,
                "support": wanted[name],
            }
        return details

    @classmethod
    def from_transformers(cls, config: Mapping[str, Any]) -> Self | None:
        labels = label_names(config)
        return cls(labels=labels, read_scheme=schemes.scheme_of_labels(labels))

    def to_transformers(self) -> Mapping[str, Any]:
        return {
            "id2label": {str(number): label for number, label in enumerate(self.labels)},
            "label2id": {label: number for number, label in enumerate(self.labels)},
        }


TASK = Tag


def _check_no_brackets(examples: Sequence[TagExample]) -> None:
    """Raises DataError for the first tag that is a bracket of CoNLL-2012, where plain tags would be learned."""
    for example in examples:
        for word, tag in enumerate(example.target or ()):
            if _BEGINS_BRACKET.fullmatch(tag):
                message = (
                    f"the tag {tag!r} of word {word + 1} {example.words[word]!r} is in the bracket form of CoNLL-2012"
                    " ('(PERSON*', '*', '*)'; its last column is coreference); write the entities as B-PERSON, I-PERSON"
                    " and O (docs/tag.md has a command for it), or give --scheme plain to learn the tags as they are"
                )
                raise DataError(message, place=example.place_of(word))


def _anchors(sequence: Encoded) -> NDArray[np.int32]:
    assert sequence.anchors is not None, "words are answered by the pieces that stand for them"
    return sequence.anchors


def _matched(given: Sequence[schemes.Entity], wanted: Sequence[schemes.Entity]) -> tuple[int, int, int]:
    return len({*given} & {*wanted}), len(given), len(wanted)


def _right(given: Sequence[str], wanted: Sequence[str]) -> int:
    return sum(tag == other for tag, other in zip(given, wanted, strict=True))


def _wordless(examples: Sequence[TagExample]) -> Iterator[Finding]:
    """What a check of the data says for every task already, of texts that are empty."""
    empty = [example for example in examples if not example.words]
    if empty:
        yield _flaw("no-words", f"{len(empty):,} rows hold no word", [str(each.place) for each in empty])


def _flaw(check: str, text: str, places: Sequence[str]) -> Finding:
    return Finding("warn", check, text, tuple(places[:5]), {"count": len(places)})


def _first(finding: Finding) -> str:
    return f", the first of them {finding.places[0]}" if finding.places else ""
