"""``bertsmith predict``."""

from __future__ import annotations

import sys
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from cyclopts import Parameter

from bertsmith import api
from bertsmith.cli import show
from bertsmith.cli.answering import BACKEND_HELP, say_what_answers
from bertsmith.cli.flags import parse, whole_number, with_flags
from bertsmith.cli.reading import columns_of, flags_of_others, options_of, reading_flags, reading_of, task_of_model
from bertsmith.cli.writing import writer
from bertsmith.data import FORMATS, Rows
from bertsmith.data.conll import look_tagged
from bertsmith.data.lines import Lines
from bertsmith.errors import InputError, SettingsError
from bertsmith.files import replacing
from bertsmith.infer import LOOK_AHEAD
from bertsmith.infer.backends import BackendName
from bertsmith.infer.backends.openvino import without_converter
from bertsmith.records import Place, Row
from bertsmith.tasks import Task

# So many of the texts on a pipe are looked at for whether they are texts.
_LOOK_AT = 12


def run(arguments: list[str]) -> None:
    """Answer for texts with a trained model."""
    task = task_of_model(arguments)
    command = with_flags(predict, reading_flags(task, labels=False))
    if task is None:
        command.__doc__ = f"{command.__doc__}\n\nbertsmith predict MODEL --help lists the options of that model alone."
    parse(command, "predict", arguments, elsewhere=lambda: flags_of_others(task, labels=False, at_use=True))


def predict(
    model: Annotated[Path, Parameter(help="the folder of a trained model")],
    text_or_file: Annotated[
        str | None, Parameter(help="a text or a question, or a file of them; left out or -, stdin")
    ] = None,
    second: Annotated[str | None, Parameter(help="the second text of a pair; the passage of a question")] = None,
    /,
    *,
    file: Annotated[Path | None, Parameter(help="a file, whatever its name looks like")] = None,
    to: Annotated[
        Literal["jsonl", "csv", "conll", "squad"] | None,
        Parameter(help="what is written; left out, csv or conll if --out ends so, else jsonl"),
    ] = None,
    out: Annotated[Path | None, Parameter(help="where it is written, whole or not at all; left out, stdout")] = None,
    look_ahead: Annotated[
        int, Parameter(help="rows read ahead, to compute like lengths together", converter=whole_number)
    ] = LOOK_AHEAD,
    keep: Annotated[str | None, Parameter(help="further columns to write, too: id,url")] = None,
    device: Annotated[str, Parameter(help="auto, cpu, cuda …")] = "auto",
    backend: Annotated[BackendName, Parameter(help=BACKEND_HELP, show_choices=False)] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], Parameter(help="of torch's products; auto, bf16 where the processor has it")
    ] = "auto",
    quiet: Annotated[bool, Parameter(help="no progress", negative=(), show_default=False)] = False,
    **flags: Any,
) -> None:
    """Answer for a text, two texts, a file or stdin: one record a row, in the rows' order, as they come.

    A file may be CSV, TSV, JSONL, Parquet, CoNLL, CoNLL-U, SQuAD or plain lines; labels in it are not read. On stdin
    each line is a text (a tab parts two), a JSON object, or, for a tagger, a word with a tag behind a tab;
    --look-ahead 1 answers each line at once.
    """
    if look_ahead < 1:
        raise SettingsError(f"--look-ahead must be at least 1, got {look_ahead}")
    kept = [name.strip() for name in keep.split(",")] if keep else []
    if file is not None and text_or_file is not None:
        raise SettingsError(f"--file {file} and {text_or_file!r} are both given; which is to be answered for?")
    source = str(file) if file is not None else _file_meant(text_or_file, second)
    about_files = ["keep"] * bool(kept) + [name for name in flags if name not in options_of(flags)]
    if about_files and source is None:
        raise SettingsError(f"--{about_files[0].replace('_', '-')} is about files, and a text was given")
    if out is not None and source is not None and out.exists() and Path(source).exists() and out.samefile(source):
        raise SettingsError(f"--out {out}: this is the file to answer for; give another")
    with without_converter():
        predictor = api.load(model, device=device, backend=backend, precision=precision, options=options_of(flags))
    task = predictor.outline.task
    _check_kept(kept, [each.name for each in task.inputs])
    with show.Watch(quiet=quiet) as watch:
        say_what_answers(predictor, watch)
        if source is None:
            assert text_or_file is not None, "what is no file is a text"
            if second is not None:
                _check_takes_two(task)
            asked = text_or_file if second is None else (text_or_file, second)
            rows: Iterable[Row] = [task.ask(asked, Place("the text given"))]
        else:
            opened = api.rows_for(
                predictor.outline,
                source,
                columns=columns_of(flags),
                reading=reading_of(flags),
                training=False,
                keep=kept,
            )
            watch.say(opened.describe())
            lines = isinstance(opened.table, Lines) and reading_of(flags).format == "auto"
            per_word = any(each.per_word for each in task.inputs)
            rows = _warned_of_columns(opened, watch) if lines and per_word else opened
        with _opened(out) as stream, writer(stream, to, out) as write:
            began = time.monotonic()
            for number, answer in enumerate(predictor.stream(rows, look_ahead=look_ahead, threaded=True), start=1):
                record = answer.prediction.record()
                if number == 1:
                    _check_kept(kept, record)
                write({**answer.row.values, **record})
                if number % look_ahead == 0:
                    stream.flush()  # whoever reads on gets whole windows at once
                if number % 256 == 0 and (out is not None or not sys.stdout.isatty()):
                    watch.answered(number, None, time.monotonic() - began)


def _warned_of_columns(rows: Rows, watch: show.Watch) -> Iterator[Row]:
    """The rows as they come, with a warning if the texts that come first look like words and tags parted by blanks.

    Nothing is read ahead for it: whoever writes to a pipe may wait for an answer before the next text.
    """
    texts: list[str] = []

    def look() -> None:
        if look_tagged(texts):
            watch.say(
                f"{rows.name}: the lines look like words with their tags, parted by blanks, and each is read as a "
                "text; for sentences of words give --format conll, for texts --format lines",
                warning=True,
            )

    for row in rows:
        if len(texts) < _LOOK_AT and row.values["text"].strip():
            texts.append(row.values["text"])
            if len(texts) == _LOOK_AT:
                look()
        yield row
    if len(texts) < _LOOK_AT:
        look()


def _check_takes_two(task: Task[Any, Any]) -> None:
    if len(task.asked) == 1:
        raise SettingsError(
            f"two texts are given, and a {task.name} model answers for one; pipe several in, one a line: "
            "… | bertsmith predict MODEL -"
        )


def _check_kept(kept: Sequence[str], taken: Container[str]) -> None:
    for name in kept:
        if name in taken:
            raise SettingsError(
                f"--keep {name}: every answer has a {name!r} of its own "
                "(evaluate --predictions writes the labels of a file beside the answers)"
            )


def _file_meant(text: str | None, second: str | None) -> str | None:
    """The file that the arguments mean, ``-`` for stdin, or None if they are texts."""
    if text is None or text == "-":
        if text is None and sys.stdin.isatty():
            raise SettingsError('what to answer for? give a text, a file, or - for stdin: bertsmith predict MODEL "…"')
        return "-"
    if second is not None:
        return None
    if _is_file(text):
        return text
    suffixes = [suffix for each in FORMATS.values() for suffix in each.suffixes]
    name = text.removesuffix(".gz")
    if any(name.endswith(suffix) for suffix in suffixes) and " " not in text:
        raise InputError(f"{text}: no such file (to answer for it as a text, pipe it in: echo … | bertsmith predict …)")
    return None


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # a text may be longer than any path, or hold what no path may
        return False


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        yield stream
