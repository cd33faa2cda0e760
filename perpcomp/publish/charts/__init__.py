"""The charts of a run: one small module each, from the run's tables to one SVG element."""

from perpcomp.publish.charts import vesting
from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.files import png_file, svg_file
from perpcomp.publish.charts.style import STYLE
from perpcomp.run import Run

__all__ = ["STYLE", "Chart", "charts", "png_file", "svg_file"]

EVERY = (vesting.chart,)  # in reading order; each gives None where a run has nothing for it


def charts(run: Run) -> list[Chart]:
    """The charts that the run has data for, in reading order."""
    return [made for one in EVERY if (made := one(run)) is not None]
