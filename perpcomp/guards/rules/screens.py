"""The flag rule and the two limits on columns: a million positions at once, each with the answer that margins.py gives.

Each limit is one comparison with an exact threshold. The flag rule is a sum of truncated products that overflow 128 bits. So binary
floats decide a row only where the sum is farther from 0 than their error bound, and margins.py decides every other row in integers.
No answer depends on a rounded number.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from perpcomp.findings import near_miss, refusal
from perpcomp.fixed import AMOUNT, LIMIT, ONE, from_integer, mul_integers
from perpcomp.guards.rules import margins
from perpcomp.guards.rules.margins import Position
from perpcomp.guards.rules.parameters import NAMES, Parameters
from perpcomp.guards.rules.profiles import DEPLOYED, FeeBounds, Flaggable, Profile
from perpcomp.number_text import counted

AMOUNTS = ("size", "margin", "last_price", "funding")
POSITIONS = {"market": pl.String(), **dict.fromkeys(AMOUNTS, AMOUNT)}
ADDED = ("can_liquidate", "impact_passes", "premium_passes")

# The relative error of any term of the sum is below 2^-48: 5 factors read with 2 roundings each, 4 products and 6 sums, each at most 2^-53.
# Each truncation of the exact form is below 1e-18 times the factors that follow it. Both constants leave a margin above these bounds.
ERROR, TRUNCATED = 2**-46, 10**-17


@dataclass(frozen=True)
class Snapshot:
    """One market at a time: its parameters, the oracle price and the skew before any liquidation, integers of 1e-18."""

    parameters: Parameters
    price: int
    skew: int


def screen(positions: pl.DataFrame, markets: Mapping[str, Snapshot], profile: Profile = DEPLOYED) -> pl.DataFrame:
    """The positions with three flags added: can_liquidate (may be flagged), impact_passes and premium_passes (below the limit).

    positions has the columns of POSITIONS: market, signed size, margin, last_price, and funding: what one unit of the asset has accrued
    (sUSD, + a long receives) since the position last changed. InputError for a market without a snapshot.
    """
    wrong = {name: positions.schema.get(name) for name, dtype in POSITIONS.items() if positions.schema.get(name) != dtype}
    assert not wrong, f"positions: {wrong}"
    assert not positions.select(pl.sum_horizontal(pl.col(*POSITIONS).is_null().any())).item(), "positions: a null"
    unknown = positions.filter(~pl.col("market").is_in([*markets]))
    if unknown.height:
        name = unknown.item(0, "market")
        raise refusal(
            str(name),
            f"{counted(unknown.height, 'position', 'is', 'are')} in this market, which has no snapshot.",
            near_miss(str(name), markets),
        )
    screened = (
        positions.with_row_index("_row")
        .join(_of_markets(markets), on="market", how="left", maintain_order="left")
        .with_columns((_integer(name).cast(pl.Float64) / ONE).alias(f"_{name}") for name in AMOUNTS)
        .with_columns(_slack_and_error(profile))
        .with_columns(
            ((pl.col("_slack").abs() > pl.col("_error")) & pl.col("_slack").is_finite() & pl.col("_error").is_finite()).alias("_clear")
        )
    )
    exact = _exact(screened.filter(~pl.col("_clear") & (pl.col("size") != 0)), markets, profile)
    return (
        screened.join(exact, on="_row", how="left", maintain_order="left")
        .with_columns(
            ((pl.col("size") != 0) & pl.col("_exact").fill_null(pl.col("_slack") < 0)).alias("can_liquidate"),
            (pl.col("size").abs() <= pl.col("_largest")).alias("impact_passes"),
            pl.col("_premium_passes").alias("premium_passes"),
        )
        .select(*positions.columns, *ADDED)
    )


def _of_markets(markets: Mapping[str, Snapshot]) -> pl.DataFrame:
    """One row a market: the largest size that passes, whether its skew passes, and its parameters as binary floats."""
    rows = []
    for name, market in markets.items():
        p = market.parameters
        largest = min(margins.largest_passing(p.max_liquidation_delta, p.skew_scale), LIMIT - 1)  # no column holds more
        row: dict[str, object] = {"market": name, "_largest": from_integer(largest), "_price": market.price / ONE}
        row["_premium_passes"] = margins.premium(market.skew, p) < p.max_pd
        rows.append(row | {f"_{field}": getattr(p, field) / ONE for field in NAMES.values()})
    schema = {"market": pl.String(), "_largest": AMOUNT, "_price": pl.Float64(), "_premium_passes": pl.Boolean()}
    return pl.DataFrame(rows, schema=schema | {f"_{field}": pl.Float64() for field in NAMES.values()})


def _integer(name: str) -> pl.Expr:
    """A column as integers of 1e-18. Polars casts these to floats 25 times as fast as Decimals, and as exactly."""
    return pl.col(name).reinterpret(dtype=pl.Int128)


def _slack_and_error(profile: Profile) -> list[pl.Expr]:
    """By how much (sUSD) a margin exceeds what is needed, in floats, and the bound of its error."""
    size, margin, last, funding = (pl.col(f"_{name}") for name in AMOUNTS)
    price, absolute = pl.col("_price"), size.abs()
    notional, impact = absolute * price, absolute / pl.col("_skew_scale")
    held = margin + size * (price - last) + size * funding
    proportional, lowest, highest = notional * pl.col("_liquidation_fee_ratio"), pl.col("_min_keeper_fee"), pl.col("_max_keeper_fee")
    if profile.fee_bounds is FeeBounds.MINIMUM_WINS:
        fee = pl.max_horizontal(pl.min_horizontal(proportional, highest), lowest)
    else:
        fee = pl.min_horizontal(pl.max_horizontal(proportional, lowest), highest)
    needed = notional * pl.col("_liquidation_buffer_ratio") + fee + pl.col("_keeper_liquidation_fee")
    multiplier = pl.col("_liquidation_premium_multiplier")
    # By the text the remaining margin is at least 0, so it is not below a liquidation margin of 0. By the code the left side may be negative.
    below = pl.max_horizontal(held, pl.lit(0, dtype=pl.Float64)) - needed
    slack = below if profile.flaggable is Flaggable.BELOW else held - needed - impact * notional * multiplier
    magnitude = margin.abs() + absolute * (price + last + funding.abs()) + needed + proportional + notional * multiplier * (1 + impact)
    factors = 4 + pl.col("_liquidation_buffer_ratio") + pl.col("_liquidation_fee_ratio") + multiplier * (2 + impact)
    return [slack.alias("_slack"), (magnitude * ERROR + factors * TRUNCATED).alias("_error")]


def _exact(rows: pl.DataFrame, markets: Mapping[str, Snapshot], profile: Profile) -> pl.DataFrame:
    """The flag rule in integers, for the rows that floats cannot decide."""
    found = []
    for number, name, size, margin, last_price, funding in rows.select("_row", "market", *map(_integer, AMOUNTS)).iter_rows():
        market, position = markets[name], Position(margin=margin, last_price=last_price, size=size)
        accrued = mul_integers(size, funding)
        found.append((number, margins.can_liquidate(position, market.price, accrued, market.parameters, profile)))
    return pl.DataFrame(found, schema={"_row": pl.get_index_type(), "_exact": pl.Boolean()}, orient="row")
