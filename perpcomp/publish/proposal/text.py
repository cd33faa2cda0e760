"""Foreign text in a proposal, as plain words wherever it is read.

Snapshot reads Markdown without its backslash escapes and entities, so an escaped link would still be one, and would show its backslashes.
What every reader leaves alone is code: words that could begin markup or a link are shown as code, and all others as they are.
Source: github snapshot-labs/sx-monorepo, apps/ui/src/components/Ui/Markdown.vue: remarkable with linkify, inline rules disabled.
"""

import re

from perpcomp.publish.markdown import in_one_line

_ACTIVE = re.compile(r"[\\`*_<>#|~&$@]|\]\(|\]\[|!\[|://|\bwww\.", re.IGNORECASE)
_FIRST = re.compile(r"[-+=>#\[:.)]|[0-9]+[.)]$")  # of a text: may begin a list, a heading, a rule or the target of links


def shown(text: str) -> str:
    """A text in one line. Neighbouring words that must be code are one piece of it."""
    pieces: list[tuple[bool, list[str]]] = []
    for n, word in enumerate(in_one_line(text).split(" ")):
        active = bool(_ACTIVE.search(word) or (n == 0 and _FIRST.match(word)))
        if pieces and pieces[-1][0] == active:
            pieces[-1][1].append(word)
        else:
            pieces.append((active, [word]))
    return " ".join(code(" ".join(words)) if active else " ".join(words) for active, words in pieces)


def cell(text: str) -> str:
    """The same for a cell of a table, in which nothing can hold a |: a broken bar stands for it."""
    return shown(text.replace("|", "\N{BROKEN BAR}"))


def code(text: str) -> str:
    """A text as code, which may hold backticks: more of them enclose it than stand together in it."""
    line = in_one_line(text)
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"
