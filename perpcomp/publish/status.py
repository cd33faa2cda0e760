"""Whether a run may still change before the vote."""

from perpcomp.run import Run

DRAFT = "DRAFT"


def status(run: Run) -> str:
    """DRAFT: nothing freezes a run yet, so every run may still change."""
    return DRAFT
