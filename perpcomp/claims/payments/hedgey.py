"""hedgey: lists of Hedgey's claim campaigns: one unlocked campaign a tranche; or, along a line, one unlocked and one locked.

Source: Hedgey's DelegatedClaimCampaigns: a locked claim unlocks ceil(amount / periods) a period, so a small amount ends early.
"""

import json
from collections.abc import Sequence

from perpcomp.claims.made import AT_ONCE, Made, Step, file_name, in_tokens
from perpcomp.claims.payee_list import Row
from perpcomp.claims.plan import Plan
from perpcomp.claims.steps import when
from perpcomp.claims.tokens import Token
from perpcomp.eip55 import checksummed
from perpcomp.findings import refusal

DAY = 86_400  # a unit


def hedgey(plan: Plan) -> Made:
    """The lists, and for a line the sheet of the locked campaign. InputError for a line that Hedgey's periods do not hold."""
    made = Made()
    line = plan.vesting.binding == "line" and not plan.vesting.all_at_once
    for token in plan.tokens:
        if line:
            _line(made, plan, token)
        else:
            for tranche in plan.tranches:
                if rows := plan.of(token, tranche.rows):
                    file = file_name(token, plan, tranche, end=".csv")
                    made.add(file, _list(token, rows), token, tranche.number, rows)
                    made.steps.append(Step(f"Create an unlocked claim campaign with {file}; compare its total.", when(tranche.unlocks_at)))
    made.notes.append(
        "Hedgey rejects the whole list for one bad address, and adds up an account that is listed twice: ours lists each once."
    )
    return made


def ends_after(amount: int, periods: int) -> int:
    """After how many periods a locked claim is unlocked in full: its rate is rounded up, so that may be early."""
    rate = -(-amount // periods)
    return -(-amount // rate)


def _list(token: Token, rows: Sequence[Row]) -> bytes:
    return "\n".join(["address,amount", *(f"{checksummed(r.account)},{in_tokens(r.amount, token.decimals)}" for r in rows), ""]).encode()


def _line(made: Made, plan: Plan, token: Token) -> None:
    start, end = plan.tranches[0].unlocks_at, plan.tranches[-1].unlocks_at
    if plan.vesting.cliff is not None or plan.vesting.estimated or (end - start) % DAY:
        what = "A locked claim of Hedgey unlocks once a period; [vesting] is no whole number of days of seconds, or has a cliff or blocks."
        raise refusal(f"{plan.name}.toml", what, 'Use formats = ["cumulative"], or a length in whole days.')
    upfront = plan.of(token, plan.tranches[0].rows)
    at_start = {row.account: row.amount for row in upfront}
    rest = [row._replace(amount=row.amount - at_start.get(row.account, 0)) for row in plan.of(token, plan.rows)]
    rest = [row for row in rest if row.amount]
    if upfront:
        file = file_name(token, plan, end="-upfront.csv")
        made.add(file, _list(token, upfront), token, 0, upfront)
        made.steps.append(Step(f"Create an unlocked claim campaign with {file}; compare its total.", when(start)))
    if not rest:
        return
    periods = (end - start) // DAY
    ends, first = min((ends_after(row.amount, periods), row.account) for row in rest)
    sheet = {
        "campaign": "locked",
        "token": checksummed(token.address),
        "start": start,
        "cliff": start,
        "period": DAY,
        "periods": periods,
        "first end in periods, by the rounded rate": ends,
        "of": checksummed(first),
    }
    file = file_name(token, plan, end="-rest.csv")
    made.add(file, _list(token, rest), token, None, rest)
    made.files[file_name(token, plan, end="-rest-parameters.json")] = (json.dumps(sheet, indent=1) + "\n").encode()
    made.steps.append(Step(f"Create a locked claim campaign with {file} and the parameters beside it; compare its total.", AT_ONCE))
    if ends < periods:
        made.notes.append(f"Hedgey rounds each rate up: the claim of {checksummed(first)} is unlocked after {ends:,} of {periods:,} days.")
