"""A price path drawn with characters, for a terminal. Only this drawing uses floats; no figure is read from it."""

import math
from datetime import datetime, timedelta

import polars as pl

HEIGHT = 16
AXES = 22  # columns beside the drawing: the prices on the left, the arrow on the right
NARROWEST = 40
# column -> (its entry in the legend, colour, the mark at each block, whether the price holds until the next block)
SERIES = {
    "index_price": ("- index", "magenta", "-", True),
    "twap_price": ("o 15-minute average", "cyan", "o", False),
    "spot_price": ("⠒ spot", "red", None, True),
}


def price_chart(path: pl.DataFrame, width: int, colours: bool, quote: str) -> str:
    """Spot, average and index price of a PRICES frame over time, in lines of at most `width` columns. Prices are in `quote`.

    Each series has its own mark, so that the drawing can be read without colours. Returns "" if there is nothing to draw: fewer
    than two times, no price, or a width below NARROWEST.
    """
    from plotille import Figure, color

    drawn = {column: _points(path, column, steps) for column, (_, _, _, steps) in SERIES.items()}
    values = [value for _, prices in drawn.values() for value in prices]
    times = path.get_column("block_time").to_list()
    if width < NARROWEST or not times or times[0] == times[-1] or not values:
        return ""
    low, high = min(values), max(values)
    margin = (high - low) / 20 or high / 20
    places = min(6, max(0, 4 - math.floor(math.log10(high))))
    pattern = "%H:%M" if times[-1] - times[0] < timedelta(days=1) else "%m-%d %Hh"

    figure = Figure()
    figure.width, figure.height, figure.linesep, figure.origin, figure.with_colors = width - AXES, HEIGHT, "\n", False, colours
    figure.x_label, figure.y_label = "UTC", quote
    figure.set_x_limits(times[0], times[-1])
    figure.set_y_limits(low - margin, high + margin)
    figure.x_ticks_fkt = lambda at, _: at.strftime(pattern) if isinstance(at, datetime) else str(at)
    figure.y_ticks_fkt = lambda price, _: f"{price:,.{places}f}"
    for column, (_, colour, mark, _) in SERIES.items():
        figure.plot(*drawn[column], lc=colour, marker=mark)
    legend = [color(label, fg=colour, no_color=not colours) for column, (label, colour, _, _) in SERIES.items() if drawn[column][0]]
    return "\n".join([figure.show(), "", "   ".join(legend)])


def _points(path: pl.DataFrame, column: str, steps: bool) -> tuple[list[datetime], list[float]]:
    """The known points of one series. A price that holds until the next block (`steps`) gets a second point there."""
    known = [(at, float(price)) for at, price in path.select("block_time", column).drop_nulls().iter_rows()]
    if steps:
        ends = [at for at, _ in known[1:]] + path.get_column("block_time").to_list()[-1:]
        known = [point for (at, price), end in zip(known, ends, strict=False) for point in ((at, price), (end, price))]
    return [at for at, _ in known], [price for _, price in known]
