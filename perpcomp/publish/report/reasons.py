"""Counts by reason as parts of the page."""

from collections.abc import Iterator

from perpcomp.publish.facts import Reasons
from perpcomp.publish.report.parts import Listing, Part, Text


def reasons(found: Reasons) -> Iterator[Part]:
    """The sentence, and a line a reason."""
    yield Text(found.said)
    if found.groups:
        yield Listing([f"{group.number} ({group.code}): {group.meaning}" for group in found.groups])
