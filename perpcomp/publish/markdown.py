"""Text and tables in Markdown that GitHub and forums show alike. A foreign text stays text: no link, no markup, no HTML."""

import re
from collections.abc import Iterable, Sequence

from perpcomp.publish.one_line import one_line

ACTIVE = re.compile(r"[\\`*_{}\[\]<>#|~&$!@]|:(?=//)|(?<=\bwww)\.", re.IGNORECASE)  # may begin markup, an entity, a formula or a link
OPENING = re.compile(r"^([0-9]+(?=[.)](?: |$)))?([-+=.)])")  # may begin a list or a rule at the start of a line

FILE = re.compile(r"\b[\w-]+\.(?:csv|json)\b|\binputs/(?:[\w.-]*\w)?")  # a file of a run in a sentence of ours


def in_one_line(text: str) -> str:
    """A text in one line, with a replacement character for each control character and each mark of direction."""
    return " ".join(one_line(text).split())


def escaped(text: str) -> str:
    """A text in one line as Markdown that shows exactly this text; a replacement character for each control character."""
    return OPENING.sub(r"\1\\\2", ACTIVE.sub(r"\\\g<0>", in_one_line(text)))


def with_code(text: str) -> str:
    """A sentence of ours with the names of a run's files as code."""
    return FILE.sub(r"`\g<0>`", text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """The lines of a table; the cells are Markdown. `right` holds the numbers of the columns that are aligned to the right."""
    rule = ["---:" if n in set(right) else "---" for n in range(len(header))]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]
