"""What is wrong with the data, said the same way everywhere: the place, what was found, what to do.

A finding is never dropped and never just a log line. Findings travel in frames of results; an `InputError` carries those that
leave nothing to compute with.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Level = Literal["note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One observation about the input: the place, what was found and what to do, each in whole sentences for people.

    `code` says which kind it is, for programs: nothing may ask the texts. `stops` says that no payment may be made while it stands.
    """

    level: Level
    where: str
    what: str
    what_to_do: str
    stops: bool = False
    code: str = "unusable-input"

    def __str__(self) -> str:
        """Place, what and what to do as sentences: "x.toml: title is missing. Add it."."""
        return f"{self.where}: {self.what} {self.what_to_do}".rstrip()


class InputError(Exception):
    """The user's input cannot be used. Carries every problem found, not the first one.

    `exit_code` is 2 for wrong input, 3 where only a network could help.
    """

    def __init__(self, problems: Iterable[Finding], exit_code: int = 2) -> None:
        self.problems = list(problems)
        self.exit_code = exit_code
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type["InputError"], tuple[list[Finding], int]]:
        return InputError, (self.problems, self.exit_code)  # it may come from another process


def refusal(where: str, what: str, what_to_do: str = "", exit_code: int = 2) -> InputError:
    """An InputError with a single problem."""
    return InputError([Finding("error", where, what, what_to_do)], exit_code)


def near_miss(word: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'? Known: a, b, x.`, or only the list where nothing is near."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    listed = f"Known: {', '.join(names)}." if names else "There are none."
    return f"Did you mean '{near[0]}'? {listed}" if near else listed
