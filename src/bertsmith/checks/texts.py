"""Flaws of the texts themselves: empty, badly decoded, with characters that nobody sees, with remains of HTML."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertsmith.checks.splits import PLACES, counted, share
from bertsmith.records import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bertsmith.checks.splits import Split
    from bertsmith.tasks import Task


@dataclass(frozen=True, slots=True)
class Flaw:
    """What a text may suffer from. what: follows "12 rows". spoils: said before training, too."""

    check: str
    what: str
    has: Callable[[str], object]
    spoils: bool = False


def _pattern(*parts: str) -> Callable[[str], object]:
    return re.compile("|".join(parts)).search


# The characters that the second and later bytes of UTF-8, 0x80 to 0xBF, are in Latin-1 and in Windows-1252.
_LATER = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MOJIBAKE = _pattern(
    # é as Ã©, a no-break space as Â and one; after a capital, Ã and a closing quotation mark may well be Portuguese
    f"(?<![A-ZÀ-ÞÃ])[ÂÃ][{_LATER}]",
    f"â[\u0080€][{_LATER}]",  # quotation marks and dashes
    f"ð[\u009fŸ][{_LATER}]{{2}}",  # emoji
    f"(?:[ÐÑ][{_LATER}]){{2}}",  # Cyrillic
    "ï»¿",  # a byte order mark
)
# Joiners and marks of direction belong into Persian, Hindi, Hebrew, emoji; between Latin letters they are remains.
_INVISIBLE = _pattern(
    "[\u00ad\u180e\u200b\u2060\u202a-\u202e\u2066-\u2069]", "(?<=[A-Za-z])[\u200c-\u200f](?=[A-Za-z])"
)
_HTML = _pattern(
    r"&(?:amp|lt|gt|quot|apos|nbsp|#x[0-9a-fA-F]{1,6}|#\d{1,7});",
    r"(?<!\w)#\d{2,5};",  # an entity whose & was lost
    r"</?(?:a|b|br|div|em|font|h[1-6]|i|img|li|p|pre|span|strong|table|td|tr|u|ul)\b[^<>]*>",
)

FLAWS = (
    Flaw("control-characters", "with control characters", _pattern(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"), True),
    Flaw("replacement-characters", "with U+FFFD, which stands for what could not be decoded", _pattern("\ufffd"), True),
    Flaw("mojibake", "with what looks like UTF-8 read as Latin-1 (Ã© for é)", _MOJIBAKE, True),
    Flaw("byte-order-marks", "with a byte order mark inside", _pattern("\ufeff")),
    Flaw("invisible-characters", "with zero-width characters, soft hyphens or marks of direction", _INVISIBLE),
    Flaw("html", "with HTML (entities or tags)", _HTML),
    Flaw("not-nfc", "with letters and accents apart (not Unicode's form NFC)", lambda text: not _is_nfc(text)),
)
_HTML_SIGNS = re.compile("[&<;]")


def _is_nfc(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text)


def _is_plain(text: str) -> bool:
    """Whether none of the flaws is possible; most texts are settled here, quickly."""
    return text.isascii() and text.isprintable() and not _HTML_SIGNS.search(text)


def text_findings(task: Task[Any, Any], split: Split) -> Iterator[Finding]:
    """A warning for every flaw of a file's texts, with how many rows have it; one good finding if none has any."""
    found = [*_empty(split), *_flawed(task, split, FLAWS)]
    yield from found
    if not found and any(split.keys):
        text = "none is empty; no control characters, mojibake, invisible characters or HTML"
        yield Finding("good", "texts", text)


_KNOWN = 4096  # texts, so that memory does not grow with the rows


def spoiling_findings(task: Task[Any, Any], split: Split) -> Iterator[Finding]:
    """The same, of the flaws that are said before training: what is broken, not what is untidy."""
    yield from _flawed(task, split, [flaw for flaw in FLAWS if flaw.spoils])


def _empty(split: Split) -> Iterator[Finding]:
    rows = [row for row, key in enumerate(split.keys) if not key or not all(key)]
    if rows:
        yield _finding(split, "empty-texts", "with an empty text", rows)


def _flawed(task: Task[Any, Any], split: Split, flaws: Sequence[Flaw]) -> Iterator[Finding]:
    rows_of: dict[str, list[int]] = {flaw.check: [] for flaw in flaws}
    known: dict[str, tuple[str, ...]] = {}  # many rows, mostly neighbours, may share a long text
    for row, example in enumerate(split.examples):
        checks = set[str]()
        for text in task.content(example):
            if _is_plain(text):
                continue
            if text not in known:
                if len(known) == _KNOWN:
                    known.clear()
                known[text] = tuple(flaw.check for flaw in flaws if flaw.has(text))
            checks.update(known[text])
        for check in checks:
            rows_of[check].append(row)
    for flaw in flaws:
        if rows_of[flaw.check]:
            yield _finding(split, flaw.check, flaw.what, rows_of[flaw.check])


def _finding(split: Split, check: str, what: str, rows: Sequence[int]) -> Finding:
    text = f"{counted(len(rows), 'row')} ({share(len(rows), len(split.examples))}) {what}"
    places = tuple(split.place(row) for row in rows[:PLACES])
    return Finding("warn", check, text, places, {"rows": len(rows), "share": len(rows) / len(split.examples)})
