"""The entry point: arguments in, exit code out."""

import sys

from perpcomp.cli import check, decide, guards, money, terminal  # noqa: F401 - importing a panel registers its commands
from perpcomp.cli.app import app
from perpcomp.cli.options import Proof
from perpcomp.findings import InputError


def main() -> None:
    """Run the command line. A mistake of the user ends with words and an exit code; a mistake of ours with its traceback."""
    try:
        app(with_prove_value(sys.argv[1:]))
    except InputError as error:
        terminal.print_problems(error.problems)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of the pipe has ended: `perpcomp events | head`
        sys.stderr.close()
        sys.exit(0)


def with_prove_value(arguments: list[str]) -> list[str]:
    """The arguments with `window` after a --prove that has no value: Typer has no options with an optional value."""
    values = {proof.value for proof in Proof}
    filled = []
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        filled += [word, Proof.WINDOW.value] if word == "--prove" and following not in values else [word]
    return filled
