"""What liquidation guards would have done, where the incident file states them."""

from perpcomp.publish.report.figures import Charts, figure
from perpcomp.publish.report.parts import Section, Text
from perpcomp.run import Run

RATIOS = "The verdict and the ratios of each liquidation are in 2-liquidations.csv."
NOT_ASKED = (
    "The incident file states no liquidation guards, so this run has no verdicts. perpcomp guards says which liquidations the guards of"
    " SIP-2005 would have held back."
)


def section(run: Run, charts: Charts) -> Section:
    """The section."""
    said = Text(RATIOS if run.incident.judges_by_guards else NOT_ASKED)
    return Section("guards", "Liquidation guards", [*figure(charts, "guards"), said])
