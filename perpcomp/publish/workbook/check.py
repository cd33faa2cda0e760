"""The sheet Check: the workbook's own tests. Each line answers YES, NO or what-if."""

from perpcomp.incident.settlement import Leg
from perpcomp.publish.sentence import paid_accounts
from perpcomp.publish.status import status
from perpcomp.publish.workbook.claims import CLAIMS, Claims
from perpcomp.publish.workbook.formulas import VALUES, Formulas
from perpcomp.publish.workbook.inputs import FORMULA, INPUTS, ORIGINAL, VALUE, Input
from perpcomp.publish.workbook.plan import EMPTY, FIRST_ROW, Cell, Column, Sheet, above_zero, letter, number, span
from perpcomp.publish.workbook.positions import POSITIONS
from perpcomp.publish.workbook.rules import Rule
from perpcomp.publish.workbook.spelled import LONGEST
from perpcomp.publish.workbook.vesting import VESTING
from perpcomp.run import Run, kind_in_words

CHECK = "Check"
LIMBS = 5  # of nine digits
DIGITS = 9 * LIMBS  # of an exact total
MOST = 10_000  # accounts of which each is compared with each
COUNTED = {CLAIMS: "accounts", POSITIONS: "positions"}  # what has a row on a sheet
WHAT_IF = "WHAT-IF: these are not the published amounts. The sheet Inputs shows the original values"


class Lines:
    """The lines of the sheet as they are added; `place` is the cell of the next line's result."""

    def __init__(self) -> None:
        self.rows: list[list[Cell]] = []

    @property
    def row(self) -> int:
        return FIRST_ROW + len(self.rows)

    def add(self, what: str, result: Cell, expected: Cell, says: Cell) -> str:
        """Adds a line; returns the cell of its result."""
        place = f"$B${self.row}"
        self.rows.append([Cell(what, "wrapped"), result, expected, says])
        return place

    def note(self, what: str, result: Cell) -> str:
        """A line that passes no judgement; returns the cell of its result."""
        return self.add(what, result, EMPTY, EMPTY)

    def zero(self, what: str, formula: str) -> None:
        """A count that must be 0, and may not be so once an input is changed."""
        says = f'IF(B{self.row}=0,"YES",IF(changed_inputs>0,"what-if","NO"))'
        self.add(what, Cell(0, "whole", formula), Cell(0, "whole"), Cell("YES", "bold", says))

    def equal(self, what: str, value: int, formula: str) -> None:
        """A count that must be this one."""
        says = f'IF(B{self.row}=C{self.row},"YES",IF(changed_inputs>0,"what-if","NO"))'
        self.add(what, Cell(value, "whole", formula), Cell(value, "whole"), Cell("YES", "bold", says))


def sheet(
    run: Run, found: list[Input], compared: list[Rule], formulas: Formulas, claims: Claims, sheets: list[Sheet]
) -> tuple[Sheet, dict[str, str]]:
    """The sheet, and the names of its cells that other sheets use. `sheets` have the columns whose checks it counts."""
    lines, names = Lines(), dict[str, str]()
    value, original = (span(INPUTS, column, len(found)) for column in (VALUE, ORIGINAL))
    names["changed_inputs"] = lines.note("Inputs that were changed", Cell(0, "whole", f"SUMPRODUCT(({value}<>{original})*1)"))
    names["original_values"] = lines.note("Their original values", Cell("", "wrapped", _original_values(found)))
    options = span("Compare", 0, len(compared))
    number_of = [rule.name for rule in compared].index(run.formula.name) + 1
    chosen = Cell(number_of, "whole", f"MATCH({FORMULA},{options},0)")
    names["formula_number"] = lines.note("Which formula pays, as its place on the sheet Compare", chosen)
    for leg in run.incident.settlement:
        _of_token(run, leg, claims, lines)
    for made in sheets:
        said = (
            "payouts whose dates do not add up" if made.name == VESTING else f"{COUNTED[made.name]} whose live amount is not the exact one"
        )
        for column in made.checks:
            lines.zero(f"{made.name}: {said}", f'COUNTIF({span(made.name, column, made.height)},"DIFF")')
    accounts = span(CLAIMS, 0, len(claims.payees))
    lines.equal("Accounts on the sheet Claims", len(claims.payees), f"COUNTA({accounts})")
    if len(claims.payees) <= MOST:
        lines.zero("Accounts that stand there twice", f"SUMPRODUCT((COUNTIF({accounts},{accounts})>1)*1)")
    else:
        lines.note("Accounts that stand there twice", Cell(f"not counted above {MOST:,} accounts; check-sheet does", "wrapped"))
    if len(run.incident.settlement) == 1:
        (live,), (leg,) = claims.live.values(), run.incident.settlement
        lines.equal("Accounts that are paid more than 0", paid_accounts(run.payouts), above_zero(live, leg.decimals))
    for name in formulas.values_only:
        lines.note(f"{name}: no formula of a spreadsheet can follow this rule", Cell(VALUES, "text"))
    if not run.fairness.is_empty():
        lines.note("Compare: the measures of fairness", Cell(VALUES, "text"))
    if claims.values_only:
        lines.note("Claims: accounts whose amounts are values", Cell(claims.values_only, "whole"))
    columns = [Column("check", 62), Column("result", 54), Column("expected", 54), Column("passes?", 10)]
    return Sheet(CHECK, "Check: the workbook's own tests", columns, lines.rows), {
        name: f"={CHECK}!{place}" for name, place in names.items()
    }


def _original_values(found: list[Input]) -> str:
    """The formula of a text that lists the inputs that were changed with their original values."""
    cells = (
        (one.name, f"{INPUTS}!${letter(VALUE)}${row}", f"{INPUTS}!${letter(ORIGINAL)}${row}") for row, one in enumerate(found, FIRST_ROW)
    )
    text = "&".join(f'IF({value}<>{original},"; {name} "&{original},"")' for name, value, original in cells)
    return text if len(text) <= LONGEST else '""'


def _of_token(run: Run, leg: Leg, claims: Claims, lines: Lines) -> None:
    """The lines of one token: the exact total, and the live one."""
    paid = dict(run.payouts.filter(token=leg.token).select("trader", "amount_base_units").iter_rows())
    amounts = [int(paid[payee]) for payee in claims.payees]
    _exact_total(lines, leg.token, amounts, claims.exact[leg.token])
    whole = number(sum(amounts) * 10 ** (18 - leg.decimals))
    near = f"MAX({len(amounts)}*10^-{leg.decimals},10^-9*MAX(1,C{lines.row}))"
    says = f'IF(ABS(B{lines.row}-C{lines.row})<={near},"YES",IF(changed_inputs>0,"what-if","NO"))'
    live = Cell(whole, "token", f"SUM({claims.live[leg.token]})")
    lines.add(f"{leg.token}: the live amounts, added up", live, Cell(whole, "token"), Cell("YES", "bold", says))


def state(run: Run) -> Cell:
    """The line on every sheet: as published, or a what-if."""
    said = f"As published. {status(run)}."
    if run.overrides:
        said = f"This is {kind_in_words(run.overrides)}, not the run that the incident file states. {status(run)}."
    if any(problem.stops for problem in run.problems):
        said = f"PAYMENT IS STOPPED by a finding, and every payout is 0. {status(run)}."
    quoted = said.replace('"', '""')
    return Cell(said, "state", f'IF(changed_inputs=0,"{quoted}","{WHAT_IF}"&original_values&".")')


def _exact_total(lines: Lines, token: str, amounts: list[int], column: str) -> None:
    """The sum of texts of base units to the last digit, nine digits a limb: a cell holds 15 digits, the total has more."""
    limbs, carry = list[str](), 0
    for k in range(LIMBS):
        start = DIGITS - 8 - 9 * k
        before = f"+INT({limbs[-1]}/10^9)" if limbs else ""
        formula = f'SUMPRODUCT(VALUE(MID(RIGHT(REPT("0",{DIGITS})&{column},{DIGITS}),{start},9))){before}'
        carry = sum(amount // 10 ** (9 * k) % 10**9 for amount in amounts) + carry // 10**9
        what = f"{token}: digits {9 * k + 1} to {9 * k + 9} from the right, with the carry"
        limbs.append(lines.add(what, Cell(carry, "whole", formula), Cell("", "text"), Cell("", "text")))
    text = "&".join(f'TEXT(MOD({limb},10^9),"000000000")' for limb in reversed(limbs))
    padded = f"{sum(amounts):0{DIGITS}d}"
    says = Cell("YES", "bold", f'IF(EXACT(B{lines.row},C{lines.row}),"YES","NO")')
    lines.add(f"{token}: the exact amounts, added up to the last base unit", Cell(padded, "digits", text), Cell(padded, "digits"), says)
