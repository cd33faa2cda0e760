"""Findings: what is wrong with the input, where, and what to do about it. The same form in every module.

A finding is never dropped and never only logged. Findings travel inside results. An `InputError` carries the findings that
leave nothing to compute with.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Level = Literal["note", "warning", "error"]

# Exit codes of the command line. 0 means that all is fine; 130 that the user interrupted the command.
ERROR_OR_DIFFERENCE = 1  # an error-level finding, or a difference between two results
WRONG_INPUT = 2  # wrong usage or wrong input
NETWORK = 3  # the network cannot serve the logs
INVALID_MANIFEST = 4


@dataclass(frozen=True)
class Finding:
    """One observation about the input. `where` names the place; `what` and `what_to_do` are whole sentences for people.

    `code` names the kind of finding for programs; no program may look into the texts. `stops` is True if nothing may be paid
    until the finding is resolved.
    """

    level: Level
    where: str
    what: str
    what_to_do: str
    stops: bool = False
    code: str = "unusable-input"

    def __str__(self) -> str:
        """The place, then the sentences: "x.toml: title is missing. Add it."."""
        return f"{self.where}: {self.what} {self.what_to_do}".rstrip()


class InputError(Exception):
    """The user's input cannot be used. Carries every problem that was found, not only the first.

    `exit_code` is what the command line exits with: WRONG_INPUT unless stated.
    """

    def __init__(self, problems: Iterable[Finding], exit_code: int = WRONG_INPUT) -> None:
        self.problems = list(problems)
        self.exit_code = exit_code
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type["InputError"], tuple[list[Finding], int]]:
        return InputError, (self.problems, self.exit_code)  # a Dask worker sends the error as a pickle


def refusal(where: str, what: str, what_to_do: str = "", exit_code: int = WRONG_INPUT) -> InputError:
    """An InputError with one error-level finding; the caller raises it."""
    return InputError([Finding("error", where, what, what_to_do)], exit_code)


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word most similar to `word`; None if no known word is similar."""
    return next(iter(get_close_matches(word, sorted(known), n=1, cutoff=0.6)), None)


def near_miss(word: str, known: Iterable[str]) -> str:
    """Advice about an unknown word: "Did you mean 'x'? Known: a, b, x." or "No similar name. Known: a, b, x."."""
    names = sorted(known)
    if not names:
        return "There are none."
    near = closest(word, names)
    opening = f"Did you mean '{near}'?" if near else "No similar name."
    return f"{opening} Known: {', '.join(names)}."
