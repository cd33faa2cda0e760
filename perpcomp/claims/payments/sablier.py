"""sablier: a Merkle campaign of Sablier's airdrops: the list and the tree of whole payouts, and a sheet of the parameters to type.

A line is a MerkleLL campaign, whose streams follow our line to the unit. Tranches are a MerkleLT campaign, which floors each percentage
and gives the last tranche the rest: the sheet says by how much its tranches differ from ours; every payout is the same in all.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from perpcomp.claims.made import Made, Step, file_name, in_tokens
from perpcomp.claims.payee_list import Row
from perpcomp.claims.payments.trees import as_file
from perpcomp.claims.plan import Plan, Tranche
from perpcomp.claims.steps import fund
from perpcomp.claims.trees.sablier import SABLIER
from perpcomp.eip55 import checksummed
from perpcomp.findings import refusal
from perpcomp.incident.vesting import ACCRUES, REST_FROM_CLIFF
from perpcomp.tables.schema import CSV_TIME
from perpcomp.vesting.schedule import schedule
from perpcomp.vesting.vest import unlocked_of

ONE = 10**18  # a share of 1, as Sablier's contracts count it
ROWS = 1_000_000  # Source: docs.sablier.com, CSV support: the most rows of an airdrop's list


def sablier(plan: Plan) -> Made:
    """One campaign a token. InputError for a schedule that no campaign has."""
    made = Made()
    kind, sheet = _shape(plan)
    for token in plan.tokens:
        rows = plan.of(token, plan.rows)
        if not rows:
            continue
        if len(rows) > ROWS:
            raise refusal("sablier", f"The list has {len(rows):,} rows, and a campaign takes {ROWS:,}.", 'Pay by formats = ["cumulative"].')
        tree = SABLIER.tree([row._replace(token="") for row in rows], "the payees")
        lines = [f"{checksummed(row.account)},{in_tokens(row.amount, token.decimals)}" for row in rows]
        made.add(file_name(token, plan, end=".csv"), "\n".join(["address,amount", *lines, ""]).encode(), token, None, rows)
        made.files[file_name(token, plan, end="-tree.json")] = as_file(tree)
        difference = _difference(sheet, plan, rows) if kind == "MerkleLT" else 0
        parameters = {
            "campaign": kind,
            "token": checksummed(token.address),
            "merkleRoot": tree.root,
            "aggregateAmount": str(sum(row.amount for row in rows)),
            "recipientCount": len(rows),
            "expiration": 0 if plan.period is None else int(plan.period.until.timestamp()),
            **sheet,
            "largest difference of one tranche from 4-claims.csv (base units)": difference,
        }
        made.files[file_name(token, plan, end="-parameters.json")] = (json.dumps(parameters, indent=1) + "\n").encode()
        sheet_file = file_name(token, plan, end="-parameters.json")
        made.steps.append(
            Step(f"Create a {kind} campaign of {token.symbol} with the list and every value of {sheet_file}; compare the root.", "first")
        )
        made.steps.append(fund(token, None, sum(row.amount for row in rows)))
    made.notes.append(
        "Type the start as unix seconds or in UTC: the app reads dates in the browser's time zone. 0 as the start would mean the time of each claim."
    )
    return made


def _shape(plan: Plan) -> tuple[str, dict[str, Any]]:
    """The kind of campaign, and its parameters beside list and token."""
    vesting, where = plan.vesting, f"{plan.name}.toml"
    if vesting.estimated:
        raise refusal(
            where, "[vesting] counts blocks, and Sablier's contracts count seconds.", "Choose another format, or a calendar of time."
        )
    start, end = plan.tranches[0].unlocks_at, plan.tranches[-1].unlocks_at
    if vesting.all_at_once:
        return "MerkleInstant", {"campaignStartTime": start}
    if vesting.binding == "tranches":
        return "MerkleLT", _tranched(plan)
    if vesting.cliff is not None and vesting.cliff_reading == ACCRUES:
        what = f'[vesting] cliff_reading = "{ACCRUES}": the line runs on before the cliff. In a MerkleLL campaign the rest flows from the cliff on.'
        raise refusal(where, what, f'Use formats = ["cumulative"], or cliff_reading = "{REST_FROM_CLIFF}" if the vote means that.')
    share = vesting.upfront * ONE
    if share.denominator != 1:
        what = f"[vesting] upfront = {vesting.upfront} is no whole number of 1e-18, which a MerkleLL campaign counts by."
        raise refusal(where, what, 'Choose another share, or formats = ["cumulative"].')
    sheet = {
        "vestingStartTime": start,
        "startUnlockPercentage": str(share.numerator),
        "cliffDuration": schedule(vesting).cliff if vesting.cliff is not None else 0,
        "cliffUnlockPercentage": "0",
        "totalDuration": end - start,
        "granularity": vesting.granularity,
    }
    return "MerkleLL", sheet | {"starts at": _time(start), "ends at": _time(end)}


def _tranched(plan: Plan) -> dict[str, Any]:
    """Percentages (1e18 is 1) and durations, each counted from the tranche before. The contract refuses a tranche at the start itself."""
    due = _due(plan)
    start = due[0].unlocks_at - 1
    shares, durations, before, last = list[str](), list[int](), 0, start
    for tranche in due:
        reached = unlocked_of(ONE, plan.vesting, datetime.fromtimestamp(tranche.unlocks_at, UTC))
        if tranche.unlocks_at <= last:
            what = f"Tranche {tranche.number} unlocks at the time of the one before, which Sablier's contract refuses."
            raise refusal(f"{plan.name}.toml", what, "Use fewer tranches, or a longer schedule.")
        shares.append(str(reached - before))
        durations.append(tranche.unlocks_at - last)
        before, last = reached, tranche.unlocks_at
    assert before == ONE, "the percentages do not add up to 1"
    steps = [{"unlockPercentage": share, "duration": seconds} for share, seconds in zip(shares, durations, strict=True)]
    words = "one second before the first tranche: the contract refuses a tranche at the start"
    return {"vestingStartTime": start, "starts at": f"{_time(start)}, {words}", "tranchesWithPercentages": steps}


def tranches_of(amount: int, percentages: Sequence[int]) -> list[int]:
    """What a MerkleLT campaign unlocks of an amount: each percentage floors, and the last takes the rest."""
    first = [amount * share // ONE for share in percentages[:-1]]
    return [*first, amount - sum(first)]


def _difference(sheet: dict[str, Any], plan: Plan, rows: Sequence[Row]) -> int:
    """The largest difference between a tranche of the campaign and ours (base units)."""
    shares = [int(one["unlockPercentage"]) for one in sheet["tranchesWithPercentages"]]
    ours = [{(row.account, row.token): row.amount for row in tranche.rows} for tranche in _due(plan)]
    return max(
        abs(amount - one.get((row.account, row.token), 0))
        for row in rows
        for amount, one in zip(tranches_of(row.amount, shares), ours, strict=True)
    )


def _due(plan: Plan) -> list[Tranche]:
    """The tranches that unlock a share: the upfront one may not."""
    return [tranche for tranche in plan.tranches if tranche.number or plan.vesting.upfront]


def _time(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime(CSV_TIME)
