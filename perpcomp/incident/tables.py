"""The whole incident file, described: every table with its keys, as one tree."""

from collections.abc import Iterator, Mapping
from functools import cache

from perpcomp.incident.adjustments import Adjustment, LedgerFile, read_adjustment
from perpcomp.incident.alarms import Alarms
from perpcomp.incident.allocation import Allocation
from perpcomp.incident.chain import Chain, chain_keys
from perpcomp.incident.claims import CLAIMS_KEYS, Claims, read_claims
from perpcomp.incident.description import Key, Table
from perpcomp.incident.eligibility import Eligibility, read_eligibility
from perpcomp.incident.expect import Expectation
from perpcomp.incident.formula import Formula
from perpcomp.incident.funds import Budget, InsuranceFund, read_insurance_fund
from perpcomp.incident.guards import Guards
from perpcomp.incident.input import InputFiles, read_input
from perpcomp.incident.kinds import TEXT, choice
from perpcomp.incident.market import Market, read_market
from perpcomp.incident.payees import Payee, PayeeFiles
from perpcomp.incident.quote import Quote
from perpcomp.incident.received import Received
from perpcomp.incident.restore import Restore, read_restore
from perpcomp.incident.rules import Rule, read_rule
from perpcomp.incident.settlement import Leg
from perpcomp.incident.sources import SOURCES
from perpcomp.incident.valuation import Valuation, read_valuation
from perpcomp.incident.vesting import Vesting, read_vesting


@cache
def tables(systems: tuple[str, ...], contract_key: str, several: bool) -> Mapping[str, Key | Table]:
    """Name in the reader -> description, of an incident file for one of these systems, whose [chain] names its contract by `contract_key`.

    `several` says whether that key may list several contracts.
    """
    return {
        "title": Key(TEXT, "The incident in one line.", '"BTC flash crash of 2021-02-20, 22:45 UTC"', name="title"),
        "notice": Key(TEXT, "A warning that every result shows first.", '"A rehearsal, not the incident."', default="", name="notice"),
        "system": Key(choice(*systems), "The protocol whose events are read.", f'"{systems[0]}"', name="system"),
        "input": Table(InputFiles, "names the files of the incident", required=False, absent=InputFiles(), read=read_input, name="input"),
        "chain": Table(Chain, "says where the protocol is deployed", keys=chain_keys(contract_key, several), name="chain"),
        "markets": Table(Market, "names a market and says whether it is affected", many=True, read=read_market, name="market"),
        "eligibility": Table(Eligibility, "says who is compensated", read=read_eligibility, name="eligibility"),
        "valuation": Table(
            Valuation,
            "says when and at which price positions are valued",
            required=False,
            absent=Valuation(),
            read=read_valuation,
            name="valuation",
        ),
        "formula": Table(Formula, "names the formula or rule that pays", name="formula"),
        "rules": Table(Rule, "states a rule as data", required=False, many=True, absent=(), read=read_rule, name="rule"),
        "restore": Table(Restore, "gives positions back instead of money", required=False, read=read_restore, name="restore"),
        "allocation": Table(Allocation, "says how amounts are rounded, and who keeps what that leaves", name="allocation"),
        "settlement": Table(Leg, "names a token that is paid", many=True, name="settlement"),
        "quote": Table(Quote, "names the quote asset, or states what it is worth", required=False, name="quote"),
        "payee_files": Table(
            PayeeFiles, "names lists about the accounts that are paid", required=False, absent=PayeeFiles(), name="payees"
        ),
        "payees": Table(Payee, "names who is paid for a trader", required=False, many=True, absent=(), name="payee"),
        "received": Table(
            Received, "states what a trader got already, which is taken off", required=False, many=True, absent=(), name="received"
        ),
        "adjustments": Table(
            Adjustment,
            "corrects what one trader is owed, by a ruling",
            required=False,
            many=True,
            absent=(),
            read=read_adjustment,
            name="adjustment",
        ),
        "ledger": Table(LedgerFile, "names the ledger of adjustments", required=False, absent=LedgerFile(), name="ledger"),
        "vesting": Table(Vesting, "says when payouts unlock", read=read_vesting, name="vesting"),
        "claims": Table(
            Claims,
            "says until when claims are accepted, and which files payments are made from",
            required=False,
            absent=Claims(None, None),
            keys=CLAIMS_KEYS,
            read=read_claims,
            name="claims",
        ),
        "budgets": Table(Budget, "states an amount that totals are compared with", required=False, many=True, absent=(), name="budget"),
        "insurance_fund": Table(
            InsuranceFund, "says what the protocol's own fund could pay", required=False, read=read_insurance_fund, name="insurance_fund"
        ),
        "expectations": Table(
            Expectation, "states a published figure that results are compared with", required=False, many=True, absent=(), name="expect"
        ),
        "guards": Table(Guards, "states liquidation guards to try on history", required=False, absent=Guards(), name="guards"),
        "alarms": Table(Alarms, "asks for warnings of payouts that are not plausible", required=False, name="alarms"),
        "sources": SOURCES,
    }


def described(keys: Mapping[str, Key | Table], header: str = "") -> Iterator[tuple[str, Key]]:
    """(header of its table, key) of every key, in order; "" at the top of the file."""
    for key in keys.values():
        if isinstance(key, Key):
            yield header, key
        else:
            path = f"{header.strip('[]')}.{key.name}" if header else key.name
            yield from described(key.keys, f"[[{path}]]" if key.many else f"[{path}]")
