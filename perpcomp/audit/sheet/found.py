"""What check-sheet finds: a place, what is there, and what the run has there."""

from dataclasses import dataclass

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True)
class Found:
    """One finding. `code` is for programs; `place` is a sheet with its cell, or a part of the file."""

    code: str
    level: str
    place: str
    found: str
    expected: str
    hint: str = ""


@dataclass(frozen=True)
class SheetCheck:
    """What check-sheet says of a file. `same_bytes`: it is the very file of the run."""

    findings: tuple[Found, ...]
    same_bytes: bool

    @property
    def same(self) -> bool:
        """Whether nothing but notes was found."""
        return all(one.level == NOTE for one in self.findings)

    @property
    def in_words(self) -> str:
        """What the file is, where it is the same."""
        return "is the file of the run, unchanged" if self.same_bytes else "was re-saved, values equal: it says what the run says"


def shown(value: object) -> str:
    """A cell's value in a finding."""
    return "(empty)" if value is None or value == "" else str(value)
