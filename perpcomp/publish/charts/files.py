"""A chart as a file of its own."""

import svg

from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.style import STYLE


def svg_file(chart: Chart) -> bytes:
    """The chart as an SVG file with its style inside."""
    opening, rest = chart.svg.split(">", 1)
    return f"{opening}>{svg.Style(text=STYLE)}{rest}\n".encode()


def png_file(chart: Chart) -> bytes:
    """The chart as a picture, light on white. Its texts are drawn with the fonts of the machine, so its bytes are never compared."""
    from resvg_py import svg_to_bytes

    return svg_to_bytes(svg_string=svg_file(chart).decode(), background="#ffffff", zoom=2)
