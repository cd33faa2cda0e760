"""From entitlements to tokens per payee. This module holds the project's only rounding of money.

An entitlement is a whole number of 1e-18 of the quote asset. Its value is first split into the legs of the settlement, the last leg
taking the remainder; each leg is then floored once to base units of its token.
"""

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from perpcomp import fixed, payees
from perpcomp.entitlement import Entitlement, incomplete
from perpcomp.findings import Finding, refusal
from perpcomp.formula import Formula
from perpcomp.incident.incident import Incident
from perpcomp.incident.settlement import Leg
from perpcomp.number_text import counted, exact, in_full
from perpcomp.payees import UNPAYABLE, Part
from perpcomp.systems.units import units as units_of
from perpcomp.tables.payouts import PAYOUTS
from perpcomp.tables.schema import check

STOPPED = "payment is stopped by a finding: see findings.csv"
NAMED = 20  # so many traders are named in a finding
TO_PAYEE = {"trader": pl.String, "payee": pl.String}


def pay(
    chosen: Formula, parts: Sequence[Part], unpayable: Mapping[str, str], liquidations: pl.DataFrame, incident: Incident, stopped: bool
) -> pl.DataFrame:
    """The payouts table: one row per payee and token, also where nothing is owed, with the reason for a 0.

    `parts` are what the chosen formula gives the traders of `liquidations`, the published table, by payee. Only the known part is
    paid. `unpayable` says why an address cannot be paid: what it is owed stays in `value`, with an amount of 0. `stopped` pays nobody.
    """
    if chosen.negative:
        what = f"'{chosen.name}' may give negative amounts, so it can be compared, but never paid."
        raise refusal(f"{incident.name}.toml [formula]", what, "Choose another formula; `perpcomp compare` shows all of them.")
    due = payees.per_payee(parts)
    refused = [unpayable.get(payee) for payee in due]
    amounts = [0 if stopped else entitlement.known for entitlement in due.values()]
    total = sum(amounts)
    reasons = [STOPPED] * len(due) if stopped else _reasons_for_nothing(due, parts, liquidations, units_of(incident).quote)
    reasons = [f"{UNPAYABLE}{why}" if why and amount else reason for why, amount, reason in zip(refused, amounts, reasons, strict=True)]
    shares = [split(amount, incident.settlement) for amount in amounts]
    worth = fixed.to_integer(incident.quote_price)
    paid = [PAYOUTS.empty()]
    for k, leg in enumerate(incident.settlement):
        values = [fixed.mul_integers(share[k], worth) for share in shares]
        units = [0 if why else base_units(share[k], leg, worth) for share, why in zip(shares, refused, strict=True)]
        price, unit = fixed.to_integer(leg.price), 10**leg.decimals
        _refuse_too_many(max(units, default=0), leg, incident)
        columns = {
            "trader": list(due),
            "token": [leg.token] * len(due),
            "formula": [chosen.name] * len(due),
            "liquidations": [entitlement.liquidations for entitlement in due.values()],
            "entitlement": fixed.from_integers(amounts),
            "share_of_budget": fixed.from_integers([amount * fixed.ONE // total if total else None for amount in amounts]),
            "value": fixed.from_integers(values),
            "price": fixed.from_integers([price] * len(due)),
            "amount": fixed.from_integers([paid_units * 10 ** (18 - leg.decimals) for paid_units in units]),
            "amount_base_units": [str(paid_units) for paid_units in units],
            "rounded_off": fixed.from_integers(
                [
                    0 if why else value - fixed.truncate(paid_units * price, unit)
                    for value, paid_units, why in zip(values, units, refused, strict=True)
                ]
            ),
            "reason": [None if paid_units else reason for paid_units, reason in zip(units, reasons, strict=True)],
        }
        paid.append(pl.DataFrame(columns, schema=PAYOUTS.schema))
    return check(pl.concat(paid), PAYOUTS)


def unpaid(chosen: Formula, owed: Mapping[str, Entitlement]) -> list[Finding]:
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


def split(entitlement: int, legs: Iterable[Leg]) -> list[int]:
    """The value of each leg: floors of the shares, and the last leg takes the rest, so that they add up."""
    shares = [entitlement * leg.share.numerator // leg.share.denominator for leg in legs]
    return [*shares[:-1], entitlement - sum(shares[:-1])]


def base_units(value: int, leg: Leg, worth: int = fixed.ONE) -> int:
    """Base units of the leg's token for a value in 1e-18 of the quote asset, of which one is `worth`: floor(value * worth * 10^decimals / price)."""
    unit: int = 10**leg.decimals
    return value * worth * unit // (fixed.to_integer(leg.price) * fixed.ONE)


def _refuse_too_many(units: int, leg: Leg, incident: Incident) -> None:
    """InputError where the largest payout of a token, in base units, is more tokens than an amount holds."""
    largest = units * 10 ** (18 - leg.decimals)
    if largest >= fixed.LIMIT:
        where = f"{incident.name}.toml [[settlement]] {leg.token} price"
        paid = units_of(incident).paid
        what = f"At {exact(leg.price)} {paid} one trader would be paid {largest // fixed.ONE:,} {leg.token}; an amount is less than 1e20."
        raise refusal(where, what, f"Correct the price: it is {paid} for one token.")


def _reasons_for_nothing(due: Mapping[str, Entitlement], parts: Sequence[Part], liquidations: pl.DataFrame, quote: str) -> list[str]:
    """Why each payee of `due` is paid 0, if that is so. One unknown liquidation is a reason; the others hold for all of its traders'."""
    none = {name: (pl.col(name) == 0).fill_null(False).all() for name in ("size_at_reference", "margin_at_reference")}
    traders = pl.DataFrame({"trader": [part.trader for part in parts], "payee": [part.payee for part in parts]}, schema=TO_PAYEE)
    rows = liquidations.filter("eligible").join(traders, on="trader").group_by("payee").agg(**none)
    nothing = {payee: (no_position, no_margin) for payee, no_position, no_margin in rows.iter_rows()}
    return [_reason_for_nothing(entitlement, *nothing[payee], quote) for payee, entitlement in due.items()]


def _reason_for_nothing(entitlement: Entitlement, no_position: bool, no_margin: bool, quote: str) -> str:
    if entitlement.known:
        return "below-one-base-unit: the value is smaller than the token's smallest unit"
    if entitlement.taken_off and not entitlement.unknown:
        return f"already-received: {in_full(entitlement.taken_off)} {quote} that are owed were received already"
    if entitlement.unknown:
        return "unknown: the rule reads what the logs do not hold; see findings.csv"
    if no_position:
        return "no-position: nothing of it was open at the moment of [valuation]"
    if no_margin:
        return "no-margin: the position held no margin"
    return "under-water: nothing of the position is left by this rule"
