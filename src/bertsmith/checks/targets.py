"""Classes: how many rows of each there are, in which files, and names that may mean the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from bertsmith.checks.splits import PLACES, share
from bertsmith.errors import DataError, listed, nearest
from bertsmith.records import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bertsmith.checks.splits import Split
    from bertsmith.records import Level
    from bertsmith.tasks import Task

# A class is rare with fewer rows than FEWEST, or with less than RARE of all if that is less than a tenth of its even
# share (of 150 intents each may well have less than 1 %); a class of more than MOST crowds out the others.
FEWEST, RARE, MOST = 10, 0.01, 0.9
# How many classes a line of text counts; numbers have them all.
SHOWN = 8


def count_classes(task: Task[Any, Any], split: Split) -> Counter[str]:
    """How often each class is there, the commonest first."""
    counts: Counter[str] = Counter()
    for example in split.examples:
        counts.update(task.classes(example))
    return Counter(dict(sorted(counts.items(), key=lambda each: (-each[1], each[0]))))


def class_counts(counts: Mapping[str, int], rows: int) -> Iterator[Finding]:
    """A line that counts the classes of a file; none for a task without classes."""
    if counts:
        shown = [f"{name!r} {count:,} ({share(count, rows)})" for name, count in list(counts.items())[:SHOWN]]
        rest = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
        yield Finding("good", "classes", f"{len(counts)}: {', '.join(shown)}{rest}", numbers=dict(counts))


def class_balance(task: Task[Any, Any], train: Split, counts: Mapping[str, int]) -> Iterator[Finding]:
    """Warns of classes of the training data that are rare, and of one that is nearly all there is."""
    rows = len(train.examples)
    rare_below = rows * min(RARE, 0.1 / max(1, len(counts)))
    rare = {name: count for name, count in counts.items() if count < FEWEST or count < rare_below}
    if rare:
        fewest = sorted(rare.items(), key=lambda each: each[1])
        shown = ", ".join(f"{name!r} {count:,}" for name, count in fewest[:SHOWN])
        rest = f" and {len(rare) - SHOWN} more" if len(rare) > SHOWN else ""
        what = "class has" if len(rare) == 1 else "classes have"
        text = f"{len(rare)} {what} few rows to learn from: {shown}{rest}"
        yield Finding("warn", "rare-classes", text, numbers=dict(fewest))
    for name, count in counts.items():
        if len(counts) > 1 and count > MOST * rows and all(_is_one_class(task, each) for each in train.examples):
            text = f"{name!r} is {share(count, rows)} of all: whoever always says so scores as much in accuracy"
            yield Finding("warn", "majority", text, numbers={"rows": count, "share": count / rows})


def _is_one_class(task: Task[Any, Any], example: Any) -> bool:
    """Whether a row's target is a class, and not several of them, or something in which one stands."""
    names = task.classes(example)
    return len(names) == 1 and bool(task.target_record(example.target) == names[0])


def similar_names(counts: Sequence[Mapping[str, int]]) -> Iterator[Finding]:
    """Warns of names, in any of the files, that differ in nothing but case, blanks, ``-`` and ``_``."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    alike: dict[str, list[str]] = defaultdict(list)
    for name in total:
        folded = "".join(name.casefold().replace("_", "").replace("-", "").split())
        alike[folded or name].append(name)
    found = [names for names in alike.values() if len(names) > 1]
    if found:
        shown = "; ".join(" and ".join(f"{name!r} ({total[name]:,})" for name in names) for names in found[:PLACES])
        rest = f" and {len(found) - PLACES} more" if len(found) > PLACES else ""
        text = f"names that differ only in case or blanks: {shown}{rest}"
        yield Finding("warn", "similar-classes", text, numbers={"groups": len(found)})


def compare_classes(
    task: Task[Any, Any],
    train: Split,
    other: Split,
    in_train: Mapping[str, int],
    in_other: Mapping[str, int],
    *,
    learned: bool,
) -> Iterator[Finding]:
    """Classes that only one of the files has: a failure where training would stop at them.

    learned: whether the task has learned from the training file; if not, what it would stop at is not known.
    """
    if not in_train or not in_other:
        return
    new = [name for name in in_other if name not in in_train]
    missing = [name for name in in_train if name not in in_other]
    if new:
        rows: dict[str, list[int]] = {name: [] for name in new}
        for row, example in enumerate(other.examples):
            for name in task.classes(example):
                if name in rows:
                    rows[name].append(row)
        refused = [name for name in new if learned and refusal(task, [other.examples[rows[name][0]]])]
        places = tuple(
            f"{other.place(rows[name][0])} {name!r}{nearest(name, in_train)}" for name in (refused or new)[:PLACES]
        )
        text = f"{other.name}: {_classes(len(new))} not in {train.name}: {listed(new, most=SHOWN)}"
        level: Level = "fail" if refused else "warn"
        yield Finding(level, "new-classes", text, places, {name: len(rows[name]) for name in new})
    if missing:
        text = f"{other.name}: {_classes(len(missing))} of {train.name} not there, and so not scored"
        text += f": {listed(missing, most=SHOWN)}"
        yield Finding("warn", "missing-classes", text, numbers={name: in_train[name] for name in missing})
    if not new and not missing:
        text = f"{other.name} has the classes of {train.name}, all {len(in_train)}"
        yield Finding("good", "same-classes", text, numbers={"classes": len(in_train)})


def refusal(learned: Task[Any, Any], examples: Sequence[Any]) -> DataError | None:
    """What the task, having learned, says of the first example that it cannot be scored on; None of none."""
    try:
        learned.check(examples)
    except DataError as error:
        return error
    return None


def _classes(count: int) -> str:
    return f"{count:,} class{'' if count == 1 else 'es'}"
