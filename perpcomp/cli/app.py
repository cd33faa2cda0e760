"""The Typer application, its help panels, and how a command ends."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.version import VERSION

if TYPE_CHECKING:
    from perpcomp.findings import Finding
    from perpcomp.run import Run


FOLLOW, LOOK, CHECK = "Follow the money", "Look before you vote", "Check"

app = typer.Typer(
    name="perpcomp",
    help="Who was liquidated in a flash crash, what was each position worth, and what does each compensation rule pay. "
    "QUERY is the path of an incident file or a built-in name; without one it is the rehearsal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"perpcomp {VERSION}")
        raise typer.Exit


@contextmanager
def unbroken(on_interrupt: str = "Nothing was written.") -> Iterator[None]:
    """Ctrl-C ends with a sentence and 130, not with a stack."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.say(f"Interrupted. {on_interrupt} The same command starts again.")
        raise typer.Exit(130) from None


def exit_by(done: "Run") -> None:
    say_findings(done.problems)


def say_findings(problems: "Sequence[Finding]") -> None:
    """Say the errors and warnings; exit 1 where an error-level finding stands."""
    terminal.print_problems([p for p in problems if p.level != "note"])
    if any(p.level == "error" for p in problems):
        raise typer.Exit(1)
