"""The survivors that README.md lists as equivalent, each with its reason."""

import re
from pathlib import Path
from typing import NamedTuple

README = Path(__file__).with_name("README.md")
MODULE = re.compile(r"^### `(perpcomp/\S+\.py)`$", re.M)
SURVIVOR = re.compile(r"^- `` (.+?) ``\n  becomes `` (.*?) ``\n  (\S.*?)$(?=\n- |\n\n|\n?\Z)", re.M | re.S)


class Mutant(NamedTuple):
    """A change of a module: the lines before it and after it, without indentation, several joined by a space."""

    module: str
    before: str
    after: str


def listed() -> dict[Mutant, str]:
    """Each listed survivor and why it is equivalent."""
    _, *parts = MODULE.split(README.read_text(encoding="utf-8"))
    return {
        Mutant(module, before, after): " ".join(why.split())
        for module, text in zip(parts[::2], parts[1::2], strict=True)
        for before, after, why in SURVIVOR.findall(text.split("\n#")[0])
    }
