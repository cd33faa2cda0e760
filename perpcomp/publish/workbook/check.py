"""The sheet Check: the workbook's own tests. Each line answers YES, NO or what-if."""

from perpcomp.publish.sentence import paid_accounts
from perpcomp.publish.status import status
from perpcomp.publish.workbook.claims import CLAIMS, Claims
from perpcomp.publish.workbook.inputs import INPUTS, Input
from perpcomp.publish.workbook.plan import FIRST_ROW, Cell, Column, Sheet, number, span
from perpcomp.publish.workbook.positions import POSITIONS, Positions
from perpcomp.publish.workbook.rules import Rule
from perpcomp.publish.workbook.vesting import VESTING
from perpcomp.run import Run

CHECK = "Check"
LIMBS = 5  # of nine digits
DIGITS = 9 * LIMBS  # of an exact total
PUBLISHED = "As published. {}."
WHAT_IF = "WHAT-IF: inputs were changed, and these are not the published amounts. The sheet Inputs shows what was changed and the original values."


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

    def zero(self, what: str, formula: str) -> None:
        """A count that must be 0, and may not be so once an input is changed."""
        says = f'IF(B{self.row}=0,"YES",IF(changed_inputs>0,"what-if","NO"))'
        self.add(what, Cell(0, "whole", formula), Cell(0, "whole"), Cell("YES", "bold", says))

    def equal(self, what: str, value: int, formula: str) -> None:
        """A count that must be this one."""
        says = f'IF(B{self.row}=C{self.row},"YES",IF(changed_inputs>0,"what-if","NO"))'
        self.add(what, Cell(value, "whole", formula), Cell(value, "whole"), Cell("YES", "bold", says))


def sheet(
    run: Run, found: list[Input], compared: list[Rule], positions: Positions, claims: Claims, sheets: dict[str, Sheet]
) -> tuple[Sheet, dict[str, str]]:
    """The sheet, and the names of its cells that other sheets use."""
    lines, names = Lines(), dict[str, str]()
    value, original = (span(INPUTS, column, len(found)) for column in (2, 4))
    names["changed_inputs"] = lines.add(
        "Inputs that were changed", Cell(0, "whole", f"SUMPRODUCT(({value}<>{original})*1)"), Cell(0, "whole"), Cell("", "text")
    )
    formulas = span("Compare", 0, len(compared))
    number_of = [rule.name for rule in compared].index(run.formula.name) + 1
    names["formula_number"] = lines.add(
        "Which formula pays, as its place on the sheet Compare",
        Cell(number_of, "whole", f"MATCH(formula_name,{formulas},0)"),
        Cell(number_of, "whole"),
        Cell("", "text"),
    )
    for leg in run.incident.settlement:
        paid = dict(run.payouts.filter(token=leg.token).select("trader", "amount_base_units").iter_rows())
        amounts = [int(paid[payee]) for payee in claims.order]
        _exact_total(lines, leg.token, amounts, claims.exact[leg.token])
        total = sum(amounts) * 10 ** (18 - leg.decimals)
        says = f'IF(ABS(B{lines.row}-C{lines.row})<=MAX({len(amounts)}*10^-{leg.decimals},10^-9*MAX(1,C{lines.row})),"YES",IF(changed_inputs>0,"what-if","NO"))'
        lines.add(
            f"{leg.token}: the live amounts, added up",
            Cell(number(total), "token", f"SUM({claims.live[leg.token]})"),
            Cell(number(total), "token"),
            Cell("YES", "bold", says),
        )
    for name, what in ((POSITIONS, "positions"), (CLAIMS, "accounts"), (VESTING, "payouts whose dates do not add up")):
        made = sheets[name]
        for column in made.checks:
            said = what if name == VESTING else f"{what} whose live amount is not the exact one"
            lines.zero(f"{name}: {said}", f'COUNTIF({span(name, column, len(made.rows))},"DIFF")')
    traders = span(CLAIMS, 0, len(claims.order))
    lines.equal("Accounts on the sheet Claims", len(claims.order), f"COUNTA({traders})")
    if len(claims.order) <= 10_000:  # each is compared with each
        lines.zero("Accounts that stand there twice", f"SUMPRODUCT((COUNTIF({traders},{traders})>1)*1)")
    if len(run.incident.settlement) == 1:
        (live,) = claims.live.values()
        lines.equal("Accounts that are paid more than 0", paid_accounts(run.payouts), f'COUNTIF({live},">0")')
    for name in positions.values_only:
        lines.add(
            f"{name}: no formula of a spreadsheet can follow this rule",
            Cell("amounts are values", "text"),
            Cell("", "text"),
            Cell("", "text"),
        )
    if claims.values_only:
        lines.add(
            "Claims: accounts whose amounts are values",
            Cell(claims.values_only, "whole"),
            Cell(claims.values_only, "whole"),
            Cell("", "text"),
        )
    columns = [Column("check", 62), Column("result", 54), Column("expected", 54), Column("passes?", 10)]
    return Sheet(CHECK, "Check: the workbook's own tests", columns, lines.rows), {
        name: f"={CHECK}!{place}" for name, place in names.items()
    }


def state(run: Run) -> Cell:
    """The line on every sheet: as published, or a what-if."""
    said = PUBLISHED.format(status(run))
    return Cell(said, "state", f'IF(changed_inputs=0,"{said}","{WHAT_IF}")')


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
