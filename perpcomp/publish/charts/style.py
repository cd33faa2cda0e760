"""The look of every chart: text, muted, blue and rust, in a light and a dark scheme, of which paper always gets the light one."""

from perpcomp.publish.charts.draw import PLAIN, SMALL

# Each colour has a contrast of at least 4.5 on its ground. The program that makes the PNG files knows neither variables nor media queries,
# so the light colours stand by themselves and first.
LIGHT = {"ground": "#ffffff", "text": "#1c2430", "muted": "#5b6675", "blue": "#1b6ca8", "rust": "#b3400f"}
DARK = {"ground": "#12161c", "text": "#e6ebf2", "muted": "#9aa7b8", "blue": "#6db3e8", "rust": "#f08a5d"}


def _colours(scheme: dict[str, str]) -> str:
    """The rules that name a colour."""
    rules = [f".chart .fill-{name}{{fill:{colour}}}.chart .line-{name}{{stroke:{colour}}}" for name, colour in scheme.items()]
    rules += [f".chart{{background:{scheme['ground']}}}.chart text{{fill:{scheme['text']}}}.chart .halo{{stroke:{scheme['ground']}}}"]
    return "\n".join([*rules, f".chart .quiet{{fill:{scheme['muted']}}}"])


STYLE = f"""
.chart{{font-family:system-ui,'Segoe UI','Helvetica Neue',Arial,'Liberation Sans','Noto Sans',Roboto,Ubuntu,'DejaVu Sans',sans-serif;font-size:{PLAIN}px}}
.chart text{{font-variant-numeric:tabular-nums}}.chart .halo{{stroke-width:3;paint-order:stroke;stroke-linejoin:round}}
.chart .small{{font-size:{SMALL}px}}.chart .large{{font-size:18px}}.chart .strong{{font-weight:600}}
.chart .path{{fill:none}}.chart .thick{{stroke-width:2;stroke-linejoin:round}}.chart .dashed{{stroke-dasharray:6 4}}
.chart .faint{{stroke-opacity:.25}}.chart .tint{{fill-opacity:.1}}.chart .seen{{stroke-width:1.5}}
{_colours(LIGHT)}
@media screen and (prefers-color-scheme:dark){{
{_colours(DARK)}
}}
@media print{{.chart{{break-inside:avoid;max-width:100%}}}}
"""
