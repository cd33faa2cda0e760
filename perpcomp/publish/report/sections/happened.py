"""What happened: the price with each liquidation."""

from collections.abc import Sequence

from perpcomp.publish.report.figures import Charts, figure
from perpcomp.publish.report.parts import Part, Section, Text
from perpcomp.publish.summary import Line
from perpcomp.run import Run

LABELS = ("Window", "In the window", "Starts from")


def section(run: Run, said: Sequence[Line], charts: Charts) -> Section:
    """The section."""
    parts: list[Part] = [Text(f"{line.label}: {line.value}.") for line in said if line.label in LABELS]
    drawn = figure(charts, "price-path")
    if not drawn:
        parts.append(Text("There is no price path to draw: the input holds no prices of the affected markets."))
    return Section("happened", "What happened", [*parts, *drawn])
