"""Transactions and accounts as cells that lead to a chain's explorer."""

import polars as pl

from perpcomp import sheet_limits
from perpcomp.publish.links import EXPLORERS
from perpcomp.publish.workbook.plan import Cells
from perpcomp.publish.workbook.series import chosen

TRANSACTION, ACCOUNT = "tx", "address"  # kinds of pages


def pages(chain: int, kind: str, what: pl.Series) -> pl.Series:
    """The address of each transaction's or account's page, "" where no explorer of the chain is known, or a sheet holds no more links."""
    if chain not in EXPLORERS:
        return pl.repeat("", len(what), dtype=pl.String, eager=True)
    page = pl.format(f"{EXPLORERS[chain]}/{kind}/{{}}", what)
    fits = pl.int_range(len(what), eager=True) < sheet_limits.LINKS
    return pl.select(pl.when(fits).then(page).otherwise(pl.lit(""))).to_series().fill_null("")


def transactions(chain: int, hashes: pl.Series, logs: pl.Series) -> Cells:
    """Transactions in short, with the log, each a link to its page."""
    short = pl.select(pl.format("{}… log {}", hashes.str.head(12), logs)).to_series()
    links = pages(chain, TRANSACTION, hashes)
    return Cells(chosen(links != "", "link", "text"), texts=short, links=links)


def accounts(chain: int, addresses: Cells, on_chain: pl.Series) -> Cells:
    """Addresses as links to their pages; without one who did nothing on this chain."""
    assert addresses.texts is not None
    links = pl.select(pl.when(on_chain).then(pages(chain, ACCOUNT, addresses.texts)).otherwise(pl.lit(""))).to_series()
    return Cells(chosen(links != "", "address_link", "address"), texts=addresses.texts, links=links)
