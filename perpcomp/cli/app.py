"""The Typer application: its help panels, how a function becomes a command, and how a command ends."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from perpcomp.cli import terminal
from perpcomp.cli.options import with_option_groups
from perpcomp.findings import ERROR_OR_DIFFERENCE, Finding
from perpcomp.version import VERSION

FOLLOW, LOOK, CHECK = PANELS = ("Follow the money", "Look before you vote", "Check")
INTERRUPTED = 130  # the shell's code for Ctrl-C: 128 + SIGINT

EXIT_CODES = (
    "Exit codes: 0: fine. 1: an error-level finding or a difference. 2: wrong usage or wrong input. "
    "3: the network cannot serve the logs. 4: invalid manifest. 130: interrupted."
)


class PanelGroup(TyperGroup):
    """Lists the commands by help panel. Typer does so only with Rich, which would double the time of --help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for panel in PANELS:
            commands = [(name, command) for name, command in self.commands.items() if getattr(command, "rich_help_panel", None) == panel]
            with formatter.section(panel):
                formatter.write_dl([(name, command.get_short_help_str(1000)) for name, command in commands])


app = typer.Typer(
    name="perpcomp",
    cls=PanelGroup,
    help="Who was liquidated in a flash crash, what each position was worth, and what each compensation rule pays. "
    "QUERY is the path of an incident file or a built-in name; the default is the rehearsal.",
    epilog=EXIT_CODES,
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


def command(panel: str, of: typer.Typer = app) -> Callable[[Callable[..., Sequence[Finding]]], Callable[..., None]]:
    """Make a function a command of `of`, listed in a help panel.

    The function returns its findings. Errors and warnings are printed to stderr, and an error exits with 1. Ctrl-C exits with 130.
    """

    def register(function: Callable[..., Sequence[Finding]]) -> Callable[..., None]:
        verb = with_option_groups(function)

        @wraps(verb)
        def run(**arguments: Any) -> None:
            try:
                end(verb(**arguments))
            except KeyboardInterrupt:
                terminal.say("Interrupted. No file was left incomplete. Type the same command to start again.")
                raise typer.Exit(INTERRUPTED) from None

        registered: Callable[..., None] = of.command(rich_help_panel=panel)(run)
        return registered

    return register


def end(findings: Sequence[Finding]) -> None:
    """Print the errors and warnings; exit with 1 if one of them is an error."""
    terminal.print_problems([finding for finding in findings if finding.level != "note"])
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(ERROR_OR_DIFFERENCE)
