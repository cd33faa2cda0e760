"""disperse: the text that disperse.app reads, and the call of its contract."""

import re

from perpcomp.claims.made import BATCH, Made, Step, batches, file_name, in_tokens
from perpcomp.claims.plan import Plan
from perpcomp.claims.steps import approve, when
from perpcomp.eip55 import checksummed
from perpcomp.findings import refusal

# Source: github banteg/disperse. What does not match is passed over by the page without a word, so our text is read again with it.
LINE = re.compile(r"(0x[0-9a-fA-F]{40})[,\s=:;]+([0-9]+(?:\.[0-9]+)?)", re.ASCII)
SIGNATURE = "disperseToken(address token,address[] recipients,uint256[] values)"


def disperse(plan: Plan) -> Made:
    """A numbered text for each 100 payments of a tranche and token."""
    made, contract = Made(), plan.files.contracts.disperse
    for tranche in plan.tranches:
        for token in plan.tokens:
            for number, rows in enumerate(batches(plan.of(token, tranche.rows), BATCH), 1):
                lines = [f"{checksummed(row.account)},{in_tokens(row.amount, token.decimals)}" for row in rows]
                text, file = "\n".join(lines) + "\n", file_name(token, plan, tranche, number, ".txt")
                if ["{},{}".format(*found) for found in LINE.findall(text)] != lines:
                    raise refusal(file, "disperse.app would not read every row of this list.", "Use another format, and report this.")
                made.add(file, text.encode(), token, tranche.number, rows)
                total, moment = sum(row.amount for row in rows), when(tranche.unlocks_at)
                arguments = (token.address, tuple(row.account for row in rows), tuple(row.amount for row in rows))
                made.steps.append(approve(token, contract, total, moment))
                what = f"Pay {file}: {len(rows)} payments of {token.symbol}."
                made.steps.append(Step(what, moment, contract, SIGNATURE if contract else "", arguments if contract else ()))
    made.notes.append("The page passes over lines that it cannot read: compare its total and count with this table before you send.")
    return made
