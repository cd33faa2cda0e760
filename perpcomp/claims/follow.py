"""What became of a run's payouts: what each account claimed, what it can claim now, and since when something waits.

Claims are counted by account and token, over all contracts together: Perp's event names no week, so the oldest tranche counts as claimed
first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

import polars as pl

from perpcomp.claims.claimed import TAKEN_BACK, Claimed
from perpcomp.claims.dialect import Leaf
from perpcomp.claims.payee_list import NAMED
from perpcomp.claims.redistribute import largest_remainder
from perpcomp.findings import Finding, refusal
from perpcomp.incident.incident import Incident
from perpcomp.incident.vesting import Vesting
from perpcomp.tables.claims import FOLLOWED, REDISTRIBUTED
from perpcomp.tables.schema import CSV_TIME, check, frame_of
from perpcomp.vesting.curves import curve
from perpcomp.vesting.schedule import schedule, step_at

Key = tuple[str, str]  # account, symbol of the token


@dataclass
class _Account:
    """The claims of one payout, in the order of the chain."""

    total: int
    claims: list[tuple[Claimed, int]] = field(default_factory=list)

    @property
    def claimed(self) -> int:
        return sum(amount for _, amount in self.claims)


@dataclass(frozen=True)
class Followed:
    """The followed table, the redistributed table, what is left of each token (base units), and what does not fit."""

    table: pl.DataFrame
    redistributed: pl.DataFrame
    unclaimed: Mapping[str, int]
    findings: list[Finding]


def follow(
    incident: Incident,
    payouts: pl.DataFrame,
    claims: pl.DataFrame,
    events: Iterable[Claimed],
    paying: Mapping[str, str | None],
    leaves: Mapping[int, Leaf],
    at: datetime,
) -> Followed:
    """Everything by a moment. `payouts` and `claims` are the run's tables. `paying`: contract -> the symbol that it pays, None where events say.

    `leaves` are those of a multi-token tree by index, for events that name no amount. InputError where neither event nor contract says which
    token was paid.
    """
    scale = {leg.token: 10 ** (18 - leg.decimals) for leg in incident.settlement}
    symbols = {leg.address: leg.token for leg in incident.settlement if leg.address is not None}
    rows = payouts.sort("trader", "token").select("trader", "token", "amount_base_units").iter_rows()
    accounts = {(trader, token): _Account(int(units)) for trader, token, units in rows if int(units)}
    findings = list(_add(accounts, [one for one in events if one.time <= at], symbols, paying, leaves))
    at_time = _curves(incident.vesting)
    now = at_time(at)
    findings += _too_much(accounts, at_time, incident.vesting.estimated)
    closed = incident.claims is not None and incident.claims.until <= at
    dates: dict[Key, list[tuple[int, int]]] = {}
    for trader, token, unix, units in claims.sort("tranche").select("trader", "token", "unlocks_at_unix", "amount_base_units").iter_rows():
        dates.setdefault((trader, token), []).append((unix, int(units)))
    table = []
    for (trader, token), one in accounts.items():
        unlocked = now(one.total)
        waiting = max(unlocked - one.claimed, 0)
        table.append(
            {
                "trader": trader,
                "token": token,
                "amount": one.total * scale[token],
                "claimed": one.claimed * scale[token],
                "last_claim": int(one.claims[-1][0].time.timestamp()) if one.claims else None,
                "unlocked": unlocked * scale[token],
                "claimable": 0 if closed else waiting * scale[token],
                "unclaimed": max(one.total - one.claimed, 0) * scale[token],
                "unclaimed_since": _since(dates[trader, token], one.claimed, at) if waiting else None,
            }
        )
    left = {token: sum(max(one.total - one.claimed, 0) for key, one in accounts.items() if key[1] == token) for token in scale}
    shared = list(_shares(accounts, left, scale))
    return Followed(check(frame_of(table, FOLLOWED), FOLLOWED), check(frame_of(shared, REDISTRIBUTED), REDISTRIBUTED), left, findings)


def _add(
    accounts: Mapping[Key, _Account],
    events: Iterable[Claimed],
    symbols: Mapping[str, str],
    paying: Mapping[str, str | None],
    leaves: Mapping[int, Leaf],
) -> Iterator[Finding]:
    """Give each claim to its account. An error for claims of nobody whom the run pays, a warning for what the owner took back."""
    for one in events:
        where = f"transaction {one.transaction}"
        if one.event == TAKEN_BACK:
            taken = leaves.get(-1 if one.index is None else one.index)
            whose = "nobody whom the run pays" if taken is None else taken.account
            yield Finding("warning", where, f"The owner took back claim {one.index}, of {whose}: it cannot be claimed any more.", "")
            continue
        for token, amount in _parts(one, paying, leaves, where):
            symbol = symbols.get(token, token)
            if symbol.startswith("0x"):
                yield Finding("note", where, f"{one.account} claimed {amount} of {token}, which the run does not pay.", "")
            elif (one.account, symbol) not in accounts:
                what = f"{one.account} claimed {amount} base units of {symbol}, and the run pays it nothing."
                yield Finding("error", where, what, "Check that the contract has a root of this run.", code="claimed-by-stranger")
            else:
                accounts[one.account, symbol].claims.append((one, amount))


def _parts(one: Claimed, paying: Mapping[str, str | None], leaves: Mapping[int, Leaf], where: str) -> Sequence[tuple[str, int]]:
    """(token's address or symbol, base units) of a claim."""
    if one.amount is None:
        leaf = leaves.get(-1 if one.index is None else one.index)
        if leaf is None or leaf.account != one.account:
            what = f"The event names the index {one.index} of {one.account} and no amount, and no tree of the run has that leaf."
            raise refusal(where, what, "Name the contract of this run with --contract; its files must lie in claims/multi-token.")
        return leaf.parts
    token = one.token or paying.get(one.contract)
    if token is None:
        what = f"{one.contract} says that {one.account} claimed {one.amount} base units, and not of which token."
        raise refusal("--contract", what, f"The run pays several: write --contract {one.contract}=USDC.")
    return ((token, one.amount),)


def _curves(vesting: Vesting) -> Callable[[datetime], Callable[[int], int]]:
    """Time -> what of any amount has unlocked then; a time is looked at once."""
    dates = schedule(vesting)
    return cache(lambda time: curve(vesting, dates, step_at(vesting, time)))


def _too_much(accounts: Mapping[Key, _Account], at_time: Callable[[datetime], Callable[[int], int]], estimated: bool) -> Iterator[Finding]:
    """An error for an account that claimed more than its payout, or more than had unlocked then, where dates are no estimates."""
    over, early = list[str](), list[str]()
    for (trader, token), one in accounts.items():
        so_far = 0
        for event, amount in one.claims:
            so_far += amount
            unlocked = at_time(event.time)(one.total)
            if so_far > one.total:
                over.append(f"{trader} ({so_far} of {one.total} base units of {token})")
                break
            if so_far > unlocked and not event.vests_later and not estimated:
                early.append(f"{trader} ({so_far} at {event.time.strftime(CSV_TIME)}, when {unlocked} base units of {token} had unlocked)")
                break
    kinds = ((over, "claimed more than the run pays", "claimed-too-much"), (early, "claimed before it had unlocked", "claimed-early"))
    for found, words, code in kinds:
        if found:
            more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
            what = f"{len(found):,} {'account' if len(found) == 1 else 'accounts'} {words}: {', '.join(found[:NAMED])}{more}."
            yield Finding("error", "the claims", what, "Stop funding, and check which root the contract has.", code=code)


def _since(dates: Sequence[tuple[int, int]], claimed: int, at: datetime) -> int | None:
    """The date (unix seconds) of the oldest part that waits; None where it lies between two dates, along a line."""
    so_far = 0
    for unix, amount in dates:
        so_far += amount
        if so_far > claimed and unix <= at.timestamp():
            return unix
    return None


def _shares(accounts: Mapping[Key, _Account], left: Mapping[str, int], scale: Mapping[str, int]) -> Iterator[dict[str, object]]:
    for token, residue in left.items():
        weights = {trader: one.claimed for (trader, of), one in accounts.items() if of == token and one.claimed}
        for trader, amount in largest_remainder(residue, weights).items():
            yield {
                "trader": trader,
                "token": token,
                "claimed": weights[trader] * scale[token],
                "share": f"{weights[trader]}/{sum(weights.values())}",
                "amount": amount * scale[token],
                "amount_base_units": str(amount),
            }
