"""From entitlements to tokens per trader. The only rounding of money in the project stands here.

An entitlement is a whole number of 1e-18 USDC. It is split into the settlement's legs by value first, the last leg taking what the
others leave; each leg is floored once to base units of its token.
"""

from collections import defaultdict
from collections.abc import Iterable

import polars as pl

from perpcomp import fixed, formula
from perpcomp.entitlement import compensated
from perpcomp.findings import refusal
from perpcomp.formula import Formula
from perpcomp.incident.incident import Incident
from perpcomp.incident.settlement import Leg
from perpcomp.tables.payouts import PAYOUTS
from perpcomp.tables.schema import check

UNKNOWN = "unknown"

STOPPED = "payment is stopped by a finding: see findings.csv"


def pay(chosen: Formula, liquidations: pl.DataFrame, incident: Incident, stopped: bool) -> pl.DataFrame:
    """The payouts table: one row per eligible trader and token, also where nothing is owed, with the reason for a 0.

    liquidations is the published table. A row whose value cannot be known (null) adds nothing. `stopped` pays nobody.
    """
    if chosen.negative:
        what = f"'{chosen.name}' may give negative amounts, so it can be compared, but never paid."
        raise refusal(f"{incident.name}.toml [formula]", what, "Choose another formula; `perpcomp compare` shows all of them.")
    eligible = liquidations.filter("eligible")
    values = compensated(formula.entitlements(chosen, eligible), eligible)
    rows: dict[str, list[int]] = defaultdict(list)  # of each trader, by number
    for n, trader in enumerate(eligible.get_column("trader")):
        rows[trader].append(n)
    traders = sorted(rows)
    owed = [0 if stopped else sum(values[n] or 0 for n in rows[trader]) for trader in traders]
    total = sum(owed)
    no_position, no_margin = (
        (eligible.get_column(name) == 0).fill_null(False).to_list() for name in ("size_at_reference", "margin_at_reference")
    )

    def why(n: int) -> str:
        """The reason for an amount of 0, of the n-th trader."""
        own = rows[traders[n]]
        if stopped:
            return STOPPED
        unknown = any(values[k] is None for k in own)
        return _why_nothing(owed[n], unknown, all(no_position[k] for k in own), all(no_margin[k] for k in own))

    shares = [split(entitlement, incident.settlement) for entitlement in owed]
    paid = [PAYOUTS.empty()]
    for k, leg in enumerate(incident.settlement):
        parts = [share[k] for share in shares]
        units = [base_units(value, leg) for value in parts]
        price, unit = fixed.to_integer(leg.price), 10**leg.decimals
        columns = {
            "trader": traders,
            "token": [leg.token] * len(traders),
            "formula": [chosen.name] * len(traders),
            "liquidations": [len(rows[trader]) for trader in traders],
            "entitlement": fixed.from_integers(owed),
            "share_of_budget": fixed.from_integers([entitlement * fixed.ONE // total if total else None for entitlement in owed]),
            "value": fixed.from_integers(parts),
            "price": fixed.from_integers([price] * len(traders)),
            "amount": fixed.from_integers([amount * 10 ** (18 - leg.decimals) for amount in units]),
            "amount_base_units": [str(amount) for amount in units],
            "rounded_off": fixed.from_integers([v - fixed.truncate(amount * price, unit) for v, amount in zip(parts, units, strict=True)]),
            "reason": [None if amount else why(n) for n, amount in enumerate(units)],
        }
        paid.append(pl.DataFrame(columns, schema=PAYOUTS.schema))
    return check(pl.concat(paid), PAYOUTS)


def split(entitlement: int, legs: Iterable[Leg]) -> list[int]:
    """The value of each leg: floors of the shares, and the last leg takes the rest, so that they add up."""
    shares = [entitlement * leg.share.numerator // leg.share.denominator for leg in legs]
    return [*shares[:-1], entitlement - sum(shares[:-1])]


def base_units(value: int, leg: Leg) -> int:
    """Base units of the leg's token for a value in 1e-18 USDC: floor(value * 10^decimals / price)."""
    unit: int = 10**leg.decimals
    return value * unit // fixed.to_integer(leg.price)


def _why_nothing(entitlement: int, unknown: bool, no_position: bool, no_margin: bool) -> str:
    """`unknown` says so of any, the others of all of the trader's liquidations."""
    if entitlement:
        return "below-one-base-unit: the value is smaller than the token's smallest unit"
    if unknown:
        return f"{UNKNOWN}: the rule reads what the logs do not hold; see findings.csv"
    if no_position:
        return "no-position: nothing of it was open at the moment of [valuation]"
    if no_margin:
        return "no-margin: the position held no margin"
    return "under-water: nothing of the position is left by this rule"
