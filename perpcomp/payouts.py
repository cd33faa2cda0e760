"""From entitlements to tokens per payee. This module holds the project's only rounding of money.

What a formula gives is a whole number of 1e-18 of the quote asset: its value is split into the legs of the settlement in such numbers,
the last leg taking the remainder. What a rule gives is exact, and so are its legs. Each leg becomes base units of its token once: cut
down, or by largest remainder where the total is to be met to the unit.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import lcm
from operator import sub

import polars as pl

from perpcomp import fixed, payees
from perpcomp.entitlement import Entitlement, columns_of, incomplete, part_of
from perpcomp.findings import Finding, refusal
from perpcomp.incident.incident import Incident
from perpcomp.incident.settlement import Leg
from perpcomp.number_text import counted, exact, in_full
from perpcomp.owed import Due
from perpcomp.payees import UNPAYABLE
from perpcomp.rules.named import NamedRule, Paying
from perpcomp.systems.units import units as units_of
from perpcomp.tables.payouts import PAYOUTS
from perpcomp.tables.schema import check

STOPPED = "payment is stopped by a finding: see findings.csv"
OTHER_TOKENS = "other-tokens: the rules of the other tokens pay the whole entitlement"
FLOOR, LARGEST_REMAINDER = "floor", "largest-remainder"
NAMED = 20  # so many traders are named in a finding

Exact = int | Fraction


def rounding(chosen: Paying, incident: Incident) -> str:
    """How amounts become base units: as [allocation] states, or else to the unit where a rule shares a pot, and cut down elsewhere."""
    shares_a_pot = isinstance(chosen, NamedRule) and chosen.shares_a_pot
    return incident.rounding or (LARGEST_REMAINDER if shares_a_pot else FLOOR)


def pay(due_to: Due, unpayable: Mapping[str, str], liquidations: pl.DataFrame, stopped: bool) -> pl.DataFrame:
    """The payouts table: one row per payee and token, also where nothing is owed, with the reason for a 0.

    `due_to` is what the chosen formula or rule gives the traders of `liquidations`, the published table. Only the known part is paid.
    `unpayable` says why an address cannot be paid: what it is owed stays in `value`, with an amount of 0. `stopped` pays nobody.
    """
    chosen, incident = due_to.chosen, due_to.incident
    if chosen.negative:
        what = f"'{chosen.name}' may give negative amounts, so it can be compared, but never paid."
        raise refusal(f"{incident.name}.toml [formula]", what, "Choose another formula; `perpcomp compare` shows all of them.")
    traders, (known, _, liquidated) = [*due_to.by_payee], columns_of(due_to.by_payee)
    refused = [unpayable.get(payee) for payee in traders]
    amounts: Sequence[Exact] = [0] * len(traders) if stopped else known
    whole = [*map(int, amounts)]
    total = sum(whole)
    why_nothing = (lambda _: STOPPED) if stopped else _reasons_for_nothing(due_to, liquidations)
    worth = fixed.to_integer(incident.quote_price)
    shares = [[*amounts] for _ in incident.settlement] if stopped else leg_columns(due_to)
    paid = [PAYOUTS.empty()]
    for k, leg in enumerate(incident.settlement):
        own = shares[k]
        values = [int(share * worth // fixed.ONE) for share in own]
        payable = [0 if why else share for share, why in zip(own, refused, strict=True)]
        before_rest = takes_rest(due_to) and k < len(incident.settlement) - 1
        units = in_units(payable, leg, worth, rounding(chosen, incident), shares[-1] if before_rest else None)
        if before_rest:
            spent = [share if why else worth_of(n, leg, worth) for share, n, why in zip(own, units, refused, strict=True)]
            shares[-1] = [*map(sub, shares[-1], spent)]
        price, unit = fixed.to_integer(leg.price), 10**leg.decimals
        _refuse_too_many(max(units, default=0), leg, incident)
        if isinstance(chosen, NamedRule) and rounding(chosen, incident) == LARGEST_REMAINDER:
            _refuse_too_few(units, payable, chosen, leg, incident)
        columns = {
            "trader": traders,
            "token": [leg.token] * len(traders),
            "formula": [chosen.name] * len(traders),
            "liquidations": liquidated,
            "entitlement": fixed.from_integers(whole),
            "share_of_budget": fixed.from_integers([amount * fixed.ONE // total if total else None for amount in whole]),
            "value": fixed.from_integers(values),
            "price": fixed.from_integers([price] * len(traders)),
            "amount": fixed.from_integers([paid_units * 10 ** (18 - leg.decimals) for paid_units in units]),
            "amount_base_units": [str(paid_units) for paid_units in units],
            "rounded_off": fixed.from_integers(
                [
                    0 if why else _rounded_off(share, value, paid_units * price, unit, worth)
                    for share, value, paid_units, why in zip(own, values, units, refused, strict=True)
                ]
            ),
            "reason": [
                None
                if paid_units
                else OTHER_TOKENS
                if due_to.legs and amount and not share
                else f"{UNPAYABLE}{why}"
                if why and amount
                else why_nothing(trader)
                for trader, paid_units, amount, share, why in zip(traders, units, amounts, own, refused, strict=True)
            ],
        }
        paid.append(pl.DataFrame(columns, schema=PAYOUTS.schema))
    return check(pl.concat(paid), PAYOUTS)


def unpaid(chosen: Paying, owed: Mapping[str, Entitlement]) -> list[Finding]:
    """An error where the chosen formula cannot value every liquidation: how many, and of which traders."""
    lacking = incomplete(owed)
    if not lacking:
        return []
    rows = sum(entitlement.unknown for entitlement in lacking.values())
    listed = [f"{trader} ({entitlement.unknown} of {entitlement.liquidations})" for trader, entitlement in lacking.items()]
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    what = (
        f"{chosen.name} cannot value {counted(rows, 'liquidation')} of {counted(len(lacking), 'trader')}, because a value that it reads"
        f" is null, and pays nothing for {'it' if rows == 1 else 'them'}: {', '.join(listed[:NAMED])}{more}."
    )
    advice = "Read the findings on these liquidations. Fetch the missing logs, or choose another formula."
    return [Finding("error", "3-payouts.csv", what, advice, code="unpaid-liquidation")]


def split(entitlements: Sequence[Exact], legs: Sequence[Leg]) -> list[list[Exact]]:
    """The values of each leg: its share of each entitlement, and the last leg takes the rest, so that they add up. Shares of a whole number are floored."""
    shares, rest = list[list[Exact]](), [*entitlements]
    for leg in legs[:-1]:
        shares.append([part_of(entitlement, leg.share) for entitlement in entitlements])
        rest = [*map(sub, rest, shares[-1])]
    return [*shares, rest]


def base_units(value: Exact, leg: Leg, worth: int = fixed.ONE) -> int:
    """Base units of the leg's token for a value in 1e-18 of the quote asset, of which one is `worth`: floor(value * worth * 10^decimals / price)."""
    return in_units([value], leg, worth, FLOOR)[0]


def in_units(values: Sequence[Exact], leg: Leg, worth: int, mode: str, most: Sequence[Exact] | None = None) -> list[int]:
    """The base units of several values: of each alone, or by largest remainder.

    Then the units of all are the floor of the exact sum, and the missing ones go to the largest remainders, ties by the order
    of the values, which is that of the addresses. A value of 0 gets none. Nobody gets more than `most` of each, where it is given: what
    another token is to pay the rest of cannot be below 0.
    """
    common = lcm(*(value.denominator for value in values))
    factor, divisor = worth * 10**leg.decimals, fixed.to_integer(leg.price) * fixed.ONE * common
    scaled = [value.numerator * (common // value.denominator) * factor for value in values]
    units = [value // divisor for value in scaled]
    if mode == LARGEST_REMAINDER:
        missing = sum(scaled) // divisor - sum(units)
        cut = [n for n in range(len(units)) if scaled[n] % divisor]
        if most is not None:
            cut = [n for n in cut if worth_of(units[n] + 1, leg, worth) <= most[n]]
        for n in sorted(cut, key=lambda n: -(scaled[n] % divisor))[:missing]:
            units[n] += 1
    return units


def _rounded_off(exactly: Exact, value: int, paid: int, unit: int, worth: int) -> int:
    """What the units that are paid leave of a value, cut to whole 1e-18: below 0 where a unit was added. `value` is the exact one cut
    down; the units are worth `paid` / `unit`.
    """
    if isinstance(exactly, int):
        return value - paid // unit
    return int(exactly * worth / fixed.ONE - Fraction(paid, unit))


def takes_rest(due_to: Due) -> bool:
    """Whether the last token pays what the others, in their whole base units, leave of the entitlement."""
    return bool(due_to.legs) and due_to.incident.settlement[-1].rule is None


def less_paid(values: list[Exact], due_to: Due, units: Mapping[str, int]) -> list[Exact]:
    """One payee's `leg_values`, where the last token takes the rest less what the others' base units (by token) are worth."""
    if not takes_rest(due_to):
        return values
    *others, last = zip(values, due_to.incident.settlement, strict=True)
    worth = fixed.to_integer(due_to.incident.quote_price)
    return [*values[:-1], last[0] - sum(worth_of(units[leg.token], leg, worth) for _, leg in others)]


def worth_of(units: int, leg: Leg, worth: int) -> Fraction:
    """What base units of a token are worth, in 1e-18 of the quote asset, of which one is `worth`: exact."""
    return Fraction(units * fixed.to_integer(leg.price) * fixed.ONE, 10**leg.decimals * worth)


def leg_values(due_to: Due) -> dict[str, list[Exact]]:
    """`leg_columns` as payee -> the value of each leg."""
    return {payee: [*values] for payee, *values in zip(due_to.by_payee, *leg_columns(due_to), strict=True)}


def leg_columns(due_to: Due) -> list[list[Exact]]:
    """For each leg the value of each payee, by its share or as its rule says; of a last leg that takes the rest, the whole entitlement yet.

    InputError where the rules' values are not the whole entitlement, or more than it.
    """
    incident, (known, _, _) = due_to.incident, columns_of(due_to.by_payee)
    if not due_to.legs:
        return split(known, incident.settlement)
    paid, rest = [payees.per_payee(payees.parts(one, incident)) for one in due_to.legs], takes_rest(due_to)
    columns = [[one[payee].known for payee in due_to.by_payee] for one in paid]
    for payee, whole, *own in zip(due_to.by_payee, known, *columns, strict=True):
        if sum(own) > whole or (sum(own) < whole and not rest):
            tokens = " and ".join(f"{in_full(int(v))} in {leg.token}" for v, leg in zip(own, incident.settlement, strict=False))
            what = f"The tokens' rules give {payee} {tokens}, but the rule that pays gives it {in_full(int(whole))} in all."
            raise refusal(f"{incident.name}.toml [[settlement]] rule", what, "Let the rules of the tokens be parts of the rule that pays.")
    return [*columns, known] if rest else columns


def _refuse_too_many(units: int, leg: Leg, incident: Incident) -> None:
    """InputError where the largest payout of a token, in base units, is more tokens than an amount holds."""
    largest = units * 10 ** (18 - leg.decimals)
    if largest >= fixed.LIMIT:
        where = f"{incident.name}.toml [[settlement]] {leg.token} price"
        paid = units_of(incident).paid
        what = f"At {exact(leg.price)} {paid} one trader would be paid {largest // fixed.ONE:,} {leg.token}; an amount is less than 1e20."
        raise refusal(where, what, f"Correct the price: it is {paid} for one token.")


def _refuse_too_few(units: Sequence[int], payable: Sequence[Exact], chosen: NamedRule, leg: Leg, incident: Incident) -> None:
    """InputError where a pot holds fewer base units than there are payees with a claim on it."""
    claiming = sum(1 for value in payable if value > 0)
    if sum(units) < claiming:
        what = (
            f"{chosen.name} shares {counted(sum(units), 'base unit')} of {leg.token} among {counted(claiming, 'payee')}: not one unit each."
        )
        advice = "Share a larger pot, or write its amount in whole units of the asset, not in base units."
        raise refusal(f"{incident.name}.toml [[rule]] {chosen.name} pot", what, advice)


def _reasons_for_nothing(due_to: Due, liquidations: pl.DataFrame) -> Callable[[str], str]:
    """Says why a payee is paid 0. One unknown liquidation is a reason; the others hold for all of its traders'."""
    none = {name: (pl.col(name) == 0).fill_null(False).all() for name in ("size_at_reference", "margin_at_reference")}
    rows = liquidations.filter("eligible").join(due_to.paid_for, on="trader").group_by("payee").agg(**none)
    nothing = {payee: (no_position, no_margin) for payee, no_position, no_margin in rows.filter(pl.any_horizontal([*none])).iter_rows()}
    due, quote, taken = due_to.by_payee, units_of(due_to.incident).quote, due_to.outcomes[0].why_nothing() if due_to.outcomes else {}

    def why(payee: str) -> str:
        own = due[payee]
        if payee in taken and not own.known:
            return taken[payee]
        return _reason_for_nothing(own, *nothing.get(payee, (False, False)), quote)

    return why


def _reason_for_nothing(entitlement: Entitlement, no_position: bool, no_margin: bool, quote: str) -> str:
    if entitlement.known:
        return "below-one-base-unit: the value is smaller than the token's smallest unit"
    if entitlement.adjusted is not None and not entitlement.unknown:
        return "adjusted: a ruling leaves nothing; see adjusted.csv"
    if entitlement.taken_off and not entitlement.unknown:
        return f"already-received: {in_full(int(entitlement.taken_off))} {quote} that are owed were received already"
    if entitlement.unknown:
        return "unknown: the rule reads what the logs do not hold; see findings.csv"
    if no_position:
        return "no-position: nothing of it was open at the moment of [valuation]"
    if no_margin:
        return "no-margin: the position held no margin"
    return "under-water: nothing of the position is left by this rule"
