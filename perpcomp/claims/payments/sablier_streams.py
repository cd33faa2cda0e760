"""sablier-streams: the list from which Sablier's app creates one stream a row, along a line from start to end.

Source: npm sablier, csv/evm/lockup/range: linearUnlockLinear has the upfront part as unlockAmount, linear has none; times are
YYYY-MM-DD HH:mm in the browser's zone.
"""

from datetime import UTC, datetime

from perpcomp.claims.made import AT_ONCE, Made, Step, batches, file_name, in_tokens
from perpcomp.claims.plan import Plan
from perpcomp.eip55 import checksummed
from perpcomp.findings import refusal

ROWS = 280  # Source: docs.sablier.com, CSV support: the most rows of one file of streams
MOST = 2**128  # Source: Sablier Lockup holds amounts as uint128
MINUTE = 60  # a unit


def sablier_streams(plan: Plan) -> Made:
    """A numbered file for each 280 payouts of a token. InputError for a schedule that no template of the app has."""
    vesting, where = plan.vesting, f"{plan.name}.toml"
    if vesting.estimated or vesting.binding != "line" or vesting.all_at_once or vesting.cliff is not None or vesting.granularity != 1:
        what = "Sablier's app creates streams along a line of seconds, with a part at the start; [vesting] is another schedule."
        raise refusal(where, what, 'Set binding = "line" without cliff and granularity, or use formats = ["sablier"], a campaign.')
    start, end = plan.tranches[0].unlocks_at, plan.tranches[-1].unlocks_at
    if start % MINUTE or end % MINUTE:
        raise refusal(where, "The list holds whole minutes, and the schedule starts or ends within one.", "Let it start at a full minute.")
    made = Made()
    upfront = {(row.account, row.token): row.amount for row in plan.tranches[0].rows}
    times = ",".join(datetime.fromtimestamp(one, UTC).strftime("%Y-%m-%d %H:%M") for one in (start, end))
    for token in plan.tokens:
        for number, rows in enumerate(batches(plan.of(token, plan.rows), ROWS), 1):
            if large := [row.account for row in rows if row.amount >= MOST]:
                raise refusal("the payees", f"The payout of {large[0]} is above what a uint128 holds.", "Split it.")
            lines = ["address,amount,startAt,endAt" + (",unlockAmount" if vesting.upfront else "")]
            for row in rows:
                line = f"{checksummed(row.account)},{in_tokens(row.amount, token.decimals)},{times}"
                at_start = in_tokens(upfront.get((row.account, row.token), 0), token.decimals)
                lines.append(f"{line},{at_start}" if vesting.upfront else line)
            file = file_name(token, plan, None, number, ".csv")
            made.add(file, ("\n".join(lines) + "\n").encode(), token, None, rows)
            template = "linearUnlockLinear" if vesting.upfront else "linear"
            made.steps.append(
                Step(f"Load {file} in Sablier's app as streams by range, template {template}; approve the total that it shows.", AT_ONCE)
            )
    made.notes.append("The app reads dates in the time zone of the browser: set the computer's zone to UTC before you load a file.")
    return made
