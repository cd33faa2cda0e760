"""From entitlements to tokens per trader. The only rounding of money in the project stands here.

An entitlement is a whole number of 1e-18 USDC. It is split into the settlement's legs by value first, the last leg taking what the
others leave; each leg is floored once to base units of its token.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import polars as pl

from perpcomp import fixed, formula
from perpcomp.findings import refusal
from perpcomp.formula import Formula
from perpcomp.incident import Incident, Leg
from perpcomp.tables import PAYOUTS, check

UNKNOWN = "unknown"
STOPPED = "payment is stopped by a finding: see findings.csv"


def compensated(values: pl.Series, liquidations: pl.DataFrame) -> list[int | None]:
    """Integers of 1e-18 USDC: each row's value, times the share of its position that is compensated, truncated. Null stays null."""
    scaled: list[int | None] = []
    for value, size, kept in zip(values, liquidations.get_column("size"), liquidations.get_column("compensated_size"), strict=True):
        whole, part = abs(fixed.to_integer(size)), fixed.to_integer(kept)
        amount = None if value is None else fixed.to_integer(value)
        scaled.append(amount if amount is None or part == whole else fixed.truncate(amount * part, whole))
    return scaled


def pay(chosen: Formula, liquidations: pl.DataFrame, incident: Incident, stopped: bool) -> pl.DataFrame:
    """The payouts table: one row per eligible trader and token, also where nothing is owed, with the reason for a 0.

    liquidations is the published table. A row whose value cannot be known (null) adds nothing. `stopped` pays nobody.
    """
    if chosen.negative:
        what = "can be compared, but never paid: it may give negative amounts."
        raise refusal(
            f"{incident.name}.toml [formula]", f"'{chosen.name}' {what}", "Choose another; `perpcomp compare` shows it beside them."
        )
    eligible = liquidations.filter("eligible")
    values = compensated(formula.entitlements(chosen, eligible), eligible)
    owed: dict[str, int] = defaultdict(int)
    rows: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for row, value in zip(eligible.iter_rows(named=True), values, strict=True):
        owed[row["trader"]] += value or 0
        rows[row["trader"]].append({**row, "value": value})
    if stopped:
        owed = defaultdict(int, dict.fromkeys(owed, 0))
    total = sum(owed.values())
    paid = []
    for trader in sorted(owed):
        entitlement = owed[trader]
        for leg, value in zip(incident.settlement, split(entitlement, incident.settlement), strict=True):
            units = base_units(value, leg)
            paid.append(
                {
                    "trader": trader,
                    "token": leg.token,
                    "formula": chosen.name,
                    "liquidations": len(rows[trader]),
                    "entitlement": fixed.from_integer(entitlement),
                    "share_of_budget": fixed.from_integer(entitlement * fixed.ONE // total) if total else None,
                    "value": fixed.from_integer(value),
                    "price": leg.price,
                    "amount": in_tokens(units, leg.decimals),
                    "amount_base_units": str(units),
                    "rounded_off": fixed.from_integer(value - fixed.truncate(units * fixed.to_integer(leg.price), 10**leg.decimals)),
                    "reason": None if units else STOPPED if stopped else _why_nothing(entitlement, rows[trader]),
                }
            )
    return check(pl.DataFrame(paid, schema=PAYOUTS.schema), PAYOUTS)


def split(entitlement: int, legs: Iterable[Leg]) -> list[int]:
    """The value of each leg: floors of the shares, and the last leg takes the rest, so that they add up."""
    shares = [entitlement * leg.share.numerator // leg.share.denominator for leg in legs]
    return [*shares[:-1], entitlement - sum(shares[:-1])]


def base_units(value: int, leg: Leg) -> int:
    """Base units of the leg's token for a value in 1e-18 USDC: floor(value * 10^decimals / price)."""
    unit: int = 10**leg.decimals
    return value * unit // fixed.to_integer(leg.price)


def in_tokens(units: int, decimals: int) -> object:
    """The Decimal of an amount in base units."""
    return fixed.from_integer(units * 10 ** (18 - decimals))


def _why_nothing(entitlement: int, rows: list[Mapping[str, object]]) -> str:
    if entitlement:
        return "below-one-base-unit: the value is smaller than the token's smallest unit"
    if any(row["value"] is None for row in rows):
        return f"{UNKNOWN}: the rule reads what the logs do not hold; see findings.csv"
    if all(row["size_at_reference"] == 0 for row in rows):
        return "no-position: nothing of it was open at the moment of [valuation]"
    if all(row["margin_at_reference"] == 0 for row in rows):
        return "no-margin: the position held no margin"
    return "under-water: nothing of the position is left by this rule"
