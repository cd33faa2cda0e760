"""Whether a run may still change before the vote."""

from perpcomp.run import RunTables

DRAFT, FINAL = "DRAFT", "FINAL"


def status(run: RunTables) -> str:
    """FINAL where the payouts are those that a ruling of the ledger freezes; DRAFT otherwise."""
    return FINAL if any(problem.code == "frozen" for problem in run.problems) else DRAFT
