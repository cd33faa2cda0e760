"""The look of every chart: text, muted, blue and rust, in a light and a dark scheme, of which paper always gets the light one."""

# Each pair has a contrast of at least 4.5 on its ground. The program that makes the PNG files knows no variables and no media queries, so
# the light colours stand first and by themselves.
_LIGHT = {"ground": "#ffffff", "text": "#1c2430", "muted": "#5b6675", "blue": "#1b6ca8", "rust": "#b3400f"}
_DARK = {"ground": "#12161c", "text": "#e6ebf2", "muted": "#9aa7b8", "blue": "#6db3e8", "rust": "#f08a5d"}


def _colours(scheme: dict[str, str]) -> str:
    fills = "".join(f".chart .fill-{name}{{fill:{colour}}}.chart .line-{name}{{stroke:{colour}}}" for name, colour in scheme.items())
    return f".chart{{background:{scheme['ground']}}}.chart text{{fill:{scheme['text']}}}.chart .quiet{{fill:{scheme['muted']}}}{fills}"


STYLE = "\n".join(
    [
        ".chart{font-family:system-ui,'Segoe UI','Helvetica Neue',Arial,'Liberation Sans',sans-serif;font-size:14px;font-variant-numeric:tabular-nums}",
        ".chart .small{font-size:12px}.chart .strong{font-weight:600}",
        ".chart path,.chart polyline,.chart line{fill:none;stroke-width:1}",
        ".chart .thick{stroke-width:2}.chart .dashed{stroke-dasharray:6 4}.chart .faint{stroke-opacity:.25}.chart .tint{fill-opacity:.12}",
        _colours(_LIGHT),
        f"@media screen and (prefers-color-scheme:dark){{{_colours(_DARK)}}}",
        "@media print{.chart{break-inside:avoid;max-width:100%}}",
        "",
    ]
)
