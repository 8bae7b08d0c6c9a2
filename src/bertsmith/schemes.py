"""Tagging schemes: how the tags of single words spell entities, which sequences are legal, and the best legal one.

IOB1 and IOB2 (Ramshaw and Marcus 1995; Tjong Kim Sang and Veenstra 1999), BIOES, BILOU (Ratinov and Roth 2009), BMES
(usual for Chinese), and tags that spell no entities, as parts of speech do.

Letters: W words of a sequence, C labels.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

OUTSIDE: Final = "O"


class Scheme(enum.StrEnum):
    """How tags spell entities. ``I-PER`` has the prefix I and the type PER; O stands outside of all entities.

    IOB1: I, and B only where an entity directly follows another of its type. IOB2: B, then I. BIOES: B, I, E, or S for
    an entity of one word. BILOU: the same with L for E and U for S. BMES: the same as BIOES with M for I. PLAIN: tags
    without prefixes.
    """

    IOB1 = "iob1"
    IOB2 = "iob2"
    BIOES = "bioes"
    BILOU = "bilou"
    BMES = "bmes"
    PLAIN = "plain"

    def __str__(self) -> str:
        return "plain" if self is Scheme.PLAIN else self.value.upper()


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity of the words from `start` up to and without `stop`."""

    type: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Transitions:
    """Which label may stand first, ``[C]``, which after which, ``[before, after]``, and which last, ``[C]``."""

    start_C: NDArray[np.bool_]
    allowed_CC: NDArray[np.bool_]
    stop_C: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Rules:
    """A scheme's prefixes, and which may follow which: of any types, or of the same type alone.

    A sequence begins as if O stood before it, and ends as if O stood after it.
    inside, last, single: the prefixes of a word within an entity of several, of the last one, and of the only one.
    """

    prefixes: str
    any_type: frozenset[str]
    same_type: frozenset[str]
    inside: str = "I"
    last: str = "I"
    single: str = "B"

    @property
    def ends(self) -> bool:
        """Whether entities end by prefixes of their own."""
        return self.last != self.inside

    def allow(self, before: tuple[str, str], after: tuple[str, str]) -> bool:
        pair = before[0] + after[0]
        return pair in self.any_type or (pair in self.same_type and before[1] == after[1])


def _pairs(before: str, after: str) -> frozenset[str]:
    return frozenset(a + b for a in before for b in after)


_RULES = {
    Scheme.IOB1: _Rules("BI", any_type=_pairs("OBI", "OI"), same_type=_pairs("BI", "B")),
    Scheme.IOB2: _Rules("BI", any_type=_pairs("OBI", "OB"), same_type=_pairs("BI", "I")),
    Scheme.BIOES: _Rules("BIES", _pairs("OES", "OBS"), _pairs("BI", "IE"), last="E", single="S"),
    Scheme.BILOU: _Rules("BILU", _pairs("OLU", "OBU"), _pairs("BI", "IL"), last="L", single="U"),
    Scheme.BMES: _Rules("BMES", _pairs("OES", "OBS"), _pairs("BM", "ME"), inside="M", last="E", single="S"),
}
_PREFIXES = frozenset("BIESLUM")
_NEITHER = "?"  # the prefix of what is neither O nor an entity's tag
_OUT = (OUTSIDE, "")


@lru_cache(maxsize=1 << 16)
def _parts(tag: str) -> tuple[str, str]:
    """Prefix and type: ``B-PER`` is B and PER, O is O and nothing."""
    if tag == OUTSIDE:
        return _OUT
    if len(tag) > 2 and tag[1] == "-" and tag[0] in _PREFIXES:
        return tag[0], tag[2:]
    return _NEITHER, tag


def type_of(tag: str) -> str | None:
    """The type of an entity's tag; None of O, and of what is no entity's tag."""
    prefix, kind = _parts(tag)
    return kind if prefix in _PREFIXES else None


def detect(sequences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that sequences of tags are in: the one under which the fewest are `broken`.

    So a few broken sequences, or tags of another scheme's prefixes, do not change it. Of several with equally few it is
    the first of IOB2, IOB1, BIOES, BILOU and BMES. PLAIN, unless every tag is O or a known prefix with a type, and one
    is the latter.
    """
    # each tag with the one before it; those that end a sequence apart, as a word counts once, however it is broken
    inner: Counter[tuple[str, ...]] = Counter()
    last: Counter[tuple[str, ...]] = Counter()
    for tags in sequences:
        if tags:
            padded = (OUTSIDE, *tags)
            inner.update(pairwise(padded[:-1]))
            last[padded[-2:]] += 1
    prefixes = {_parts(tag)[0] for _, tag in {*inner, *last}}
    if _NEITHER in prefixes or not _PREFIXES & prefixes:
        return Scheme.PLAIN

    def wrong(scheme: Scheme) -> int:
        may_follow = _RULES[scheme].allow
        total = 0
        for pairs, ends in ((inner, False), (last, True)):
            for (before, tag), count in pairs.items():
                part = _parts(tag)
                legal = may_follow(_parts(before), part) and not (ends and not may_follow(part, _OUT))
                total += 0 if legal else count
        return total

    return min((Scheme.IOB2, Scheme.IOB1, Scheme.BIOES, Scheme.BILOU, Scheme.BMES), key=wrong)


def scheme_of_labels(labels: Sequence[str]) -> Scheme:
    """The scheme of a model that is known by its labels alone.

    B and I of IOB1 look like those of IOB2, which is far more common; I alone is IOB1. Of E and S beside L and U, those
    of more labels count; of M beside I, too. A set without O is PLAIN.
    """
    prefixes = Counter(_parts(label)[0] for label in labels)
    if OUTSIDE not in labels or prefixes[_NEITHER] or not _PREFIXES & prefixes.keys():
        return Scheme.PLAIN
    bioes, bilou = prefixes["E"] + prefixes["S"], prefixes["L"] + prefixes["U"]
    if prefixes["M"] > prefixes["I"]:
        return Scheme.BMES
    if bioes or bilou:
        return Scheme.BIOES if bioes >= bilou else Scheme.BILOU
    return Scheme.IOB2 if prefixes["B"] else Scheme.IOB1


def fits(labels: Iterable[str], scheme: Scheme) -> bool:
    """Whether sequences of these labels can spell entities in a scheme: O is among them, with its prefixes only.

    Where the scheme ends entities by prefixes of their own, one of these must be there. Of PLAIN, all labels are.
    """
    if scheme is Scheme.PLAIN:
        return True
    prefixes = {_parts(label)[0] for label in labels}
    rules = _RULES[scheme]
    needed = {rules.last, rules.single} if rules.ends else {*rules.prefixes}
    return OUTSIDE in prefixes and prefixes <= {*rules.prefixes, OUTSIDE} and bool(prefixes & needed)


def closed(tags: Iterable[str], scheme: Scheme) -> tuple[str, ...]:
    """All labels of a model that has seen these tags: O, and every type with every prefix, in one order.

    O stands first, then the types by name. So every label has a legal way to go on. Tags of other schemes are left
    out; of PLAIN, all tags are labels, by name.
    """
    if scheme is Scheme.PLAIN:
        return tuple(sorted(set(tags)))
    prefixes = _RULES[scheme].prefixes
    types = {kind for prefix, kind in map(_parts, set(tags)) if prefix in prefixes}
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in sorted(types) for prefix in prefixes))


def broken(tags: Sequence[str], scheme: Scheme) -> list[int]:
    """The words whose tag may not follow the one before it; the last word, too, if a sequence may not end with it."""
    if scheme is Scheme.PLAIN:
        return []
    allow = _RULES[scheme].allow
    parts = [_OUT, *map(_parts, tags), _OUT]
    wrong = [at for at, (before, after) in enumerate(pairwise(parts)) if not allow(before, after)]
    return sorted({min(at, len(tags) - 1) for at in wrong})


@lru_cache(maxsize=64)
def transitions(labels: tuple[str, ...], scheme: Scheme) -> Transitions:
    """Which of these labels may begin a sequence, follow each other, and end it. Do not change the arrays."""
    if scheme is Scheme.PLAIN:
        all_C = np.ones(len(labels), dtype=bool)
        return Transitions(all_C, np.ones((len(labels), len(labels)), dtype=bool), all_C)
    allow = _RULES[scheme].allow
    parts = [_parts(label) for label in labels]
    return Transitions(
        start_C=np.array([allow(_OUT, part) for part in parts]),
        allowed_CC=np.array([[allow(before, after) for after in parts] for before in parts]),
        stop_C=np.array([allow(part, _OUT) for part in parts]),
    )


def viterbi(score_WC: NDArray[np.float64], legal: Transitions) -> NDArray[np.int64]:
    """The labels of the legal sequence with the highest sum of scores (Viterbi 1967), ``[W]``.

    Scores must be finite, and one legal sequence must exist: of `closed` labels one always does.
    """
    best_W: NDArray[np.int64] = score_WC.argmax(1)
    if not len(best_W) or (
        legal.start_C[best_W[0]] and legal.stop_C[best_W[-1]] and legal.allowed_CC[best_W[:-1], best_W[1:]].all()
    ):
        return best_W
    label_C = np.arange(score_WC.shape[1])
    # [after, before], so that the search is along rows
    barred_CC = np.where(legal.allowed_CC.T, 0.0, -np.inf)
    total_C = score_WC[0] + np.where(legal.start_C, 0.0, -np.inf)
    came_from_WC = np.zeros(score_WC.shape, dtype=np.int64)
    for word in range(1, len(score_WC)):
        reached_CC = barred_CC + total_C
        came_from_WC[word] = reached_CC.argmax(1)
        total_C = reached_CC[label_C, came_from_WC[word]] + score_WC[word]
    total_C = total_C + np.where(legal.stop_C, 0.0, -np.inf)
    assert total_C.max() > -np.inf, "no sequence of these labels is legal"
    best_W[-1] = total_C.argmax()
    for word in range(len(score_WC) - 1, 0, -1):
        best_W[word - 1] = came_from_WC[word, best_W[word]]
    return best_W


def entities(tags: Sequence[str], scheme: Scheme) -> list[Entity]:
    """The entities that tags spell, strictly: what breaks the scheme's rules begins, and ends, none.

    On legal sequences there is one reading. On broken ones this is that of seqeval's strict mode, word for word.
    """
    if scheme is Scheme.PLAIN:
        return []
    found = []
    parts = [*map(_parts, tags), _OUT]
    rules = _RULES[scheme]
    begun, goes_on = f"B{rules.inside}", f"{rules.inside}{rules.last}"
    at, before = 0, _OUT
    while at < len(tags):
        part = parts[at]
        if part is _OUT or not _begins(before, part, scheme):
            at, before = at + 1, part
            continue
        stop = at + 1
        while parts[stop - 1][0] in begun and parts[stop][0] in goes_on and parts[stop][1] == part[1]:
            stop += 1
        before = parts[stop - 1]
        if _ends(before, parts[stop], scheme):
            found.append(Entity(part[1], at, stop))
        at = stop
    return found


def _begins(before: tuple[str, str], part: tuple[str, str], scheme: Scheme) -> bool:
    """Whether an entity begins here, given that none goes on from the word before."""
    prefix = part[0]
    if scheme is Scheme.IOB2:
        return prefix == "B"
    if scheme is Scheme.IOB1:
        after_its_type = before[0] in "BI" and before[1] == part[1]
        return after_its_type if prefix == "B" else prefix == "I" and (before[0] != "I" or not after_its_type)
    return prefix in ("B", _RULES[scheme].single)


def _ends(last: tuple[str, str], after: tuple[str, str], scheme: Scheme) -> bool:
    """Whether what began is an entity if it stops with `last`, and `after` is the next word."""
    rules = _RULES[scheme]
    if rules.ends:
        return last[0] in (rules.last, rules.single)
    # in IOB1 nothing may go on with a B of another type
    return scheme is Scheme.IOB2 or not (last[0] == after[0] == "B" and last[1] != after[1])


_AS_BIOES = {"L": "E", "U": "S", "M": "I"}


def entities_conlleval(tags: Sequence[str]) -> list[Entity]:
    """The entities that tags spell, leniently: the reading of conlleval.pl, CoNLL-2000's scorer, of any scheme.

    A word goes on with the entity before it if that is of its type and not ended by E or S, and the word has I or E;
    else it begins another, whatever its prefix.
    """
    found = []
    start, before = 0, _OUT
    for at, (prefix, kind) in enumerate([*map(_parts, tags), _OUT]):
        now = _AS_BIOES.get(prefix, prefix), kind
        if not (before[0] in "BI" and now[0] in "IE" and before[1] == kind):
            if before[0] in _PREFIXES:
                found.append(Entity(before[1], start, at))
            start = at
        before = now
    return found


def spelled(found: Iterable[Entity], words: int, scheme: Scheme) -> list[str]:
    """The tags of so many words that spell these entities, which must not overlap: what `entities` reads again."""
    assert scheme is not Scheme.PLAIN, "plain tags spell no entities"
    tags = [OUTSIDE] * words
    rules = _RULES[scheme]
    for entity in sorted(found, key=lambda each: each.start):
        words_in = entity.stop - entity.start
        prefixes = ["B", *rules.inside * (words_in - 2), rules.last] if words_in > 1 else [rules.single]
        if scheme is Scheme.IOB1 and not (entity.start and type_of(tags[entity.start - 1]) == entity.type):
            prefixes[0] = "I"
        assert tags[entity.start : entity.stop] == [OUTSIDE] * len(prefixes), f"{entity} overlaps another"
        tags[entity.start : entity.stop] = [f"{prefix}-{entity.type}" for prefix in prefixes]
    return tags
