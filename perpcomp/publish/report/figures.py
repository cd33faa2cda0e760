"""A chart of the run as a part of the page."""

from collections.abc import Mapping

from markupsafe import Markup

from perpcomp.publish.charts import Chart
from perpcomp.publish.report.parts import Figure, Grid, Part, Text

Charts = Mapping[str, Chart]
MOST_FIGURES = 100  # rows of the table of a chart's figures
# Chart -> the file that holds its figures.
FILES = {
    "price-path": "2-liquidations.csv and 1-events.parquet",
    "payout-distribution": "3-payouts.csv",
    "formulas-compared": "comparison.csv",
    "sensitivity": "sensitivity.csv",
    "vesting": "4-claims.csv",
    "guards": "2-liquidations.csv",
}


def figure(charts: Charts, name: str) -> list[Part]:
    """The chart of that name with its caption and its figures; nothing where the run has none."""
    if name not in charts:
        return []
    chart = charts[name]
    name = f"Figures of the chart: {chart.title}"
    if len(chart.rows) <= MOST_FIGURES:
        figures: Grid | Text = Grid(name, chart.header, chart.rows, range(1, len(chart.header)))
    else:
        figures = Text(f"The chart has {len(chart.rows):,} figures: they are in {FILES[chart.name]}.")
    # A chart's markup is made of texts that were escaped.
    return [Figure(chart.title, Markup(chart.svg), chart.sentence, figures)]
