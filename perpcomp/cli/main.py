"""The entry point: the arguments in, the exit code out."""

import sys

from perpcomp.cli import check, decide, guards, money, terminal  # noqa: F401 - importing a panel registers its commands
from perpcomp.cli.app import app
from perpcomp.cli.options import Proved
from perpcomp.findings import InputError


def main() -> None:
    """The entry point: the user's mistakes become words and an exit code, ours keep their stack."""
    try:
        app(_with_default(sys.argv[1:]))
    except InputError as error:
        terminal.print_problems(error.problems)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe went away: `perpcomp events | head`
        sys.stderr.close()
        sys.exit(0)


def _with_default(arguments: list[str]) -> list[str]:
    """A bare --prove means the window."""
    values = {one.value for one in Proved}
    filled = []
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        filled += [word, Proved.WINDOW.value] if word == "--prove" and following not in values else [word]
    return filled
