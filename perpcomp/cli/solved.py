"""What `perpcomp budget` solves and prints."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from perpcomp import fixed
from perpcomp.cli import terminal
from perpcomp.decide import budget as solvers
from perpcomp.decide.budget import CAP, MONTHS, SCALE, SOLVERS, THRESHOLD, TRADERS, Claims, Solution
from perpcomp.findings import near_miss, refusal
from perpcomp.number_text import exact, in_full
from perpcomp.run import Run
from perpcomp.systems.units import units

SOLVE: dict[str, Callable[[Claims, int], Solution]] = {
    SCALE: solvers.scale,
    CAP: solvers.cap,
    THRESHOLD: solvers.threshold,
    TRADERS: solvers.traders,
}


@dataclass(frozen=True)
class Answer:
    """A solution for one budget, with the asset and the decimals of its base units."""

    budget: str
    solution: Solution
    asset: str
    decimals: int
    quote: str

    def fields(self) -> dict[str, Any]:
        """The answer for JSON, all digits."""
        found = self.solution
        return {
            "budget": self.budget,
            "by": found.by,
            "answer": self.answer(found.answer),
            "exact": None if found.exact is None else str(found.exact if found.by in (SCALE, MONTHS) else found.exact / fixed.ONE),
            "total": self.amount(found.total),
            "left_over": self.amount(found.left_over),
            "next": self.answer(found.following),
            "total_of_next": self.amount(found.following_total),
            "asset": self.asset,
        }

    def amount(self, units_paid: int | None) -> str | None:
        """Base units as an amount."""
        return None if units_paid is None else exact(units_paid * 10 ** (18 - self.decimals))

    def answer(self, step: int | None) -> str | None:
        """A solver's step as a number."""
        return None if step is None else str(step) if self.solution.by in (TRADERS, MONTHS) else exact(step)


def answers(run: Run, name: str | None, amount: str | None, by: str | None, income: str | None, share: str) -> list[Answer]:
    """The solutions for the budgets asked for. InputError for a budget that is not there, and numbers that are none."""
    if by == MONTHS:
        if income is None:
            raise refusal("--by months", "There is no income to pay from.", "Add --income AMOUNT, and --share where not all of it is paid.")
        claims = Claims(_claims(run), Fraction(1))
        part = _share(share)
        try:
            found = solvers.months(claims, _number(income, "--income"), part)
        except ValueError as error:
            raise refusal("--income", f"Of {income}, {error}.", "Give a larger income, or a larger share.") from None
        return [Answer(f"{income} a month", found, units(run.incident).quote, 18, units(run.incident).quote)]
    solved = [by] if by is not None else [kind for kind in SOLVERS if kind != MONTHS]
    return [
        Answer(title, SOLVE[kind](claims, units_held), asset, decimals, units(run.incident).quote)
        for title, claims, units_held, asset, decimals in _budgets(run, name, amount)
        for kind in solved
    ]


def _budgets(run: Run, name: str | None, amount: str | None) -> list[tuple[str, Claims, int, str, int]]:
    """(name, claims in the budget's base units, its base units, asset, decimals)."""
    incident, values, quote = run.incident, _claims(run), units(run.incident).quote
    if amount is not None:
        return [(f"{amount} {quote}", Claims(values, Fraction(1)), _number(amount, "--amount"), quote, 18)]
    names = [one.name for one in incident.budgets]
    if name is not None and name not in names:
        raise refusal("--budget", f'There is no budget "{name}".', near_miss(name, names))
    if not names:
        raise refusal("--amount", f"{incident.name}.toml states no [[budget]].", "Add --amount AMOUNT.")
    legs = {leg.token: leg for leg in incident.settlement}
    found = []
    for one in incident.budgets:
        if name is not None and one.name != name:
            continue
        leg = legs.get(one.token)
        if leg is None and one.token != quote:
            if name is not None:
                raise refusal("--budget", f"Nothing is paid in {one.token}, so the budget has no price.", "Settle in that token.")
            continue
        rate, decimals = Fraction(1), 18
        if leg is not None:
            rate, decimals = Fraction(incident.quote_price) / Fraction(leg.price) * Fraction(10**leg.decimals, fixed.ONE), leg.decimals
        held = fixed.to_integer(one.amount) // 10 ** (18 - decimals)
        found.append((f"{one.name}: {in_full(fixed.to_integer(one.amount))} {one.token}", Claims(values, rate), held, one.token, decimals))
    return found


def _claims(run: Run) -> list[int | Fraction]:
    """What the formula gives each trader, or the rule before its first step."""
    if run.due.outcomes:
        begin = run.due.outcomes[0].begin
        return [begin.amounts[n] for n in range(len(begin.traders))]
    return [one.known for one in run.due.owed.values()]


def _number(text: str, option: str) -> int:
    try:
        value = fixed.to_integer(Decimal(text.replace("_", "").replace(",", "")))
    except (InvalidOperation, ValueError) as error:
        raise refusal(option, f"'{text}' is no amount: {error}.", "Write it as 45000 or 45000.5.") from None
    if value < 0:
        raise refusal(option, f"{text} is below 0.", "Give an amount of 0 or more.")
    return value


def _share(text: str) -> Fraction:
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share <= 1:
        raise refusal("--share", f"'{text}' is no share.", "Write a number above 0 and at most 1, as 0.175 or 7/40.")
    return share


def print_answers(found: list[Answer]) -> None:
    """A sentence an answer, with the neighbour that proves it."""
    for one in found:
        terminal.print_text([sentence(one)])


def sentence(one: Answer) -> str:
    """The answer, its total, what is left over, and the next answer, which does not fit."""
    found, asset = one.solution, one.asset
    total, left = (in_full(Decimal(one.amount(units_paid) or 0)) for units_paid in (found.total, found.left_over))
    answer = one.answer(found.answer)
    if found.by == MONTHS:
        return f"{one.budget}: {answer} months pay {total} {asset}, and leave {left} {asset} of the last; {one.answer(found.following)} do not."
    if found.following is None:
        return f"{one.budget}, by {found.by}: all claims fit, {total} {asset}; {left} {asset} are left over."
    unit = {SCALE: " of each claim", CAP: f" {one.quote} for each trader", THRESHOLD: f" {one.quote}, up to which claims are paid whole"}
    words = f"{answer}{unit.get(found.by, ' traders paid whole, the smallest claims first')}"
    above = in_full(Decimal(one.amount(found.following_total) or 0))
    exactly = f" Exactly: {one.fields()['exact']}." if found.exact is not None else ""
    return (
        f"{one.budget}, by {found.by}: {words}; {total} {asset} are paid and {left} {asset} left over."
        f" The next, {one.answer(found.following)}, would pay {above} {asset}.{exactly}"
    )
