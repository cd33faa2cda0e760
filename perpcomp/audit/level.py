"""What one level of a verification found: one line of words, and every difference."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from perpcomp.audit.compare import Difference
from perpcomp.findings import Finding

Result = Literal["PASS", "FAIL", "SKIPPED"]

# What each level does not prove, in the order in which they are checked.
DOES_NOT_PROVE = {
    "integrity": "that any amount is right, or who made the files unless a signer is named",
    "recompute": "that the input holds every log of the chain, unaltered",
    "proof": "that the anchor, the hash of the last block, is one of the real chain",
    "rpc": "more than the nodes' honesty",
    "claims": "that a contract holds these roots: perpcomp claims verify FILE --rpc --contract",
    "sheet": "how the reader's spreadsheet program shows it",
}


@dataclass(frozen=True)
class Level:
    """One level's result. `said` is what was compared, or why nothing was. `code` is the exit code that the level asks for."""

    name: str
    result: Result
    said: str
    code: int = 0
    files: int = 0
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Finding, ...] = field(default=())

    def members(self) -> dict[str, Any]:
        """The level as JSON's values."""
        return asdict(self)

    @classmethod
    def read(cls, members: dict[str, Any]) -> "Level":
        """The level that `members` gave."""
        lists: dict[str, Any] = {
            "differences": tuple(Difference(**one) for one in members["differences"]),
            "notes": tuple(members["notes"]),
            "problems": tuple(Finding(**one) for one in members["problems"]),
        }
        return cls(**{**members, **lists})


def failed(name: str, said: str, differences: tuple[Difference, ...] = (), notes: tuple[str, ...] = (), files: int = 0) -> Level:
    """A level that found something that differs."""
    return Level(name, "FAIL", said, 1, files, differences, notes)


def skipped(name: str, why: str, code: int = 0, problems: tuple[Finding, ...] = ()) -> Level:
    """A level that was not checked, and why; with a code above 0 it was asked for and could not be."""
    return Level(name, "SKIPPED", why, code, problems=problems)
