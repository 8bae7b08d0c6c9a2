"""Which column of a file is which input of a task: as the user says, else guessed by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bertsmith.errors import DataError, SettingsError, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bertsmith.records import Input, Place, Row

_CLIP = 30
_MOST_SHOWN = 12
# Of inputs that are lists, what an empty one says.
_EMPTY = {"answers": "that there is no answer", "spans": "that there is no entity"}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file. cells: their names, or the first row's values where the file is not `named`."""

    cells: tuple[str, ...]
    named: bool
    place: Place

    def __str__(self) -> str:
        shown = [f"{number} {clipped(cell)}" for number, cell in enumerate(self.cells[:_MOST_SHOWN], 1)]
        rest = len(self.cells) - len(shown)
        return ", ".join(shown) + (f" and {rest} more" if rest else "")


@dataclass(frozen=True, slots=True)
class Choice:
    """The column chosen for an input. column: its name, or its number from 1 where there are no names.

    position: from 0. required: a row without it is an error. nullable: a row may hold null for it, and is then without
    it.
    """

    input: str
    column: str
    position: int
    guessed: bool
    required: bool
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Flags:
    """How a command spells what messages name. of_input: the flags of inputs whose flag has not the input's own name.
    header: whether it has a --header."""

    of_input: Mapping[str, str] = field(default_factory=dict)
    header: bool = True

    def __getitem__(self, name: str) -> str:
        return self.of_input.get(name) or f"--{name.replace('_', '-')}"


_FLAGS = Flags()


def header_names(inputs: Sequence[Input], requested: Mapping[str, str]) -> frozenset[str]:
    """The names, lower case, of which a header holds at least one."""
    known = {name.lower() for item in inputs for name in (*item.names, item.name)}
    return frozenset(known | {_plain(name) for name in requested.values()})


def is_header(cells: Sequence[str], names: frozenset[str]) -> bool:
    """Whether one of the cells is one of the names.

    A number that may be a column's is no evidence: with ``--label 3``, a first row with label 3 is a row.
    """
    return any(plain in names and not (plain.isdecimal() and int(plain) <= len(cells)) for plain in map(_plain, cells))


def choose(
    columns: Columns,
    inputs: Sequence[Input],
    requested: Mapping[str, str],
    *,
    training: bool,
    preferred: Mapping[str, str] | None = None,
    flags: Flags = _FLAGS,
) -> tuple[Choice, ...]:
    """A column for each input that is to be read, in the order of the inputs; optional ones may have none.

    preferred: columns to guess first, where the file has them. Without `training`, an input that only training needs
    is left out, even where the file has it. flags: for messages.

    Raises: SettingsError where an input is requested that the task does not have; DataError where a column is
    missing, ambiguous, or requested for two inputs.
    """
    known = [item.name for item in inputs]
    for name in requested:
        if name not in known:
            hint = nearest(name, known)
            raise SettingsError(f"{flags[name]}: the task reads {listed(known)}, not {name!r}{hint}")

    required = {item.name for item in inputs if item.required or (training and item.needed_to_train)}
    wanted = [item for item in inputs if item.name in required or not item.needed_to_train]
    found: dict[str, int] = {}
    for item in wanted:
        if item.name in requested:
            position = _requested(columns, item.name, requested[item.name], flags)
            for other, taken in found.items():
                if taken == position:
                    both = f"{flags[other]} and {flags[item.name]}"
                    raise DataError(f"{both} both name column {position + 1}", place=columns.place)
            found[item.name] = position
    for item in wanted:
        if item.name not in requested:
            used = set(found.values())
            guess = _preferred(columns, (preferred or {}).get(item.name), used)
            if guess is None and columns.named:
                guess = _guessed(columns, item, used, flags)
            if guess is not None:
                found[item.name] = guess

    missing = {item.name: item for item in wanted if item.name in required - found.keys() and item.or_else not in found}
    if missing:
        raise _missing(columns, missing, found, flags)
    return tuple(
        Choice(
            input=item.name,
            column=columns.cells[found[item.name]] if columns.named else str(found[item.name] + 1),
            position=found[item.name],
            guessed=item.name not in requested,
            required=item.name in required and item.or_else not in found,
        )
        for item in wanted
        if item.name in found
    )


def text_of(row: Row, name: str) -> str:
    """The text that the row holds for the input `name`, unchanged.

    Raises: DataError where the row holds none, or no string (JSONL and Parquet may hold numbers).
    """
    value = row.values.get(name)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            message = f"{name} holds half a surrogate pair at character {error.start}; it is not valid Unicode"
            raise DataError(message, place=row.place) from None
        return value
    if value is None:
        raise DataError(f"there is no {name}; it must be a string", place=row.place)
    found = f"{type(value).__name__} {clipped(value)}"
    raise DataError(f"{name} must be a string, got {found}", place=row.place)


def is_null(choice: Choice) -> str:
    """What to say of a row whose column holds null, which may mean anything."""
    says = f"; [], an empty list, says {_EMPTY[choice.input]}" if choice.input in _EMPTY else ""
    return f"{choice.column!r} is null, and {choice.input} needs a value{says}"


def _requested(columns: Columns, name: str, asked: str, flags: Flags) -> int:
    cells = columns.cells
    if columns.named:
        exact = [position for position, cell in enumerate(cells) if cell == asked]
        found = exact or [position for position, cell in enumerate(cells) if _plain(cell) == _plain(asked)]
        if found:
            return _only(columns, name, found, flags)
    if asked.strip().isdecimal():
        number = int(asked)
        if 1 <= number <= len(cells):
            return number - 1
        message = f"{flags[name]} {asked}: there is no column {number}; columns are {columns}"
        raise DataError(message, place=columns.place)
    hint = nearest(asked, cells)
    if columns.named:
        message = f"{flags[name]}: there is no column {asked!r}; columns are {columns}{hint}"
    else:
        message = f"{flags[name]}: there is no column {asked!r}; {_no_header(columns, name, flags)}{hint}"
    raise DataError(message, place=columns.place)


def _preferred(columns: Columns, asked: str | None, taken: set[int]) -> int | None:
    """Where a preferred column is: its name in a file with names, its number in a file without."""
    if asked is None:
        return None
    if columns.named:
        found = [position for position, cell in enumerate(columns.cells) if cell == asked]
    else:
        found = [int(asked) - 1] if asked.isdecimal() and 1 <= int(asked) <= len(columns.cells) else []
    return found[0] if len(found) == 1 and found[0] not in taken else None


def _guessed(columns: Columns, item: Input, taken: set[int], flags: Flags) -> int | None:
    for name in (*item.names, item.name):
        found = [
            position
            for position, cell in enumerate(columns.cells)
            if _plain(cell) == name.lower() and position not in taken
        ]
        if found:
            return _only(columns, item.name, found, flags)
    return None


def _only(columns: Columns, name: str, found: Sequence[int], flags: Flags) -> int:
    if len(found) > 1:
        numbers = " and ".join(str(position + 1) for position in found)
        message = (
            f"column {columns.cells[found[0]]!r} for {name} is there {len(found)} times, as columns {numbers}"
            f"; rename one, or give its number: {flags[name]} {found[0] + 1}"
        )
        raise DataError(message, place=columns.place)
    return found[0]


def _missing(columns: Columns, lacking: Mapping[str, Input], found: Mapping[str, int], flags: Flags) -> DataError:
    missing = [item for item in lacking.values() if not _replaced(item, lacking)]
    what = _joined(missing, " and ", lambda item: f"{item.name} (looked for {listed(item.names or (item.name,))})")
    named = _joined(missing, " ", lambda item: f"{flags[item.name]} {'NAME' if columns.named else 'NUMBER'}")
    if columns.named:
        free = [cell for position, cell in enumerate(columns.cells) if position not in found.values()]
        hints = (nearest(name, free) for item in missing for name in (*item.names, item.name))
        hint = next(filter(None, hints), "")
        wanted = {name.lower() for item in missing for name in (*item.names, item.name)}
        taken = "".join(
            f"; {columns.cells[position]!r} is taken for {name}"
            for name, position in found.items()
            if _plain(columns.cells[position]) in wanted
        )
        message = f"there is no column for {what}; columns are {columns}{taken}; name it: {named}{hint}"
    else:
        message = f"there is no column for {what}; {_no_header(columns, missing[0].name, flags)}: {named}"
    return DataError(message, place=columns.place)


def _replaced(item: Input, lacking: Mapping[str, Input]) -> bool:
    """Whether another lacking input does as well as this one, and this one not as well as the other."""
    other = lacking.get(item.or_else or "")
    return other is not None and other.or_else != item.name


def _joined(missing: Sequence[Input], between: str, shown: Callable[[Input], str]) -> str:
    """Missing inputs for a message, with ``or`` between two of which one is enough."""
    text = ""
    for number, item in enumerate(missing):
        alternative = number > 0 and missing[number - 1].or_else == item.name
        text += (" or " if alternative else between) * (number > 0) + shown(item)
    return text


def _no_header(columns: Columns, name: str, flags: Flags) -> str:
    says = "say --header" if flags.header else f"name its column by {flags[name]}"
    return (
        f"line {columns.place.line} was taken as a row, not as a header, and holds {columns}"
        f"; {says} if it is one, else give column numbers"
    )


def _plain(cell: str) -> str:
    return cell.strip().lower()


def clipped(value: object) -> str:
    """A value for a message: its ``repr``, cut where it is long."""
    shown = repr(value)
    return shown if len(shown) <= _CLIP else shown[:_CLIP] + "…"
