"""The Typer application: its help panels, how a function becomes a command, and how a command ends."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from perpcomp.cli import completion, help, interrupt, terminal, threads, watch
from perpcomp.cli.options import with_option_groups
from perpcomp.findings import ERROR_OR_DIFFERENCE, WRONG_INPUT, Finding, refusal
from perpcomp.progress import watched_by
from perpcomp.version import VERSION

BEGIN, FOLLOW, LOOK, PUBLISH, CHECK = PANELS = ("Begin", "Follow the money", "Look before you vote", "Publish", "Check")

EXIT_CODES = (
    "Exit codes: 0: fine. 1: an error-level finding or a difference. 2: wrong usage or wrong input. "
    "3: the network cannot serve the logs. 4: an unsafe bundle, an invalid manifest, or files that do not fit it. 130: interrupted."
)


class PanelGroup(TyperGroup):
    """A group whose help page lists its commands by panel."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(help.page(self, ctx, PANELS))


def with_default(verb: str) -> type[TyperGroup]:
    """A group of commands in which `perpcomp GROUP QUERY` means `perpcomp GROUP VERB QUERY`."""

    class Group(PanelGroup):
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
            value = values.get(str(parameter.name))
            if value == "" or (isinstance(value, list) and "" in value):
                raise refusal(name, "The value is empty.", "Give a value, or leave it out.")
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(help.page(self, ctx, PANELS))


app = typer.Typer(
    name="perpcomp",
    cls=PanelGroup,
    help="Who was liquidated in a flash crash, what each position was worth, and what each compensation rule pays. "
    "QUERY is the path of an incident file or a built-in name; the default is the rehearsal.",
    epilog=EXIT_CODES,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    install_completion: Annotated[
        str | None,
        typer.Option("--install-completion", metavar="SHELL", help=f"Let a shell complete words: {', '.join(completion.SHELLS)}."),
    ] = None,
    show_completion: Annotated[
        str | None, typer.Option("--show-completion", metavar="SHELL", help="Print the completion script of a shell.")
    ] = None,
) -> None:
    if install_completion is not None:
        completion.install(install_completion)
        raise typer.Exit
    if show_completion is not None:
        completion.show(show_completion)
        raise typer.Exit
    if version:
        print(f"perpcomp {VERSION}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(WRONG_INPUT)


def command(panel: str, of: typer.Typer = app) -> Callable[[Callable[..., Sequence[Finding]]], Callable[..., None]]:
    """Make a function a command of `of`, listed in a help panel.

    The function returns its findings. Errors and warnings are printed to stderr, and an error exits with 1. Ctrl-C exits with 130. What
    the library is doing is shown while it works, unless the function takes `quiet` and it is given.
    """

    def register(function: Callable[..., Sequence[Finding]]) -> Callable[..., None]:
        verb = with_option_groups(function)

        @wraps(verb)
        def run(**arguments: Any) -> None:
            threads.fit(arguments)
            try:
                with interrupt.clean_up_first(), nullcontext() if arguments.get("quiet") else watched_by(watch.watcher()):
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
