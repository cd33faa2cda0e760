"""The entry point: arguments in, exit code out. Nothing heavy is imported before Ctrl-C ends the process with a sentence."""

import atexit
import gc
import io
import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from perpcomp import object_store
from perpcomp.cli import interrupt
from perpcomp.findings import NETWORK, WRONG_INPUT, Finding, InputError

if TYPE_CHECKING:
    from typer import TyperException


NEW_OBJECTS = 300_000  # between two searches for cycles of dead objects; after every 700, as Python does, they cost a small run a twentieth


def main() -> None:
    """Run the command line. A mistake of the user ends with words and an exit code; a mistake of ours with its traceback."""
    interrupt.end_at_once()
    gc.set_threshold(NEW_OBJECTS)
    atexit.register(gc.freeze)  # Python's own end would search all objects twice more
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without a character shows its escape
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the pipe has ended: `perpcomp events | head`
        _forget_output()
        code = 0
    except OSError as error:
        code = _refuse([_words_of(error)], WRONG_INPUT)
        _forget_output()
    interrupt.nothing_left()
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """The exit code of a command line."""
    import typer

    from perpcomp.cli import completion, panels
    from perpcomp.cli.app import app

    panels.load(arguments)
    if completion.VARIABLE in os.environ:
        completion.answer()
    try:
        code = app(with_values(arguments), prog_name="perpcomp", standalone_mode=False)
    except InputError as error:
        return _refuse(error.problems, error.exit_code)
    except typer.TyperException as error:
        return _refuse([_wrong_usage(error)], WRONG_INPUT)
    except SystemExit as ending:
        code = ending.code
    except Exception as error:
        if not object_store.failed(error):
            raise
        return _refuse([object_store.unanswered(error)], NETWORK)
    return code if isinstance(code, int) else 0


def _wrong_usage(error: "TyperException") -> Finding:
    """What the command line cannot mean, in words, with the command whose help says what it can."""
    context: Any = getattr(error, "ctx", None)
    command = "perpcomp" if context is None else context.command_path
    what = re.sub(r"Got unexpected extra argument\(s\) \((.*)\)", r"Too many arguments: \1", error.format_message()).replace(
        "Value error, ", ""
    )
    what = " ".join(what.split())
    return Finding("error", command, what if what.endswith((".", "?")) else f"{what}.", f"Type {command} --help for what it takes.")


def _refuse(problems: list[Finding], code: int) -> int:
    from perpcomp.cli import terminal

    with suppress(OSError):  # stderr cannot be written either
        terminal.print_problems(problems)
    return code


def _words_of(error: OSError) -> Finding:
    """What the system refused, in words. A write to stdout has no file name."""
    reason = error.strerror or type(error).__name__
    if error.filename is None:
        return Finding("error", "the output", f"It cannot be written ({reason}).", "Free some space, or send the output elsewhere.")
    return Finding("error", str(error.filename), f"The system refuses this path ({reason}).", "Correct the path or its permissions.")


def _forget_output() -> None:
    """Send what stdout still holds to nowhere, so that Python does not fail to write it again when it exits."""
    with suppress(OSError, ValueError):  # ValueError: a stream in memory has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def with_values(arguments: list[str]) -> list[str]:
    """The arguments with a value after each option that may stand alone, which Typer does not know: `window` after --prove, and the
    user's own shell after the options of completion.
    """
    from perpcomp.cli import completion
    from perpcomp.cli.options import Proof

    filled = []
    for number, word in enumerate(arguments, 1):
        following = arguments[number] if number < len(arguments) else None
        filled.append(word)
        if word == "--prove" and following not in [proof.value for proof in Proof]:
            filled.append(Proof.WINDOW.value)
        if word in completion.OPTIONS and following is None:
            filled.append(completion.own_shell())
    return filled
