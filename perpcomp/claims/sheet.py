"""The page for signers in each format's folder: what is paid, from which files, by which transactions in which order."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from perpcomp.claims.made import Made, in_tokens
from perpcomp.claims.plan import Plan
from perpcomp.eip55 import checksummed
from perpcomp.number_text import counted
from perpcomp.tables.schema import CSV_TIME
from perpcomp.vesting.words import in_words

STEPS = "transactions.json"
PAGE = "README.md"


def page(plan: Plan, name: str, made: Made, files: Mapping[str, bytes]) -> bytes:
    """The page in Markdown: count, total, token and chain, every file with its hash and a running total, the transactions in order."""
    lines = [f"# {name}: {escaped(plan.title)}", ""]
    lines += [f"- Chain: {plan.files.chain}. Payer: {checksummed(plan.files.payer) if plan.files.payer else 'not stated'}."]
    lines.append(f"- Incident file: {plan.name}.toml, sha256 {plan.sha256}.")
    for token in plan.tokens:
        rows = plan.of(token, plan.rows)
        total = plan.totals.get(token.address, 0)
        lines.append(
            f"- {escaped(token.symbol)}: {counted(len(rows), 'payee')}, {in_tokens(total, token.decimals)} in all ({total} base units). "
            f"Contract {checksummed(token.address)}, {token.decimals} decimals by {escaped(token.source)}."
        )
    lines.append(f"- Unlocks: {escaped(in_words(plan.vesting))}.")
    if plan.vesting.binding == "line" and not plan.vesting.all_at_once and all(part.tranche is not None for part in made.parts):
        lines.append("- The line binds. These files pay at its dates in 4-claims.csv, and nothing between them.")
    if plan.vesting.estimated:
        lines.append("- Blocks bind, so every date here is an estimate: look at the block in 4-claims.csv before you pay a tranche.")
    if plan.period is not None:
        lines.append(
            f"- Claims end at {plan.period.until.strftime(CSV_TIME)}; then: {escaped(plan.period.then)}. No contract knows this unless told."
        )
    lines += [f"- {escaped(note)}" for note in made.notes]
    lines += ["", "## Files", "", "| file | tranche | token | rows | total | running total | sha256 |", "|---|---|---|---:|---:|---:|---|"]
    running: dict[str, int] = {}
    for part in made.parts:
        running[part.token.address] = running.get(part.token.address, 0) + part.total
        sums = [in_tokens(units, part.token.decimals) for units in (part.total, running[part.token.address])]
        tranche, digest = "all" if part.tranche is None else part.tranche, sha256(files[part.file]).hexdigest()
        lines.append(f"| {part.file} | {tranche} | {escaped(part.token.symbol)} | {part.rows} | {sums[0]} | {sums[1]} | {digest} |")
    listed = {part.file for part in made.parts}
    lines += [f"| {file} | | | | | | {sha256(data).hexdigest()} |" for file, data in sorted(files.items()) if file not in listed]
    lines += ["", "## Transactions, in this order", "", "| | when | what | to |", "|---:|---|---|---|"]
    for number, step in enumerate(made.steps, 1):
        lines.append(f"| {number} | {step.when} | {escaped(step.what)} | {checksummed(step.to) if step.to else ''} |")
    lines += ["", f"{STEPS} holds their data.", ""]
    return "\n".join(lines).encode()


def steps(made: Made) -> bytes:
    """The transactions in order, with the data of those whose contract is known."""
    listed: list[dict[str, Any]] = [
        {
            "step": number,
            "when": step.when,
            "what": step.what,
            "to": checksummed(step.to) if step.to else None,
            "value": "0",
            "function": step.signature or None,
            "data": step.data,
        }
        for number, step in enumerate(made.steps, 1)
    ]
    return (json.dumps(listed, indent=1, ensure_ascii=False) + "\n").encode()


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, in one cell."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in text.replace("\n", " "))
