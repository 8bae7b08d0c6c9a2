"""How answers in a text are scored: exact match and F1 as SQuAD's official scripts define them.

Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", §6.1; with unanswerable
questions Rajpurkar et al. 2018, "Know What You Don't Know", §4.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
# The first of these in a question is its type; the longer before the shorter that it begins with.
_TYPES = ("how many", "how much", "how long", "how", "whose", "whom", "who", "what", "when", "where", "which", "why")
_TYPE = re.compile(rf"\b({'|'.join(_TYPES)})\b")
_SAME_TYPE = {"whose": "who", "whom": "who", "how much": "how many"}


def normalized(answer: str) -> str:
    """An answer in lower case, without punctuation (ASCII's), articles and needless blanks."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_WITHOUT_PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> float:
    """1 if both are the same when normalized, else 0."""
    return float(normalized(answer) == normalized(gold))


def f1(answer: str, gold: str) -> float:
    """The harmonic mean of precision and recall over the words of both; 0 where they share none."""
    given, wanted = normalized(answer).split(), normalized(gold).split()
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted)) if common else 0.0


def best(score: Callable[[str, str], float], answer: str, golds: Sequence[str], *, unanswerable: bool = False) -> float:
    """The highest score over several right answers.

    unanswerable: score as SQuAD 2.0 does, where a question may have no answer, and ``""`` is the answer that says so:
    gold answers of articles and punctuation alone do not count, and two empty answers are the same.
    """
    if unanswerable:
        golds = [gold for gold in golds if normalized(gold)] or [""]
        if not (normalized(answer) and all(golds)):
            return max(exact_match(answer, gold) for gold in golds)
    return max((score(answer, gold) for gold in golds), default=0.0)


def question_type(question: str) -> str:
    """``who``, ``how many``, … by the first such word in an English question; ``other`` where it has none."""
    found = _TYPE.search(question.lower())
    return _SAME_TYPE.get(found[0], found[0]) if found else "other"
