"""The entry point: arguments in, exit code out. Nothing heavy is imported before Ctrl-C ends the process with a sentence."""

import io
import os
import sys
from contextlib import suppress

from perpcomp.cli import interrupt
from perpcomp.findings import WRONG_INPUT, Finding, InputError


def main() -> None:
    """Run the command line. A mistake of the user ends with words and an exit code; a mistake of ours with its traceback."""
    interrupt.end_at_once()
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
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """The exit code of a command line."""
    from perpcomp.cli import begin, check, claim_files, claims, decide, guards, money  # noqa: F401 - importing a panel registers its commands
    from perpcomp.cli.app import app

    try:
        app(with_prove_value(arguments))
    except InputError as error:
        return _refuse(error.problems, error.exit_code)
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 0
    return 0


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


def with_prove_value(arguments: list[str]) -> list[str]:
    """The arguments with `window` after a --prove that has no value: Typer has no options with an optional value."""
    from perpcomp.cli.options import Proof

    values = {proof.value for proof in Proof}
    filled = []
    for n, word in enumerate(arguments):
        alone = word == "--prove" and (n + 1 == len(arguments) or arguments[n + 1] not in values)
        filled += [word, Proof.WINDOW.value] if alone else [word]
    return filled
