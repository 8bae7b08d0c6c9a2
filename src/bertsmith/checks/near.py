"""Rows that are nearly the same, found without comparing all with all.

Two texts are nearly the same if of the runs of 5 characters that either holds both hold four in five (Jaccard
similarity 0.8, Broder 1997, "On the Resemblance and Containment of Documents"), after folding; of two texts a row, if
that is so of each. Candidates are found by MinHash: 80 least hashes of a row's runs, in 16 bands of 5, and rows that
agree in a band are compared exactly, each with at most four before it in that band. So nothing is reported that is not
so; a pair at the threshold is missed about once in 600, closer pairs less often. Of a row, the first 2,000 characters
are read; rows of fewer than 20 are left out, as one letter more or less is much to them.

Texts that many rows share (the passages of questions) are compared in the same way, each once, between files.

Time grows with the characters: about 2 s for SST-2's 67,349 phrases on a busy core.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsmith.checks.splits import PLACES, counted, share, source_keys
from bertsmith.records import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bertsmith.checks.splits import Key, Split
    from bertsmith.records import Level
    from bertsmith.tasks import Task

ALIKE = 0.8
RUN = 5
SHORTEST, LONGEST = 20, 2000
BANDS, PER_BAND = 16, 5
BEFORE = 4
# Within one file, fewer rows than this share are no cause for a warning.
FEW = 0.01
# An estimate this low from 80 hashes means less than ALIKE with 99.9 % certainty.
_AGREE = 0.65
_BLOCK = 1 << 18  # characters hashed at once, few enough for a processor's cache
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of SplitMix64


@dataclass(frozen=True, slots=True)
class _Near:
    """A row, of the split with this number, and an earlier one that it is nearly the same as."""

    split: int
    row: int
    of_split: int
    of_row: int


def near_duplicates(task: Task[Any, Any], splits: Sequence[Split]) -> tuple[list[list[Finding]], list[Finding]]:
    """The findings within every file, and those between two."""
    grouped: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    for near in _found(task, splits):
        grouped[near.split, near.of_split].setdefault(near.row, near.of_row)
    within = [list(_within(split, grouped[number, number])) for number, split in enumerate(splits)]
    across = [
        _across(splits[number], splits[other], grouped[number, other])
        for other in range(len(splits))
        for number in range(other + 1, len(splits))
        if grouped[number, other]
    ]
    return within, across


def _within(split: Split, found: dict[int, int]) -> Iterator[Finding]:
    if not any(split.keys):
        return
    text = f"{counted(len(found), 'row')} ({share(len(found), len(split.keys))}) nearly the same as an earlier one"
    places = tuple(f"{split.place(row)} ≈ {split.place(first)}" for row, first in sorted(found.items())[:PLACES])
    numbers = {"rows": len(found), "of": len(split.keys), "share": len(found) / len(split.keys)}
    level: Level = "warn" if len(found) >= FEW * len(split.keys) else "good"
    yield Finding(level, "near-duplicates", text if found else "no row is nearly the same as another", places, numbers)


def _across(split: Split, train: Split, found: dict[int, int]) -> Finding:
    text = f"nearly the same as one of {train.name}"
    return Finding("warn", "near-leakage", *_between(split, train, found, text))


def _of_sources(split: Split, train: Split, found: dict[int, int]) -> Finding:
    text = f"on a text nearly the same as one that rows of {train.name} are on"
    return Finding("warn", "near-sources", *_between(split, train, found, text))


def _between(
    split: Split, train: Split, found: dict[int, int], what: str
) -> tuple[str, tuple[str, ...], dict[str, float | int | str]]:
    """The text, places and numbers of a finding on rows of a file, each with one of an earlier file."""
    rows = f"{counted(len(found), 'row')} of {len(split.keys):,} ({share(len(found), len(split.keys))})"
    places = tuple(f"{split.place(row)} ≈ {train.place(first)}" for row, first in sorted(found.items())[:PLACES])
    numbers = {"rows": len(found), "of": len(split.keys), "share": len(found) / len(split.keys)}
    return f"{split.name}: {rows} {what}", places, {**numbers, "file": split.name, "in": train.name}


def near_sources(task: Task[Any, Any], splits: Sequence[Split]) -> Iterator[Finding]:
    """Warns of rows on a source (a passage, say) that is nearly the same as one that an earlier file's rows are on."""
    rows_of = [_rows_of_sources(task, split) for split in splits]
    texts = [text for text in dict.fromkeys(text for rows in rows_of for text in rows) if len(text) >= SHORTEST]
    pairs = [(texts[a], texts[b]) for a, b in _pairs([(text,) for text in texts], [0] * len(texts))]
    pairs += [pair[::-1] for pair in pairs]  # either of a pair may be the one in the earlier file
    for earlier, later in combinations(range(len(splits)), 2):
        found: dict[int, int] = {}
        for text, other in pairs:
            if text in rows_of[earlier] and other not in rows_of[earlier]:
                first = rows_of[earlier][text][0]
                for row in rows_of[later].get(other, ()):
                    found[row] = min(found.get(row, first), first)
        if found:
            yield _of_sources(splits[later], splits[earlier], found)


def _rows_of_sources(task: Task[Any, Any], split: Split) -> dict[str, list[int]]:
    """The rows on each source."""
    rows: dict[str, list[int]] = {}
    for row in range(len(split.keys)):
        for text in source_keys(task, split, row):
            rows.setdefault(text, []).append(row)
    return rows


def _found(task: Task[Any, Any], splits: Sequence[Split]) -> Iterator[_Near]:
    """Every row that is nearly the same as an earlier one; rows that are quite the same stand for one another."""
    parts: list[Key] = []
    salts: list[int] = []
    owners: list[tuple[int, int]] = []
    seen: set[Key] = set()
    for number, split in enumerate(splits):
        for row, key in enumerate(split.keys):
            if key and key not in seen:
                seen.add(key)
                own, salt = _own_parts(task, split, row)
                if sum(map(len, own)) >= SHORTEST:
                    parts.append(own)
                    salts.append(salt)
                    owners.append((number, row))
    for first, later in _pairs(parts, salts):
        yield _Near(*owners[later], *owners[first])


def _pairs(parts: Sequence[Key], salts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Which of these rows of texts are nearly the same, the earlier one first; only those of one salt are compared."""
    if len(parts) < 2:
        return
    texts = ["\n".join(own)[:LONGEST] for own in parts]
    signature_RH = _signatures(texts, np.array(salts, dtype=np.uint64))

    @lru_cache(10_000)  # a row is in several pairs, and all rows' runs would be hundreds of megabytes
    def runs(row: int) -> tuple[frozenset[str], ...]:
        return tuple(_runs(part) for part in texts[row].split("\n"))

    for first, later in _candidates(signature_RH):
        if salts[first] == salts[later] and _alike(runs(first), runs(later)):
            yield first, later


def _own_parts(task: Task[Any, Any], split: Split, row: int) -> tuple[Key, int]:
    """The folded texts of a row that are its own, and a number that stands for those that it shares with others.

    Of questions on passages, only those on the same passage are compared.
    """
    key, example = split.keys[row], split.examples[row]
    sources = task.sources(example)
    if not sources:
        return key, 0
    own = [text not in sources for text in task.content(example)]
    shared = "\n".join(text for text, is_own in zip(key, own, strict=True) if not is_own)
    return tuple(text for text, is_own in zip(key, own, strict=True) if is_own), zlib.crc32(shared.encode())


def _signatures(texts: Sequence[str], salt_R: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The least hashes of every text's runs, ``[rows, hashes]``; texts hold at least one run."""
    factors = np.random.default_rng(0).integers(1 << 63, size=BANDS * PER_BAND, dtype=np.uint64) * np.uint64(2)
    factors += np.uint64(1)  # odd, so that multiplying loses nothing
    signature_HR = np.empty((len(factors), len(texts)), dtype=np.uint32)
    start = 0
    while start < len(texts):
        stop, characters = start, 0
        while stop < len(texts) and (stop == start or characters + len(texts[stop]) <= _BLOCK):
            characters += len(texts[stop])
            stop += 1
        hash_N, first_R = _hashes(texts[start:stop], salt_R[start:stop])
        for number, factor in enumerate(factors):
            least_R = np.minimum.reduceat(hash_N * factor, first_R)
            signature_HR[number, start:stop] = least_R >> np.uint64(32)
        start = stop
    return np.ascontiguousarray(signature_HR.T)


def _hashes(texts: Sequence[str], salt_R: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The hashes of all runs of all texts, one text's after another's, and where each text's begin."""
    code_C = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    length_R = np.array([len(text) for text in texts])
    count_R = length_R - RUN + 1
    hash_C = code_C[: len(code_C) - RUN + 1].copy()
    for step in range(1, RUN):
        hash_C = hash_C * np.uint64(0x100000001B3) + code_C[step : len(code_C) - RUN + 1 + step]
    # a run that begins in a text's last four characters would end in the next text
    whole_C = np.ones(len(code_C), dtype=bool)
    for step in range(1, RUN):
        whole_C[np.cumsum(length_R) - step] = False
    hash_N = hash_C[whole_C[: len(hash_C)]] ^ np.repeat(salt_R << np.uint64(16), count_R)
    hash_N ^= hash_N >> np.uint64(30)
    hash_N *= _MIX[0]
    hash_N ^= hash_N >> np.uint64(27)
    hash_N *= _MIX[1]
    hash_N ^= hash_N >> np.uint64(31)
    return hash_N, np.concatenate([[0], np.cumsum(count_R)[:-1]])


def _candidates(signature_RH: NDArray[np.uint32]) -> list[tuple[int, int]]:
    """Pairs of rows, the earlier first, that agree in a band and by all their hashes may well be alike."""
    rows = len(signature_RH)
    codes = []
    for band in range(BANDS):
        hash_R = np.zeros(rows, dtype=np.uint64)
        for column in signature_RH[:, band * PER_BAND : (band + 1) * PER_BAND].T:
            hash_R = (hash_R ^ column) * _MIX[0]
            hash_R ^= hash_R >> np.uint64(29)
        order_R = np.argsort(hash_R, kind="stable")
        sorted_R = hash_R[order_R]
        for step in range(1, min(BEFORE, rows - 1) + 1):
            same = sorted_R[:-step] == sorted_R[step:]
            codes.append(order_R[:-step][same] * rows + order_R[step:][same])
    pair_P = np.unique(np.concatenate(codes))
    first_P, later_P = np.divmod(pair_P, rows)
    agree_P = np.zeros(len(pair_P))
    for column in signature_RH.T:
        agree_P += column[first_P] == column[later_P]
    likely = agree_P >= _AGREE * signature_RH.shape[1]
    return list(zip(first_P[likely].tolist(), later_P[likely].tolist(), strict=True))


def _runs(text: str) -> frozenset[str]:
    """The runs of a text; of one shorter than a run, itself."""
    return frozenset(text[start : start + RUN] for start in range(max(1, len(text) - RUN + 1)))


def _alike(parts: Sequence[frozenset[str]], others: Sequence[frozenset[str]]) -> bool:
    if len(parts) != len(others):
        return False
    for runs, other in zip(parts, others, strict=True):
        least, most = sorted((len(runs), len(other)))
        if least < ALIKE * most:
            return False
        both = len(runs & other)
        if both < ALIKE * (least + most - both):
            return False
    return True
