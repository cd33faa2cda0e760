"""A chart as a file of its own, with its title above and its sentence below."""

import re
from textwrap import wrap

import svg

from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.draw import WIDTH, label
from perpcomp.publish.charts.style import LIGHT, STYLE

MARGIN, HEAD, LINE = 20, 44, 20
ACROSS = 98  # characters of a line


def svg_file(chart: Chart) -> bytes:
    """The chart as an SVG file with its style inside."""
    opening, _, inside = chart.svg.removesuffix("</svg>").partition(">")
    *_, height = re.findall(r'viewBox="0 0 [0-9]+ ([0-9]+)"', opening)
    below = wrap(" ".join(chart.sentence.split()), ACROSS)
    foot = HEAD + int(height) + LINE
    parts: list[svg.Element] = [
        svg.Style(text=STYLE),
        svg.G(text=inside, transform=[svg.Translate(0, HEAD)]),
        label(MARGIN, 28, chart.title, "strong", "large"),
        *(label(MARGIN, foot + n * LINE, words) for n, words in enumerate(below)),
    ]
    whole = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, WIDTH, foot + len(below) * LINE),
        class_=["chart"],
        elements=parts,
        extra={"role": "img", "aria-labelledby": f"{chart.name}-title {chart.name}-desc"},
    )
    return f"{whole}\n".encode()


def draws_text() -> bool:
    """Whether this machine has one of the typefaces of STYLE. Without it the texts of a picture would be missing, without a word."""
    from resvg_py import svg_to_bytes

    def picture(text: str) -> bytes:
        whole = svg.SVG(viewBox=svg.ViewBoxSpec(0, 0, 40, 40), class_=["chart"], elements=[svg.Style(text=STYLE), label(5, 30, text)])
        return svg_to_bytes(svg_string=str(whole))

    return picture("M") != picture(" ")


def png_file(chart: Chart) -> bytes:
    """The chart as a picture, light on white, 1,720 dots across. Its texts are drawn in the machine's fonts, so its bytes differ elsewhere."""
    from resvg_py import svg_to_bytes

    return svg_to_bytes(svg_string=svg_file(chart).decode(), background=LIGHT["ground"], zoom=2)
