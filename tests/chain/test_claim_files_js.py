"""Files of payments as the apps' own parsers and libraries read them."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from perpcomp.claims import sheet
from perpcomp.claims.files import of_format
from perpcomp.claims.plan import Plan
from perpcomp.eip55 import checksummed
from tests.chain.javascript import ask
from tests.chain.node import NodeTools
from tests.planned import AT_ONCE, HALF_USDC, PERP, USDC, many, planned

# Source: github bh2smith/safe-airdrop; any other column is refused by the app.
COLUMNS = {"token_type", "token_address", "receiver", "value", "amount", "id"}


@pytest.fixture
def paid(tmp_path: Path) -> Plan:
    """600 payouts of PERP and 3 of USDC, all at once."""
    return planned(tmp_path, [*many(600), *((who, "USDC", 10**6 + n) for n, (who, _, _) in enumerate(many(3)))], {**HALF_USDC, **AT_ONCE})


def test_the_safe_apps_csv_parser_reads_every_row(paid: Plan, node_tools: NodeTools) -> None:
    read = []
    for name, data in of_format(paid, "safe-csv").items():
        if name.endswith(".csv"):
            found = ask("csv", text=data.decode())
            assert len(found) <= 500
            assert all({*row} <= COLUMNS for row in found)
            read += [(row["receiver"].lower(), row["token_address"].lower(), row["amount"]) for row in found]
    places = {PERP: 18, USDC: 6}
    assert sorted((who, token, int(Decimal(amount).scaleb(places[token]))) for who, token, amount in read) == sorted(paid.rows)


def test_the_transaction_builder_finds_the_checksum_of_every_batch(paid: Plan, node_tools: NodeTools) -> None:
    batches = [json.loads(data) for name, data in of_format(paid, "safe-transactions").items() if "part" in name]
    assert len(batches) == 7
    for batch in batches[-2:]:
        assert ask("checksum", batch=batch) == batch["meta"]["checksum"]
        batch["transactions"][0]["contractInputsValues"]["value"] = "1"
        assert ask("checksum", batch=batch) != batch["meta"]["checksum"]


def test_disperse_reads_every_row(paid: Plan, node_tools: NodeTools) -> None:
    for name, data in of_format(paid, "disperse").items():
        if name.startswith("usdc") and name.endswith(".txt"):
            read = ask("disperse", text=data.decode(), decimals=6)
            assert [(who.lower(), int(amount)) for who, amount in read] == [(r.account, r.amount) for r in paid.rows if r.token == USDC]


@pytest.mark.parametrize("name", ["cumulative", "disperse", "multisend", "uniswap"])
def test_ethers_decodes_every_call_by_its_signature(name: str, paid: Plan, node_tools: NodeTools) -> None:
    listed = json.loads(of_format(paid, name)[sheet.STEPS])
    calls = [step for step in listed if step["data"]]
    assert calls
    for step in calls[-2:]:
        assert ask("decode", abi=[f"function {step['function']}"], data=step["data"])["name"] == step["function"].partition("(")[0]
        assert step["to"] in {checksummed(PERP), checksummed(USDC), checksummed("0x" + "c0" * 20)}
