"""What is wrong with a schedule for the amounts it is applied to: tranches of nothing, claims that end too early, a start in the past."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding
from perpcomp.incident.claims import ClaimPeriod
from perpcomp.incident.incident import Incident
from perpcomp.incident.vesting import Vesting
from perpcomp.number_text import counted, in_full
from perpcomp.tables.schema import CSV_TIME
from perpcomp.vesting.curves import curve
from perpcomp.vesting.schedule import end_in_words, end_of, schedule, step_at

NAMED = 5  # payouts that a finding names


def findings(payouts: pl.DataFrame, incident: Incident) -> list[Finding]:
    """A warning for payouts with fewer base units than tranches, and an error where claims end before all is unlocked."""
    rows = payouts.select("trader", "token", "amount_base_units").iter_rows()
    units = {f" of {token} for {trader}": int(text) for trader, token, text in rows}
    file = f"{incident.name}.toml"
    found = [*too_small(units, incident.vesting, f"{file} [vesting]")]
    if incident.claims is not None:
        found += _ends_early(payouts, incident, incident.claims, f"{file} [claims] until")
    return found


def too_small(payouts: Mapping[str, int], vesting: Vesting, where: str) -> Iterator[Finding]:
    """A warning where a part that is due is 0 base units of a payout above 0. `payouts`: what follows its base units -> them."""
    dates = schedule(vesting)
    curves = [curve(vesting, dates, date.step) for date in dates.rows]

    def parts(total: int) -> list[int]:
        return [after - before for before, after in pairwise([0, *(unlocked(total) for unlocked in curves)])]

    of_much = parts(fixed.LIMIT)
    due = [n for n, part in enumerate(of_much) if part]
    smallest = min(of_much[n] for n in due)
    doubtful = {name: total for name, total in payouts.items() if 0 < total * smallest < 3 * fixed.LIMIT}  # above, no part can be 0
    small = {name: total for name, total in doubtful.items() if not all(parts(total)[n] for n in due)}
    if small:
        named = ", ".join(f"{counted(total, 'base unit')}{name}" for name, total in [*small.items()][:NAMED])
        more = f" and {len(small) - NAMED:,} more" if len(small) > NAMED else ""
        since = "the payout is" if len(small) == 1 else "these payouts are"
        what = f"Some of the {counted(len(due), 'tranche')} are 0, since {since} too small: {named}{more}."
        advice = "The tranches still add up to each payout. Use fewer tranches, or leave those of 0 out of what can be claimed."
        yield Finding("warning", where, what, advice, code="payout-below-tranches")


def _ends_early(payouts: pl.DataFrame, incident: Incident, claims: ClaimPeriod, where: str) -> Iterator[Finding]:
    vesting, dates = incident.vesting, schedule(incident.vesting)
    if claims.until > end_of(vesting):
        return
    unlocked = curve(vesting, dates, step_at(vesting, claims.until) - 1)
    lost = []
    for leg in incident.settlement:
        totals = [int(text) for text in payouts.filter(token=leg.token).get_column("amount_base_units")]
        late = sum(total - unlocked(total) for total in totals) * 10 ** (18 - leg.decimals)
        lost.append(f"{in_full(late)} of {in_full(sum(totals) * 10 ** (18 - leg.decimals))} {leg.token}")
    what = (
        f"Claims end at {claims.until.strftime(CSV_TIME)}, but all is unlocked only at {end_in_words(vesting)}: "
        f"{' and '.join(lost)} unlock when nobody can claim any more."
    )
    yield Finding("error", where, what, "Let claims end later, or the vesting earlier.", code="claims-end-before-unlock")


def in_the_past(vesting: Vesting, now: datetime, where: str) -> Iterator[Finding]:
    """A warning where the schedule has begun: contracts that check their start refuse it, others pay its first part at once."""
    if vesting.start > now:
        return
    rows = schedule(vesting).rows
    over = sum(date.time <= now for date in rows)
    what = f"The schedule starts at {vesting.start.strftime(CSV_TIME)}, which is past: {over} of its {counted(len(rows), 'date')} are over."
    advice = "What they unlock can be claimed at once, and some contracts refuse such a start. Write a later start if that is not meant."
    yield Finding("warning", where, what, advice, code="start-in-the-past")
