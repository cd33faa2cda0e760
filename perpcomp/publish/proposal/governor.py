"""What a vote executes on chain: calls for a Governor that send the payouts, with the hash of the proposal's text as its description.

Source: OpenZeppelin Contracts 5, governance/Governor.sol: propose(targets, values, calldatas, description), and hashProposal of them.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import asdict
from tiny_keccak import keccak256

from perpcomp.claims.made import BATCH, calldata, in_tokens
from perpcomp.claims.payee_list import Row
from perpcomp.claims.plan import Plan, Tranche, plan
from perpcomp.claims.steps import TRANSFER
from perpcomp.claims.tokens import Token
from perpcomp.eip55 import checksummed
from perpcomp.findings import refusal
from perpcomp.incident.claims import PAYEES, PAYER, SINGLE, Governor
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted
from perpcomp.publish.proposal.text import shown
from perpcomp.publish.sentence import short
from perpcomp.run import Run
from perpcomp.tables.schema import CSV_TIME

FORMAT = "perpcomp-governor-v1"


class Calls(Struct, frozen=True):
    """Transfers, one a call, in order: to whom, of which token, how many base units."""

    plan: Plan
    governor: Governor
    transfers: Sequence[Row]

    def token(self, one: Row) -> Token:
        """The token that a transfer moves."""
        return next(token for token in self.plan.tokens if token.address == one.token)

    @property
    def not_before(self) -> int | None:
        """When the payouts unlock (unix seconds), where the calls pay the accounts themselves."""
        return _paying(self.plan)[0].unlocks_at if self.governor.pays == PAYEES else None


def calls_of(run: Run) -> Calls | None:
    """The calls that [claims.governor] asks for; None where it asks for none, where nobody is paid, and of a what-if, which no vote may execute.

    InputError where these payouts cannot be paid so.
    """
    files = run.incident.claim_files
    if files is None or files.governor is None or run.overrides:
        return None
    made, asked = plan(run.incident, files, run.payouts, run.claims), files.governor
    if not made.rows:
        return None
    where, dates = f"{run.incident.name}.toml [claims.governor] pays", len(_paying(made))
    if any(row.account == asked.address for row in made.rows):
        raise refusal(
            where, f"The Governor {asked.address} is a payee of its own vote.", "Name its payee in [[payee]], or correct the address."
        )
    if asked.pays == PAYEES:
        if dates > 1:
            what = f"A vote is executed once and would pay every account its whole payout, and these unlock at {dates} dates."
            raise refusal(where, what, 'Set pays = "payer", or the name of a claim contract; or let all unlock at once with upfront = 1.')
        if len(made.rows) > BATCH:
            what = f"One transaction executes all calls of a vote, and {len(made.rows):,} transfers are too many for it; {BATCH} fit."
            raise refusal(where, what, 'Set pays = "payer", or the name of a claim contract.')
        return Calls(made, asked, made.rows)
    if asked.pays in SINGLE and (dates > 1 or len(made.totals) > 1):
        what = f"{asked.pays} has a contract of its own for each date and token: here {counted(dates, 'date')} and {counted(len(made.totals), 'token')}."
        raise refusal(where, what, 'Set pays = "cumulative" or "multi-token", whose contract holds all, or "payer".')
    to = files.payer if asked.pays == PAYER else asdict(files.contracts)[asked.pays.replace("-", "_")]
    return Calls(
        made, asked, [Row(str(to), token.address, made.totals[token.address]) for token in made.tokens if token.address in made.totals]
    )


def _paying(made: Plan) -> list[Tranche]:
    return [tranche for tranche in made.tranches if tranche.rows]


def in_words(calls: Calls, choice: int) -> list[str]:
    """What the calls do, for voters, in Markdown; `choice` is the number of the choice that they carry out."""
    made, asked = calls.plan, calls.governor
    sums = " and ".join(
        f"{short(made.totals[one.address] * 10 ** (18 - one.decimals))} {shown(one.symbol)}"
        for one in made.tokens
        if one.address in made.totals
    )
    whom = {PAYEES: "each account its payout", PAYER: f"the payer `{checksummed(made.files.payer or '')}` everything"}
    to = whom.get(asked.pays) or f"the claim contract {asked.pays} `{checksummed(calls.transfers[0].account)}` everything"
    does = "sends" if len(calls.transfers) == 1 else "send"
    said = (
        f"On chain {made.files.chain}, the Governor `{checksummed(asked.address)}` executes {counted(len(calls.transfers), 'call')}, which"
        f" {does} {to}: {sums} in all. `governor.json` holds them; their description is `proposal.md`. A vote there is for or against"
        f" choice {choice}, and decides on no other."
    )
    if (at := calls.not_before) is not None:
        return [said, "", f"They pay at once, so they must not be executed before {datetime.fromtimestamp(at, UTC).strftime(CSV_TIME)}."]
    if asked.pays != PAYER:
        return [said, "", f"They fund every date, so the funding steps of `claims/{asked.pays}/transactions.json` must be left out."]
    return [said]


def lacking(incident: Incident) -> str:
    """What the incident file must state so that a run has the calls, in a sentence; what a run lacks that states all is somebody to pay."""
    files = incident.claim_files
    missing = [f"the address of {leg.token} to [[settlement]]" for leg in incident.settlement if leg.address is None]
    missing += ["[claims] with formats, chain and a source"] if files is None else []
    missing += ["[claims.governor] with address and pays"] if files is None or files.governor is None else []
    return f"add {', '.join(missing)} to the incident file, and run again." if missing else "the run pays nobody."


def as_file(calls: Calls, description: bytes) -> bytes:
    """`governor.json`: the arguments of `propose`, what each call does, and the hashes of all. Numbers are texts."""
    from eth_abi.abi import encode  # 0.1 s to import: only where a Governor's calls are written

    made, described = calls.plan, keccak256(description)
    targets = [checksummed(one.token) for one in calls.transfers]
    datas = [calldata(TRANSFER, (one.account, one.amount)) for one in calls.transfers]
    arguments = (targets, [0] * len(targets), [bytes.fromhex(data[2:]) for data in datas], described)
    proposal = keccak256(encode(["address[]", "uint256[]", "bytes[]", "bytes32"], arguments))
    document = {
        "format": FORMAT,
        "governor": checksummed(calls.governor.address),
        "chain": made.files.chain,
        "pays": calls.governor.pays,
        "not_before": calls.not_before,
        "targets": targets,
        "values": ["0"] * len(targets),
        "calldatas": datas,
        "description": "proposal.md",
        "description_hash": f"0x{described.hex()}",
        "proposal_id": str(int.from_bytes(proposal)),
        "calls": [
            {
                "function": TRANSFER,
                "token": calls.token(one).symbol,
                "to": checksummed(one.account),
                "amount_base_units": str(one.amount),
                "amount": in_tokens(one.amount, calls.token(one).decimals),
            }
            for one in calls.transfers
        ],
        "totals": {
            one.symbol: {"base_units": str(made.totals[one.address]), "decimals": one.decimals, "source": one.source}
            for one in made.tokens
            if one.address in made.totals
        },
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
