"""How far the input reaches, and what a voter should check about it."""

from perpcomp.publish import facts
from perpcomp.publish.report.parts import Folded, Grid, Listing, Part, Section, Text
from perpcomp.run import Run

MOST_NOTES = 100


def section(run: Run) -> Section:
    """The section."""
    parts: list[Part] = [Text(facts.coverage_in_words(run)), Text(facts.findings_in_words(run))]
    grave, more = facts.grave(run)
    if grave:
        parts.append(Grid("Errors and warnings", ("level", "what was found"), [[problem.level, str(problem)] for problem in grave]))
    if more:
        parts.append(Text(more))
    notes = [str(problem) for problem in run.problems if problem.level == "note"]
    if notes:
        others = [Text(f"The first {MOST_NOTES} of {len(notes):,}: all are in findings.csv.")] if len(notes) > MOST_NOTES else []
        parts.append(Folded(f"Notes: {len(notes):,}", [Listing(notes[:MOST_NOTES]), *others]))
    return Section("findings", "Coverage and findings", parts)
