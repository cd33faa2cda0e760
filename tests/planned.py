"""Plans of payments made from payouts given by hand, for what no recorded chain shows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp.claims.files import FORMATS
from perpcomp.claims.plan import Plan, plan
from perpcomp.vesting.vest import vest
from tests import build
from tests.build import address

LAB = Path(__file__).parent / "lab"
PERP, USDC = "0xbc396689893d065f41bc2c6ecbee5e0085233447", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
SAFE, CONTRACT = "0x9fe5f5bbbd3f2172fa370068d26185f3d82ed9ac", "0x" + "c0" * 20
CONTRACTS = "\n".join(f'{name} = "{CONTRACT}"' for name in ("perp-redeem", "uniswap", "cumulative", "multi-token", "disperse", "multisend"))
CLAIMS = f"""[claims]
formats = {json.dumps([*FORMATS])}
chain = 1
payer = "{SAFE}"
source = "test"

[claims.contracts]
{CONTRACTS}

[sources]"""
WITH_FILES = {"[sources]": CLAIMS, "decimals = 18\n": f'decimals = 18\naddress = "{PERP}"\n'}
HALF_USDC = {
    "share = 1\n": "share = 0.5\n",
    "[vesting]\n": f'[[settlement]]\ntoken = "USDC"\ndecimals = 6\naddress = "{USDC}"\nshare = 0.5\nprice = 1\n'
    'price_policy = "one dollar"\nsource = "test"\n\n[vesting]\n',
}
OTHER = {'token = "PERP"': 'token = "OTHER"'}
LINE = {'calendar = "calendar-months"\nlength = 3\n': 'calendar = "fixed-days"\nlength = 90\nbinding = "line"\n'}
AT_ONCE = {'upfront = 0.5\ncalendar = "calendar-months"\nlength = 3\ntranches = 3\n': "upfront = 1\n"}


def lab(name: str) -> Any:
    return json.loads((LAB / "distribution" / f"{name}.json").read_text())


def planned(tmp_path: Path, amounts: Sequence[tuple[str, str, int]], changes: Mapping[str, str] | None = None) -> Plan:
    """The plan of payouts given as (account, token, base units)."""
    incident = build.made_up(tmp_path, {**WITH_FILES, **(changes or {})})
    columns = {
        "trader": [a for a, _, _ in amounts],
        "token": [t for _, t, _ in amounts],
        "amount_base_units": [str(n) for *_, n in amounts],
    }
    payouts = pl.DataFrame(columns)
    assert incident.claim_files is not None
    return plan(incident, incident.claim_files, payouts, vest(payouts, incident))


def five(factor: int = 1) -> list[tuple[str, str, int]]:
    return [(row["account"].lower(), "PERP", int(row["amount"]) * factor) for row in lab("accounts")["rows"]]


def many(count: int) -> list[tuple[str, str, int]]:
    return [(address(n), "PERP", 10**18 + 7 * n) for n in range(1, count + 1)]
