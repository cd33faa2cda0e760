"""The exact amounts beside live ones, how far the two are apart, and whether they are the same as far as a cell can say."""

from collections.abc import Sequence

import polars as pl

from perpcomp.publish.workbook.plan import ROW, Cells, Column, apart, letter, ok
from perpcomp.publish.workbook.series import chosen, column, or_text


def beside(live: int, unit: str, digits: str, decimals: int, exact: pl.Series, lacking: str = "") -> list[Column]:
    """The two columns right of column `live`: the exact amounts as text of `digits`, and the difference. `lacking` stands where one is null.

    A text of digits without a point is the same number in every country.
    """
    known = exact.is_not_null()
    difference = apart(f"{letter(live)}{ROW}", f"VALUE({letter(live + 1)}{ROW})/10^{decimals}", f"10^-{decimals}")
    nothing = or_text(known.replace_strict({True: 0.0, False: None}, return_dtype=pl.Float64), "money", lacking)
    return [
        column(f"exact, published ({digits})", 27, Cells("digits", texts=exact.fill_null(lacking))),
        column(f"live - exact ({unit})", 10, nothing._replace(formula=difference, live=known))._replace(against_published=True),
    ]


def same(differences: Sequence[int], known: pl.Series, lacking: str = "") -> Column:
    """Whether each row's live amounts are the exact ones: all these columns of differences are 0."""
    tests = ",".join(f"{letter(at)}{ROW}=0" for at in differences)
    formula = ok(tests if len(differences) == 1 else f"AND({tests})")
    cells = Cells("text", texts=chosen(known, "ok", lacking), formula=formula, live=known)
    return column("live = exact?", 8, cells)._replace(against_published=True)
