"""Flags made from settings: every name of a settings model is a flag, so that flags and run.toml never differ."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import cyclopts
from cyclopts import Group, Parameter

from bertsmith.errors import SettingsError, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic.fields import FieldInfo

    from bertsmith.records import Input


def parse(
    function: Callable[..., None],
    name: str,
    arguments: Sequence[str],
    *,
    elsewhere: Callable[[], Mapping[str, str]] | None = None,
) -> None:
    """Call `function` with the arguments of a command line.

    elsewhere: gives names of flags that it does not take and other tasks do, with what to say of each.
    Raises SettingsError for arguments that it does not take, with the nearest flag.
    """
    app = cyclopts.App(
        name=f"bertsmith {name}",
        help=_paragraphs(function),
        usage=_usage(function, name),
        help_format="plaintext",
        group_parameters=Group.create_default_parameters("Flags"),
        version_flags=[],
        result_action="return_value",
        suppress_keyboard_interrupt=False,  # it would leave without a word
    )
    app["--help"].show = False  # who reads this knows it
    app.default(function)
    arguments = list(arguments)
    if "-" in arguments and "--" not in arguments:  # a lone -, for standard input, is no flag
        arguments.remove("-")
        arguments += ["--", "-"]
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        raise SettingsError(
            f"{_what_is_wrong(error, name, elsewhere() if elsewhere else {})} (bertsmith {name} --help lists the flags)"
        ) from None


def _paragraphs(function: Callable[..., None]) -> str:
    """A function's docstring, a line for each of its paragraphs, which a terminal breaks where it ends."""
    return "\n\n".join(" ".join(each.split()) for each in (inspect.getdoc(function) or "").split("\n\n"))


def _usage(function: Callable[..., None], command: str) -> str:
    words = ["Usage: bertsmith", command]
    for each in inspect.signature(function).parameters.values():
        if each.kind is each.VAR_POSITIONAL:
            words.append(f"[{each.name.upper()} …]")
        elif each.kind is each.POSITIONAL_ONLY:
            words.append(each.name.upper() if each.default is each.empty else f"[{each.name.upper()}]")
    return " ".join([*words, "[FLAGS]"])


def _what_is_wrong(error: cyclopts.CycloptsError, command: str, elsewhere: Mapping[str, str]) -> str:
    texts = command in ("predict", "fill", "next", "coherence", "score")
    match error:
        case cyclopts.UnknownOptionError(token=token):
            given = token.keyword or token.value
            name = given.partition("=")[0]
            if note := elsewhere.get(name.removeprefix("--").replace("-", "_")):
                return f"{name} {note}"
            known = [name for argument in error.argument_collection for name in argument.names if name.startswith("--")]
            hint = nearest(given, known) or ("; a text that begins with - goes after --" if texts else "")
            return f"unknown flag {given!r}{hint}"
        case cyclopts.CoercionError(token=token, argument=argument) if token and argument:
            allowed = " or ".join(_in_words(kind) for kind in _kinds(argument.hint))
            hint = nearest(token.value, _choices(argument.hint))
            return f"{argument.name} must be {allowed}, got {token.value!r}{hint}"
        case cyclopts.MissingArgumentError(argument=argument) if argument and argument.name.startswith("-"):
            return f"{argument.name} needs a value"
        case cyclopts.MissingArgumentError(argument=argument) if argument:
            return f"{argument.name} is missing: {argument.parameter.help}"
        case cyclopts.UnusedCliTokensError(unused_tokens=[token, *_]):
            hint = "; a text with blanks goes between quotation marks" if texts else ""
            return f"{token!r} is one argument too many{hint}"
        case cyclopts.RepeatArgumentError(token=token):
            return f"{token.keyword} is there twice"
    return " ".join(str(error).split())


def whole_number(kind: Any, tokens: Sequence[cyclopts.Token]) -> Any:
    """A whole number, or one of the words that `kind` allows beside it; cyclopts itself would read 2.7 as 3."""
    text = tokens[0].value
    return text if text in _choices(kind) else int(text)


def _kinds(annotation: Any) -> list[Any]:
    """The types that a flag's value may be of."""
    if get_origin(annotation) in (Union, UnionType):
        return [kind for kind in get_args(annotation) if kind is not NoneType]
    return [annotation]


def _choices(annotation: Any) -> list[str]:
    return [choice for kind in _kinds(annotation) if get_origin(kind) is Literal for choice in get_args(kind)]


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        return f"one of {listed(choices)}" if len(choices) > 1 else repr(choices[0])
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, str(kind))


def with_flags(function: Callable[..., None], parameters: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """`function`, which takes ``**flags``, with these flags for its signature; flags not given are left out."""
    own = inspect.signature(function, eval_str=True)
    kept = [parameter for parameter in own.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]

    def wrapped(*arguments: Any, **flags: Any) -> None:
        function(*arguments, **{name: value for name, value in flags.items() if value is not None})

    wrapped.__doc__ = function.__doc__
    wrapped.__signature__ = own.replace(parameters=[*kept, *parameters])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in (*kept, *parameters)}
    return wrapped


def of_settings(
    fields: Mapping[str, FieldInfo], *, group: Group | str, left_out: str | None = None
) -> list[inspect.Parameter]:
    """A flag for every field of a settings model; its help is the field's description with the default.

    left_out: what is taken where the flag is left out, if not the field's default.
    """
    flags = []
    for name, field in fields.items():
        help_text = field.description or ""
        if left_out is not None:
            help_text = f"{help_text.partition('; left out')[0]}; left out, {left_out}"
        elif field.default not in (None, (), False) and "left out" not in help_text:
            help_text += f" [default: {field.default}]"
        flags.append(flag(name, _plain(field.annotation), help_text, group=group))
    return flags


def of_inputs(inputs: Sequence[Input], *, group: Group | str) -> list[inspect.Parameter]:
    """A flag for every input that a task reads from a column."""
    return [
        flag(each.name, str, f"{each.help}; left out, guessed: {', '.join(each.names[:4])} …", group=group)
        for each in inputs
    ]


def flag(name: str, kind: Any, help_text: str, *, group: Group | str) -> inspect.Parameter:
    """One flag that may be left out."""
    parameter = Parameter(
        help=help_text,
        group=group,
        show_default=False,
        show_choices=not all(str(choice) in help_text for choice in _choices(kind)),
        converter=whole_number if int in _kinds(kind) else None,
    )
    annotation = Annotated[kind | None, parameter]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _plain(annotation: Any) -> Any:
    """The type that a flag's text is turned into; lists and tables stay text, which the settings read themselves."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [_plain(part) for part in get_args(annotation) if part is not NoneType]
        if str in kinds:
            return str
        union = kinds[0]
        for kind in kinds[1:]:
            union = union | kind
        return union
    if annotation in (bool, int, float, str, Path) or get_origin(annotation) is Literal:
        return annotation
    return str
