"""A chart as a file of its own, with its title above and its sentence below."""

import re
from textwrap import wrap

from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.draw import drawing, label
from perpcomp.publish.charts.element import Element
from perpcomp.publish.charts.style import LIGHT, STYLE

MARGIN, HEAD, LINE = 20, 44, 20
ACROSS = 98  # characters of a line


def svg_file(chart: Chart) -> bytes:
    """The chart as an SVG file with its style inside."""
    opening, _, inside = chart.svg.removesuffix("</svg>").partition(">")
    *_, height = re.findall(r'viewBox="0 0 [0-9]+ ([0-9]+)"', opening)
    below = wrap(" ".join(chart.sentence.split()), ACROSS)
    foot = HEAD + int(height) + LINE
    parts: list[Element] = [
        Element("style", STYLE),
        Element("g", inside, transform=f"translate(0 {HEAD})"),
        label(MARGIN, 28, chart.title, "strong", "large"),
        *(label(MARGIN, foot + n * LINE, words) for n, words in enumerate(below)),
    ]
    ids = f"{chart.name}-title {chart.name}-desc"
    whole = drawing(foot + len(below) * LINE, parts, role="img", aria_labelledby=ids)
    return f"{whole}\n".encode()


def draws_text() -> bool:
    """Whether this machine has one of the typefaces of STYLE. Without it the texts of a picture would be missing, without a word."""
    from resvg_py import svg_to_bytes

    def picture(text: str) -> bytes:
        return svg_to_bytes(svg_string=str(drawing(40, [Element("style", STYLE), label(5, 30, text)])))

    return picture("M") != picture(" ")


def png_file(chart: Chart) -> bytes:
    """The chart as a picture, light on white, 1,720 dots across. Its texts are drawn in the machine's fonts, so its bytes differ elsewhere."""
    from resvg_py import svg_to_bytes

    return svg_to_bytes(svg_string=svg_file(chart).decode(), background=LIGHT["ground"], zoom=2)
