"""The Typer application: its help panels, how a function becomes a command, and how a command ends."""

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from perpcomp.cli import interrupt, terminal
from perpcomp.cli.options import with_option_groups
from perpcomp.findings import ERROR_OR_DIFFERENCE, Finding, refusal
from perpcomp.version import VERSION

BEGIN, FOLLOW, LOOK, CHECK = PANELS = ("Begin", "Follow the money", "Look before you vote", "Check")

EXIT_CODES = (
    "Exit codes: 0: fine. 1: an error-level finding or a difference. 2: wrong usage or wrong input. "
    "3: the network cannot serve the logs. 4: invalid manifest, or files that do not fit it. 130: interrupted."
)


class PanelGroup(TyperGroup):
    """Lists the commands by help panel. Typer does so only with Rich, which would double the time of --help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for panel in PANELS:
            commands = [(name, command) for name, command in self.commands.items() if getattr(command, "rich_help_panel", None) == panel]
            with formatter.section(panel):
                formatter.write_dl([(name, command.get_short_help_str(1000)) for name, command in commands])


def with_default(verb: str) -> type[TyperGroup]:
    """A group of commands in which `perpcomp GROUP QUERY` means `perpcomp GROUP VERB QUERY`."""

    class Group(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return super().parse_args(ctx, args if args and args[0] in self.commands else [verb, *args])

    return Group


class StrictCommand(TyperCommand):
    """Refuses an empty value, and an option that is given twice and has one value: the library would ignore the first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        values, _, given = self.make_parser(ctx).parse_args(list(args))
        for parameter in self.params:
            name = parameter.opts[0] if parameter.param_type_name == "option" else str(parameter.metavar)
            if given.count(parameter) > 1 and not parameter.multiple:
                raise refusal(name, f"The option is given {given.count(parameter)} times and has one value.", "Give it once.")
            value = values.get(parameter.name)
            if value == "" or (isinstance(value, list) and "" in value):
                raise refusal(name, "The value is empty.", "Give a value, or leave it out.")
        return super().parse_args(ctx, args)


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
                with interrupt.clean_up_first():
                    end(verb(**arguments))
            except KeyboardInterrupt:
                print(interrupt.WORDS, file=sys.stderr)
                raise typer.Exit(interrupt.CODE) from None

        registered: Callable[..., None] = of.command(cls=StrictCommand, rich_help_panel=panel)(run)
        return registered

    return register


def end(findings: Sequence[Finding]) -> None:
    """Print the errors and warnings; exit with 1 if one of them is an error."""
    terminal.print_problems([finding for finding in findings if finding.level != "note"])
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(ERROR_OR_DIFFERENCE)
