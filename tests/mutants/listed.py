"""What README.md says: how many mutants of each module were tried, and the survivors, each with the reason why it is equivalent."""

import re
from pathlib import Path
from typing import NamedTuple

README = Path(__file__).with_name("README.md")
MODULE = re.compile(r"^### `(perpcomp/\S+\.py)`$", re.M)
SURVIVOR = re.compile(r"^- `` (.+?) ``\n  becomes `` (.*?) ``\n  (\S.*?)$(?=\n- |\n\n|\n?\Z)", re.M | re.S)
TRIED = re.compile(r"^\| `(perpcomp/\S+\.py)` \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", re.M)


class Counts(NamedTuple):
    """How many mutants a module has, and how many of them were tried, were killed and survived."""

    mutants: int
    tried: int
    killed: int
    survived: int


class Mutant(NamedTuple):
    """A change of a module: the lines before it and after it, without indentation, several joined by a space."""

    module: str
    before: str
    after: str


def tried() -> dict[str, Counts]:
    """The figures of each module, by its path."""
    rows = TRIED.findall(README.read_text(encoding="utf-8"))
    return {module: Counts(*(int(figure.replace(",", "")) for figure in figures)) for module, *figures in rows}


def listed() -> dict[Mutant, str]:
    """Each listed survivor and why it is equivalent."""
    _, *parts = MODULE.split(README.read_text(encoding="utf-8"))
    return {
        Mutant(module, before, after): " ".join(why.split())
        for module, text in zip(parts[::2], parts[1::2], strict=True)
        for before, after, why in SURVIVOR.findall(text.split("\n#")[0])
    }
