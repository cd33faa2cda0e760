"""The liquidations as the sheets Positions and Formulas list them: those that are paid first, the largest first."""

from functools import cached_property

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.publish.workbook.linked import transactions
from perpcomp.publish.workbook.plan import Cells, Column
from perpcomp.publish.workbook.rules import Rule, shares
from perpcomp.publish.workbook.series import UNKNOWN, addresses, column, texts
from perpcomp.run import Run
from perpcomp.sheet_limits import shown_rows

FILE = "2-liquidations.csv"
TRADER, MARKET, SIDE, LOG = "A", "B", "C", "D"  # the columns of both sheets that say which liquidation it is
KEY = (0, 1, 3)
BY_TRADER = "by trader"  # where a rule pays: it gives amounts to traders, not to positions


class Listing(Struct, frozen=True, dict=True):
    """The rows of the liquidations table that a sheet holds, in its order, and what the formula or rule that pays gives each of them."""

    run: Run
    chosen: Rule

    @cached_property
    def rows(self) -> pl.Series:
        """Their places in the table."""
        table = self.run.liquidations.select("eligible", "trader", "block_number", "log_index").with_row_index("row")
        by = ["eligible", "trader", "block_number", "log_index"]
        descending = [True, False, False, False]
        if self.chosen.values is not None:
            table = table.with_columns(self.chosen.values.alias("value"))
            by.insert(1, "value")
            descending.insert(1, True)
        return table.sort(by, descending=descending, nulls_last=True).get_column("row").head(shown_rows(table.height))

    @cached_property
    def shown(self) -> pl.DataFrame:
        """These rows."""
        return self.run.liquidations[self.rows]

    @cached_property
    def parts(self) -> pl.Series:
        """The part of each position that is compensated; 0 where it is not eligible."""
        return shares(self.run).gather(self.rows)

    @cached_property
    def amounts(self) -> pl.Series:
        """What each position gets, exact; null where that is unknown, and everywhere where a rule pays."""
        nothing = pl.repeat(None, len(self.rows), dtype=fixed.AMOUNT, eager=True)
        return nothing if self.chosen.values is None else self.chosen.values.gather(self.rows)

    @property
    def lacking(self) -> str:
        """What stands in the place of such a null."""
        return BY_TRADER if self.chosen.values is None else UNKNOWN

    @cached_property
    def columns(self) -> list[Column]:
        """Which liquidation it is: TRADER, MARKET, SIDE, LOG."""
        shown = self.shown
        logs = transactions(self.run.incident.chain.id, shown["transaction_hash"], shown["log_index"])
        return [
            column("trader", 40, addresses(shown["trader"])),
            column("market", 9, texts(shown["market_name"], "text", FILE)),
            column("side", 6, Cells("text", texts=shown["side"])),
            column("transaction", 21, logs),
        ]
