"""The charts of a run: one small module each, from the run's tables to one SVG element."""

from perpcomp.publish.charts import compared, distribution, guards, price_path, sensitivity, vesting
from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.files import png_file, svg_file
from perpcomp.publish.charts.style import STYLE
from perpcomp.run import Run

__all__ = ["NAMES", "STYLE", "Chart", "charts", "png_file", "svg_file"]

# In reading order; each gives None where a run has nothing for it.
EVERY = (price_path, distribution, compared, sensitivity, vesting, guards)
NAMES = tuple(one.NAME for one in EVERY)


def charts(run: Run) -> list[Chart]:
    """The charts that the run has data for, in reading order."""
    return [made for one in EVERY if (made := one.chart(run)) is not None]
