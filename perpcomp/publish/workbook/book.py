"""The plan of a run's workbook: every sheet, in the order of reading."""

import hashlib

from perpcomp.publish.status import status
from perpcomp.publish.workbook import check, claims, compare, inputs, positions, published, read_me, vesting
from perpcomp.publish.workbook.plan import Book
from perpcomp.publish.workbook.rules import rules
from perpcomp.run import Run
from perpcomp.sheet_limits import shown_text
from perpcomp.tables.liquidations import LEFT_OUT, LIQUIDATIONS
from perpcomp.tables.payouts import CLAIMS, PAYEES, PAYOUTS
from perpcomp.version import VERSION


def planned(run: Run) -> Book:
    """The plan of a run."""
    compared = rules(run)
    found = inputs.inputs(run, compared)
    where = positions.positions(run, compared)
    side_by_side = compare.sheets(run, where, compared)
    paid = claims.claims(run, side_by_side)
    dates = vesting.sheet(run, paid)
    live = {made.name: made for made in (where.sheet, paid.sheet, dates)}
    checked, names = check.sheet(run, found, compared, where, paid, live)
    tables = {
        "2-liquidations.csv": (run.liquidations, LIQUIDATIONS),
        "3-payouts.csv": (run.payouts, PAYOUTS),
        "4-claims.csv": (run.claims, CLAIMS),
        "payee.csv": (run.payees, PAYEES),
        "left-out.csv": (run.left_out, LEFT_OUT),
    }
    incident = run.incident
    sources = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in run.input.files} | {
        f"{incident.name}.toml": incident.sha256
    }
    sheets = [
        *(read_me.read_me(run), inputs.sheet(found), paid.sheet, where.sheet, dates, side_by_side.rules, side_by_side.traders),
        *published.sheets(run),
        *(checked, read_me.provenance(run, tables, sources), read_me.glossary()),
    ]
    file = f"inputs/{incident.name}.toml"
    notice = shown_text(incident.notice or incident.title, file)
    footer = f"&L{incident.name}&C{status(run)} perpcomp {VERSION}&R&A, page &P of &N"
    return Book(incident.title, notice, footer, sheets, {**inputs.names(found), **names}, check.state(run))
