"""The plan of a run's workbook: every sheet, in the order of reading."""

from perpcomp.publish.facts import input_hashes
from perpcomp.publish.status import status
from perpcomp.publish.workbook import check, claims, compare, inputs, published, read_me, vesting
from perpcomp.publish.workbook.formulas import formulas
from perpcomp.publish.workbook.listing import Listing
from perpcomp.publish.workbook.plan import Book
from perpcomp.publish.workbook.positions import positions
from perpcomp.publish.workbook.rules import equities, rules
from perpcomp.publish.workbook.traders import traders
from perpcomp.run import Run
from perpcomp.sheet_limits import shown_text
from perpcomp.tables.liquidations import LEFT_OUT, LIQUIDATIONS
from perpcomp.tables.payouts import CLAIMS, PAYEES, PAYOUTS
from perpcomp.version import VERSION


def planned(run: Run) -> Book:
    """The plan of a run."""
    compared = rules(run)
    worth, lost = equities(run)
    found = inputs.inputs(run, compared)
    listing = Listing(run, next(rule for rule in compared if rule.name == run.formula.name))
    of_formulas = formulas(listing, compared)
    of_positions = positions(listing, of_formulas, worth)
    of_traders = traders(run, of_positions, of_formulas, compared, lost)
    paid = claims.claims(run, of_traders, lost)
    dates = vesting.sheet(run, paid)
    checked, names = check.sheet(run, found, compared, of_formulas, paid, [of_positions.sheet, paid.sheet, dates])
    tables = {
        "2-liquidations.csv": ("liquidations", LIQUIDATIONS),
        "3-payouts.csv": ("payouts", PAYOUTS),
        "4-claims.csv": ("claims", CLAIMS),
        "payee.csv": ("payees", PAYEES),
        "left-out.csv": ("left_out", LEFT_OUT),
    }
    incident = run.incident
    sheets = [
        *(read_me.read_me(run), inputs.sheet(found), paid.sheet, of_positions.sheet, dates),
        *(compare.sheet(run, of_formulas, compared, of_traders.sheet), of_traders.sheet),
        *((of_formulas.sheet,) if of_formulas.columns else ()),
        *published.sheets(run),
        *(checked, read_me.provenance(run, tables, input_hashes(run)), read_me.glossary()),
    ]
    file = f"inputs/{incident.name}.toml"
    notice = shown_text(incident.notice or incident.title, file)
    made = f"{status(run)} perpcomp {VERSION}, payouts {run.row_hash('payouts', PAYOUTS)[:8]}"
    footer = f"&L{incident.name.replace('&', '&&')}&C{made}&R&A, page &P of &N"
    return Book(incident.title, notice, footer, sheets, {**inputs.names(found), **names}, check.state(run))
