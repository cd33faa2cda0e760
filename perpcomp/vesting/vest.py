"""From payouts to tranches: one cumulative curve in integers per payout, whose differences are the tranches, so they add up.

Months are counted from the start and clamped to the month's last day. Either the tranches bind, each unlocking at its date, or the
line binds, unlocking every second (or block); then the table shows the line's value at the tranche dates.
"""

from datetime import UTC, datetime

import polars as pl

from perpcomp import fixed
from perpcomp.incident.incident import Incident
from perpcomp.incident.vesting import Vesting
from perpcomp.tables.payouts import CLAIMS
from perpcomp.tables.schema import check
from perpcomp.vesting.curves import unlocked
from perpcomp.vesting.schedule import schedule


def vest(payouts: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    """The claims table: for every payout its upfront tranche (0) and n more, or one where all unlocks at once. Base units add up to the payout's."""
    vesting = incident.vesting
    dates = schedule(vesting)
    decimals = {leg.token: leg.decimals for leg in incident.settlement}
    traders, tokens, texts = (payouts.get_column(name).to_list() for name in ("trader", "token", "amount_base_units"))
    totals, scales = [int(text) for text in texts], [10 ** (18 - decimals[token]) for token in tokens]
    before = [0] * len(totals)
    claims = [CLAIMS.empty()]
    for tranche, date in enumerate(dates[:1] if vesting.all_at_once else dates):
        now = [unlocked(vesting, total, date.step, dates) for total in totals]
        parts = [later - earlier for later, earlier in zip(now, before, strict=True)]
        columns = {
            "trader": traders,
            "token": tokens,
            "tranche": [tranche] * len(totals),
            "unlocks_at": [datetime.fromtimestamp(date.unix, UTC)] * len(totals),
            "unlocks_at_unix": [date.unix] * len(totals),
            "unlocks_at_block": [date.block] * len(totals),
            "amount": fixed.from_integers([part * scale for part, scale in zip(parts, scales, strict=True)]),
            "amount_base_units": [str(part) for part in parts],
            "cumulative": fixed.from_integers([total * scale for total, scale in zip(now, scales, strict=True)]),
        }
        claims.append(pl.DataFrame(columns, schema=CLAIMS.schema))
        before = now
    return check(pl.concat(claims), CLAIMS)


def to_read(claims: pl.DataFrame, vesting: Vesting) -> pl.DataFrame:
    """The claims table for people: where blocks bind, unlocks_at is text, "about 2022-10-30"."""
    if not vesting.estimated:
        return claims
    return claims.with_columns(pl.format("about {}", pl.col("unlocks_at").dt.strftime("%Y-%m-%d")).alias("unlocks_at"))
