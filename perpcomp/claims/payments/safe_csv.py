"""safe-csv: the list that the Safe app "CSV Airdrop" reads.

Source: github bh2smith/safe-airdrop: known columns only, a receiver once or more, at most 501 lines with the header, in human units,
and a newline at the end would count as a line. Digits beyond the token's decimals would be cut: an amount of base units has none.
"""

from perpcomp.claims.made import Made, batches, file_name, in_tokens
from perpcomp.claims.plan import Plan
from perpcomp.claims.steps import dates
from perpcomp.eip55 import checksummed

ROWS = 500  # Source: github bh2smith/safe-airdrop


def safe_csv(plan: Plan) -> Made:
    """A numbered file for each 500 rows of a tranche and token."""
    made = Made()
    for tranche in plan.tranches:
        for token in plan.tokens:
            for number, rows in enumerate(batches(plan.of(token, tranche.rows), ROWS), 1):
                lines = [f"erc20,{checksummed(token.address)},{checksummed(r.account)},{in_tokens(r.amount, token.decimals)}" for r in rows]
                text = "\n".join(["token_type,token_address,receiver,amount", *lines])
                made.add(file_name(token, plan, tranche, number, ".csv"), text.encode(), token, tranche.number, rows)
    made.steps = dates(plan, 'Load the files of tranche {number} in the Safe app "CSV Airdrop", one at a time, sign and execute.')
    made.notes.append("The app takes at most 500 rows a file. Do not add a newline at the end of a full file: it would count as a row.")
    return made
