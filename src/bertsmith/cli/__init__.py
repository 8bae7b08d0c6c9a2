"""The command line: parses, calls the library, shows. The only place that prints.

`COMMANDS` is all that ``bertsmith --help`` needs, so it answers at once; a command's module, and with it torch, is
imported when that command runs.
"""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from bertsmith import __version__
from bertsmith.errors import BertsmithError, nearest

COMMANDS = {
    "demo": "train on the packaged samples, show what comes out",
    "check": "what is wrong with your data, before an hour is spent on it",
    "train": "train a task on your file",
    "evaluate": "score a trained model on a file with labels",
    "predict": "answer for a text, two texts, a file or stdin",
    "export": "write a trained model for onnxruntime or OpenVINO",
    "adapt": "train an encoder on with the words of your domain",
    "pretrain": "train an encoder from nothing",
    "fill": "words for the blanks of a text, with their probabilities",
    "next": "how likely a text is to follow another",
    "coherence": "whether sentences read better in their order than shuffled",
    "score": "how likely a text is, word piece by word piece",
    "tasks": "the tasks with their inputs, options and scores",
    "env": "what bertsmith finds on this machine",
}

HELP = f"""bertsmith {__version__}: fine-tune BERT-family encoders on your texts,
and use what comes out.

Usage: bertsmith COMMAND [ARGUMENTS] [FLAGS]

Commands:
{chr(10).join(f"  {name:<10} {summary}" for name, summary in COMMANDS.items())}

Examples:
  bertsmith check classify train.tsv dev.tsv
  bertsmith train classify --train train.tsv --out runs/mine
  bertsmith evaluate runs/mine test.tsv
  bertsmith predict runs/mine "a fine film"

bertsmith COMMAND --help tells more, bertsmith train TASK --help a task's own
flags, bertsmith predict MODEL --help those of a trained model.

Flags for every command:
  --debug    show the traceback of an error
  --help     this text
  --version  the version

Exit codes: 0 done; 1 an unexpected error; 2 the input is wrong (a file, a flag,
a folder); 3 a package is missing; 4 training could not go on, or was stopped
and can be resumed; 130 interrupted, 143 terminated.
NO_COLOR=1 turns colours off; progress goes to stderr, results go to stdout.
"""


class _Terminated(BaseException):
    """SIGTERM came: what is half done is cleared away on the way out, as after Ctrl-C."""


def _terminate(_number: int, _frame: Any) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would end the clearing away
    raise _Terminated


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
    except Exception:  # with --debug
        traceback.print_exc()
        code = 1
    for number in (signal.SIGINT, signal.SIGTERM):  # the code is known
        signal.signal(number, signal.SIG_IGN)
    # Python would take itself apart object by object, a tenth of the time that an answer takes from its start, and
    # would abort where a thread that reads ahead still waits for a pipe. So only what it does before is done.
    atexit._run_exitfuncs()  # private, but there is no other name for it
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # there is none, or nobody reads it
            stream.flush()
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run a command; its exit code."""
    debug = "--debug" in arguments
    try:
        code = _command([argument for argument in arguments if argument != "--debug"])
        print(end="", flush=True)  # a full disk or a closed pipe is found now
    except BertsmithError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except _Terminated:
        return _fail("terminated", 143)
    except BrokenPipeError:
        # whoever read our output has enough of it (| head); keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # no permission, a full disk: the machine's word, not our mistake
        if debug:
            raise
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 2)
    except Exception as error:
        if debug:
            raise
        return _fail(f"unexpected {type(error).__name__}: {error} (--debug shows where; please report it)", 1)
    return code


def _command(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(HELP, end="")
        return 0
    if arguments[0] == "--version":
        print(__version__)
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        return _fail(f"unknown command {name!r}; the commands are {', '.join(COMMANDS)}{nearest(name, COMMANDS)}", 2)
    # Threads that wait should sleep, not spin: beside another busy program, spinning made a step on two cores up to
    # nine times slower, and alone it gained nothing. OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    code: int | None = importlib.import_module(f"bertsmith.cli.{name}").run(rest)
    return code or 0


def _fail(message: str, code: int) -> int:
    with suppress(OSError):  # nobody reads it; the code tells
        print(f"error: {message}", file=sys.stderr, flush=True)
    return code
