"""The workbook for voters: six sheets, nothing hidden, no formulas, the same bytes for the same run.

A spreadsheet holds 15 digits, so each amount has two columns: a number to sort by, and the exact text. Cells are written by
XlsxWriter's typed methods only, because `write()` turns some texts into formulas.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl
import xlsxwriter
from eth_utils.address import to_checksum_address

from perpcomp.fixed import to_integer
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted, in_full
from perpcomp.publish.summary import Line, summary
from perpcomp.run import Run
from perpcomp.sheet_limits import ABOVE, shown_rows, shown_text
from perpcomp.systems.units import units
from perpcomp.tables.decide import EXCLUSIONS
from perpcomp.tables.liquidations import LEFT_OUT, LIQUIDATIONS
from perpcomp.tables.payouts import ADJUSTED, CLAIMS, PAYEES, PAYOUTS, RULE_STEPS
from perpcomp.tables.schema import CSV_TIME, KINDS, Column, Table
from perpcomp.vesting.schedule import end_in_words
from perpcomp.vesting.vest import to_read

PAYOUT_COLUMNS = (
    "trader",
    "token",
    "entitlement",
    "share_of_budget",
    "value",
    "price",
    "amount",
    "amount_base_units",
    "liquidations",
    "reason",
)
LIQUIDATION_COLUMNS = (
    *("trader", "market_name", "side", "block_time", "eligible", "reason_code", "size", "margin", "open_notional", "funding_payment"),
    *("unrealized_pnl_at_reference", "realized_pnl", "bad_debt", "compensated_size", "entry_price", "reference_price", "partial", "life"),
    *("size_before_crash", "margin_before_crash", "open_notional_before_crash", "leverage_before_crash", "liquidation_price_before_crash"),
    *("margin_added", "margin_removed", "size_added", "size_reduced"),
    *("size_at_reference", "margin_at_reference", "open_notional_at_reference", "funding_at_reference", "notional_at_reference"),
    *("restore_notional", "restore_fee", "guard_verdict", "price_impact", "slack_delta", "premium", "slack_pd"),
    *("era", "era_rule", "reason", "liquidator", "block_number", "transaction_hash", "log_index"),
)
ONE_COLUMN = (
    "share_of_budget",
    "price",
    "reference_price",
    "leverage_before_crash",
    "liquidation_price_before_crash",
    *("price_impact", "slack_delta", "premium", "slack_pd"),
)  # ratios and prices have no second column with the exact text
LINE_HEIGHT = 15
SUMMARY = "Summary"  # the sheet of lines; every other sheet is a table
HEADER_ROW = ABOVE  # counted from 1; the heading, the notice and the totals are above it
HIGHEST = 409  # points; a spreadsheet refuses a file with a higher row


def _done(code: int | None) -> None:
    """Check what XlsxWriter answers: it returns a code, and raises nothing, where it leaves a cell out."""
    if code:
        raise RuntimeError(f"XlsxWriter refused a call with the code {code}")


class Sheets:
    """The workbook that is being written. Cells are written in reading order, so that equal runs give equal bytes."""

    def __init__(self, book: xlsxwriter.Workbook, run: Run) -> None:
        self.book, self.run, self.units = book, run, units(run.incident)
        self.bold = book.add_format({"bold": True, "valign": "top"})
        self.small = book.add_format({"text_wrap": True, "valign": "top", "font_size": 9, "font_color": "#444444"})
        self.title = book.add_format({"bold": True, "font_size": 14})
        self.header = book.add_format({"bold": True, "bg_color": "#DDE6EE", "border": 1, "text_wrap": True, "valign": "top"})
        self.wrap = book.add_format({"text_wrap": True, "valign": "top"})
        self.text = book.add_format({"num_format": "@"})
        self.number = book.add_format({"num_format": "#,##0.00####"})
        self.whole = book.add_format({"num_format": "0"})
        self.total = book.add_format({"bold": True, "num_format": "#,##0.00####", "top": 1})

    def sheet(self, name: str, heading: str) -> Any:
        """A new sheet with its heading and the notice in the first two rows; it prints on landscape pages."""
        sheet = self.book.add_worksheet(name)
        sheet.set_landscape()
        sheet.set_paper(9)
        _done(sheet.set_footer(f"&L{self.run.incident.name}&CDRAFT&RPage &P of &N"))
        _done(sheet.write_string(0, 0, self.fitting(heading), self.title))
        _done(sheet.write_string(1, 0, self.fitting(self.run.incident.notice or self.run.incident.title)))
        return sheet

    def summary(self, lines: Iterable[Line]) -> None:
        sheet = self.sheet(SUMMARY, self.run.incident.title)
        sheet.fit_to_pages(1, 1)
        widths = (26, 66, 78)
        for column, (label, width) in enumerate(zip(("What", "Value", "Source"), widths, strict=True)):
            _done(sheet.set_column(column, column, width))
            _done(sheet.write_string(HEADER_ROW - 1, column, label, self.header))
        check = "`perpcomp verify FOLDER`, with the folder of this file, recomputes every number from the logs in that folder."
        for row, line in enumerate([*lines, Line("How to check", check)], HEADER_ROW):
            texts = tuple(map(self.fitting, (line.label, line.value, line.source)))
            # LibreOffice shows wrapped rows on top of each other where a row has no height of its own.
            height = LINE_HEIGHT * max(1 + len(text) // width for text, width in zip(texts, (26, 66, 96), strict=True))
            _done(sheet.set_row(row, min(height, HIGHEST)))
            for column, (text, form) in enumerate(zip(texts, (self.bold, self.wrap, self.small), strict=True)):
                _done(sheet.write_string(row, column, text, form))
        sheet.freeze_panes(HEADER_ROW, 0)

    def table(
        self,
        name: str,
        heading: str,
        file: str,
        frame: pl.DataFrame,
        table: Table,
        shown: tuple[str, ...] = (),
        summed: tuple[str, ...] = (),
    ) -> None:
        """A sheet with one published table, or with its first rows where it has more than a sheet holds; `file` has all of them.

        Totals are of all rows, and above the header, where they stay in view.
        """
        rows = shown_rows(frame.height)
        held = counted(frame.height, "row")
        if rows < frame.height:
            held = f"{rows:,} of {held}, with the totals of all; all rows are in {file}"
        sheet = self.sheet(name, f"{heading}: {held}")
        by_name = {column.name: column for column in table.columns}
        columns = [by_name[n] for n in (shown or by_name)]
        cells: list[tuple[Column, bool]] = []  # (column, as exact text)
        for column in columns:
            both = column.kind == "amount" and column.name not in ONE_COLUMN
            cells += [(column, False), (column, True)] if both else [(column, False)]
        for at, (column, exact) in enumerate(cells):
            if column.name in summed and not exact:
                total = f"Total {in_full(_sum(frame, column.name))} {self.units.of(column.unit)}"
                _done(sheet.write_string(HEADER_ROW - 2, at, total, self.bold))
        for at, (column, exact) in enumerate(cells):
            unit = f" ({self.units.of(column.unit)})" if column.unit else ""
            _done(sheet.write_string(HEADER_ROW - 1, at, f"{column.name}{', exact' if exact else ''}{unit}", self.header))
        for row, values in enumerate(frame.head(rows).iter_rows(named=True), HEADER_ROW):
            for at, (column, exact) in enumerate(cells):
                _done(self.cell(sheet, row, at, column, values[column.name], exact, file))
        for at, (column, exact) in enumerate(cells):
            _done(sheet.set_column(at, at, _width(column, exact)))
        _done(sheet.set_row(HEADER_ROW - 1, 2 * LINE_HEIGHT))
        sheet.freeze_panes(HEADER_ROW, 1)
        _done(sheet.repeat_rows(HEADER_ROW - 1))
        if len(cells) <= 16:
            sheet.fit_to_pages(1, 0)
        _done(sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"}))

    def cell(self, sheet: Any, row: int, at: int, column: Column, value: Any, exact: bool, file: str) -> int | None:
        """Write a cell; returns XlsxWriter's code."""
        code: int | None
        if value is None:
            code = sheet.write_blank(row, at, None)
        elif column.kind == "amount" and exact:
            code = sheet.write_string(row, at, f"{value:f}", self.text)
        elif column.kind == "amount":
            code = sheet.write_number(row, at, float(value), self.number)
        elif column.kind == "integer":
            code = sheet.write_number(row, at, value, self.whole)
        elif column.kind == "address":
            code = sheet.write_string(row, at, to_checksum_address(value))
        elif column.kind == "flag":
            code = sheet.write_string(row, at, "yes" if value else "no")
        elif column.kind == "time":
            code = sheet.write_string(row, at, value if isinstance(value, str) else value.strftime(CSV_TIME))  # text: an estimate
        else:
            assert column.kind in KINDS
            code = sheet.write_string(row, at, shown_text(value, file), self.text)
        return code

    def fitting(self, text: str) -> str:
        """A text of the incident as its cell shows it."""
        return shown_text(text, f"inputs/{self.run.incident.name}.toml")


def workbook(run: Run) -> bytes:
    """The workbook's bytes. Equal runs give equal bytes under one version of XlsxWriter. The file is dated by the end of the window."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(
        buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    )
    book.set_properties(
        {"title": run.incident.title, "comments": run.incident.notice, "created": _dated(run.incident).replace(tzinfo=None)}
    )
    sheets = Sheets(book, run)
    by_amount = run.payouts.sort("entitlement", "trader", "token", descending=[True, False, False])
    sheets.summary(summary(run))
    sheets.table(
        "Payouts",
        "Payouts, largest first",
        "3-payouts.csv",
        by_amount,
        PAYOUTS,
        shown=PAYOUT_COLUMNS,
        summed=("value", "amount") if _one_token(run) else ("value",),
    )
    received = run.payees.sort("value", "payee", "token", descending=[True, False, False])
    totals = ("value", "unpayable", "rounded_off")
    sheets.table(
        "Payees", "Who receives it, largest first", "payee.csv", received, PAYEES, summed=("amount", *totals) if _one_token(run) else totals
    )
    if run.due.outcomes:
        shown = ("trader", "step", "kind", "before", "after", "reason") if len(run.due.outcomes) == 1 else ()
        sheets.table("Rule", "What each step of the rule does to each trader", "rule-steps.csv", run.rule_steps, RULE_STEPS, shown=shown)
    vesting = run.incident.vesting
    dates = f"; {end_in_words(vesting)}" if vesting.estimated else ""
    sheets.table(
        "Claims",
        f"Claims by trader and tranche{dates}",
        "4-claims.csv",
        to_read(run.claims, vesting),
        CLAIMS,
        summed=("amount",) if _one_token(run) else (),
    )
    sheets.table(
        "Liquidations",
        "Every liquidation in the input, compensated or not",
        "2-liquidations.csv",
        run.liquidations,
        LIQUIDATIONS,
        shown=LIQUIDATION_COLUMNS,
    )
    if run.adjusted.height:
        heading = "Entitlements that rulings corrected, in order"
        sheets.table("Adjusted", heading, "adjusted.csv", run.adjusted, ADJUSTED, summed=("change",))
    if run.exclusions.height:
        sheets.table(
            "Excluded",
            "Accounts that the incident file excludes, and what each exclusion keeps back",
            f"inputs/{run.incident.name}.toml",
            run.exclusions,
            EXCLUSIONS,
        )
    sheets.table("Left out", "Seen in the window and not paid", "left-out.csv", run.left_out, LEFT_OUT)
    book.close()
    return _repack(buffer.getvalue())


def _dated(incident: Incident) -> datetime:
    """When the window ends; without one, when the vesting starts."""
    return incident.vesting.start if incident.published_table is not None else incident.eligibility.end


def _one_token(run: Run) -> bool:
    return len(run.incident.settlement) == 1


def _sum(frame: pl.DataFrame, column: str) -> int:
    return sum(to_integer(value) for value in frame.get_column(column) if isinstance(value, Decimal))


def _width(column: Column, exact: bool) -> int:
    if column.kind == "amount":
        return 28 if exact else 16
    return {"address": 46, "hash": 70, "time": 21, "digits": 26, "flag": 9, "integer": 12}.get(
        column.kind, 60 if column.name == "reason" else 14
    )


def _repack(data: bytes) -> bytes:
    """The same parts sorted by name, dated 1980 and uncompressed, because the output of zlib differs between machines."""
    first = ("[Content_Types].xml", "_rels/.rels")
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
        for name in sorted(source.namelist(), key=lambda n: (n not in first, n)):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o600 << 16
            out.writestr(info, source.read(name))
    return target.getvalue()


def content_digest(data: bytes) -> str:
    """sha256 of the sorted parts of a workbook as (length of name, name, length of data, data). Another compression does not change it."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        for name in sorted(book.namelist()):
            part = book.read(name)
            for piece in (name.encode(), part):
                digest.update(len(piece).to_bytes(8) + piece)
    return digest.hexdigest()
