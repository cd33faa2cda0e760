"""The help pages, drawn with Rich: what a command is for, and a panel for its arguments, for its options and for each group of commands.

Typer's own panels import Markdown and syntax highlighting, which takes longer than all the rest of `perpcomp --help`.
"""

import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDEST = 100  # columns: longer lines are hard to read


def page(command: Any, context: Any, panels: Sequence[str]) -> str:
    """The help page of a command or group. Its commands stand by panel, in the order of `panels`, those of others in "Commands"."""
    from rich.padding import Padding

    from perpcomp.cli.terminal import console

    screen = console()
    screen.width = min(screen.width, WIDEST)
    usage = " ".join(["Usage:", context.command_path, *command.collect_usage_pieces(context)])
    shown: list[RenderableType] = [usage, *(Padding(text, (1, 0, 0, 2)) for text in _paragraphs(command.help))]
    records = [(one, one.get_help_record(context)) for one in command.get_params(context)]
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        shown += _panel(title, [record for one, record in records if record and one.param_type_name == kind], screen.is_terminal)
    of_panel: dict[str, list[tuple[str, str]]] = {panel: [] for panel in panels}
    for name, one in getattr(command, "commands", {}).items():
        of_panel.setdefault(one.rich_help_panel or "Commands", []).append((name, one.get_short_help_str(1000)))
    widest = max((len(name) for rows in of_panel.values() for name, _ in rows), default=0)
    for title, rows in of_panel.items():
        shown += _panel(title, [(name.ljust(widest), words) for name, words in rows], screen.is_terminal)
    shown += [Padding(text, (1, 0, 0, 2)) for text in _paragraphs(command.epilog)]
    with screen.capture() as drawn:
        screen.print(*shown, sep="\n")
    return "\n".join(line.rstrip() for line in drawn.get().splitlines()) + "\n"


def _panel(title: str, rows: Sequence[tuple[str, str]], framed: bool) -> list["RenderableType"]:
    """Names and their words in a frame; in a pipe under a heading. Nothing if there are no rows."""
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.table import Table

    if not rows:
        return []
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column()
    for name, words in rows:
        grid.add_row(name, words)
    return [Panel(grid, title=title, title_align="left")] if framed else [f"\n{title}:", Padding(grid, (0, 0, 0, 2))]


def _paragraphs(text: str | None) -> Iterable[str]:
    """The paragraphs of a text, each in one line."""
    return (" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text or "").split("\n\n") if paragraph)
