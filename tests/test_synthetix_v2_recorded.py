"""Recorded Perps V2 chains against the views of the real contracts: liquidations, flags, verdicts, prices; nothing may differ."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import perpcomp
from perpcomp.fixed import to_integer
from perpcomp.guards.rules import margins
from perpcomp.guards.rules.parameters import NAMES, Parameters
from perpcomp.run import Run

LAB = Path(__file__).parent / "lab" / "perps-v2"
CHAINS = ("june", "upgrade")
SETTINGS = ("0xdda6327139485221633a1fcd65f4ac932e60a2e1", "0x647520713d70a754bad30a6c25c58dff9621ea08")  # January's, April's of upgrade


def read(chain: str, name: str) -> Any:
    return json.loads(gzip.decompress((LAB / chain / f"{name}.json.gz").read_bytes()))


def incident(chain: str, folder: Path, *changes: tuple[str, str]) -> str:
    """The incident file beside the logs; that of `upgrade` with both settings contracts. `changes` are replaced in it."""
    text = (LAB / chain / "incident.toml").read_text()
    for old, new in ((f'settings = "{SETTINGS[1]}"', f'settings = ["{SETTINGS[0]}", "{SETTINGS[1]}"]'), *changes):
        assert old in text or chain == "june"
        text = text.replace(old, new)
    (folder / "incident.toml").write_text(text)
    (folder / "logs.jsonl.gz").write_bytes((LAB / chain / "logs.jsonl.gz").read_bytes())
    return str(folder / "incident.toml")


@cache
def truth(chain: str) -> Any:
    return read(chain, "truth")


@pytest.fixture(scope="module", params=CHAINS)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Run]:
    path = incident(request.param, tmp_path_factory.mktemp(request.param))
    return request.param, path, perpcomp.compute(path)


def integers(row: dict[str, Any], *names: str) -> dict[str, int | None]:
    return {name: None if row[name] is None else to_integer(row[name]) for name in names}


def number(value: str | None) -> int | None:
    return None if value is None else int(value)


def test_every_liquidation_is_that_of_the_views(chain: tuple[str, str, Run]) -> None:
    name, _, run = chain
    expected = {(row["tx"], row["trader"]): row for row in read(name, "expected")["rows"]}
    assert run.liquidations.height == len(expected) == {"june": 32, "upgrade": 10}[name]
    for row in run.liquidations.iter_rows(named=True):
        right = expected.pop((row["transaction_hash"], row["trader"]))
        got = integers(
            row,
            "size",
            "margin",
            "entry_price",
            "spot_price",
            "realized_pnl",
            "funding_payment",
            "remaining_margin",
            "bad_debt",
            "liquidation_fee",
        )
        assert got == {
            "size": int(right["size"]),
            "margin": int(right["margin_before"]),
            "entry_price": int(right["last_price"]),
            "spot_price": int(right["price"]),
            "realized_pnl": int(right["profit_loss"]),
            "funding_payment": -int(right["accrued_funding"]),
            "remaining_margin": int(right["remaining_margin"]),
            "bad_debt": int(right["negative_margin"]),
            "liquidation_fee": int(right["liquidator_fee"]),
        }
        assert (row["market_name"], row["liquidator"], row["block_number"]) == (right["market"], right["liquidator"], right["block"])
    assert not expected


def test_every_flag_and_every_fee_is_that_of_the_views(chain: tuple[str, str, Run]) -> None:
    name, _, run = chain
    expected = {(row["tx"], row["trader"]): row for row in read(name, "expected")["rows"]}
    orders = {
        (a["tx"], a["trader"]): int((a["before"]["order"] or {"keeperDeposit": 0})["keeperDeposit"])
        for a in truth(name)["attempts"]
        if a["call"] == "flagPosition" and a["ok"]
    }
    assert run.flags is not None
    flagged = 0
    for row in run.flags.iter_rows(named=True):
        right = expected[row["transaction_hash"], row["trader"]]
        names = ("flagger_fee", "liquidator_fee", "stakers_fee", "debt_pool_loss", "flag_price", "price")
        assert integers(row, *names) == {key: number(right[key]) for key in names}
        assert to_integer(row["trader_loss"]) == int(right["remaining_margin"])
        assert (row["flagger"], row["flag_transaction_hash"]) == (right["flagger"], right["flag_tx"])
        if right["flagger"] is not None:
            flagged += 1
            ratios = ("skew_before", "skew_scale", "max_liquidation_delta", "max_pd", "price_impact", "premium")
            assert integers(row, *ratios) == {key: number(right[key]) for key in ratios}
            assert row["flagged_at"].timestamp() == right["flag_timestamp"]
            assert to_integer(row["order_deposit"]) == orders[right["flag_tx"], right["trader"]]
        else:
            assert row["order_deposit"] is None
    assert flagged == {"june": 32, "upgrade": 5}[name]
    deposits = sorted(to_integer(d) for d in run.flags.get_column("order_deposit").drop_nulls() if d)
    assert deposits == {"june": [4 * 10**18] * 2, "upgrade": [2 * 10**18]}[name]


def test_every_verdict_is_what_the_contracts_did(chain: tuple[str, str, Run]) -> None:
    name, path, _ = chain
    _, found = perpcomp.guarded(path, swept=True)
    expected = {(row["tx"], row["trader"]): row for row in read(name, "expected")["rows"]}
    early = 0
    for row in found.verdicts.table.iter_rows(named=True):
        right = expected[row["transaction_hash"], row["trader"]]
        assert row["verdict"] == row["verdict_of_limits"] == (right["verdict"] or "UNKNOWN")
        assert right["call"] != "liquidatePosition" or right["verdict"] in (None, "LIQUIDATED")
        if right["verdict"] is None:
            early += 1
            assert row["reason"] == "not judged: liquidated by the code before SIP-2005, which had no limits and logged no skew"
    assert early == {"june": 0, "upgrade": 5}[name]
    assert [f.code for f in found.findings] == ["before-guards"] * (early > 0)
    assert not [f for f in found.findings if f.level != "note"]


def test_views_of_liquidation_prices_and_margins() -> None:
    """Of every flagged or liquidated position by the code of April 2023, at its own second."""
    compared = 0
    for name in CHAINS:
        for attempt in truth(name)["attempts"]:
            view = attempt["before"]
            values = {NAMES[key]: int(value) for key, value in view["parameters"].items() if key in NAMES}
            if attempt["batch"] or int(view["size"]) == 0 or "max_pd" not in values:
                continue
            position = margins.Position(*(int(view[key]) for key in ("id", "lastFundingIndex", "margin", "lastPrice", "size")))
            parameters, price, accrued = Parameters(**values), int(view["assetPrice"]), int(view["accruedFunding"])
            entries = [int(entry) for entry in truth(name)["funding"][attempt["market"]]]
            now = entries[view["fundingSequenceLength"] - 1] + int(view["unrecordedFunding"])
            funding = now - entries[position.last_funding_index]
            assert margins.profit(position, price) == int(view["profitLoss"])
            assert margins.remaining_margin(position, price, accrued) == int(view["remainingMargin"])
            if view["canLiquidate"]:
                assert margins.keeper_fee(position.size, price, parameters) == int(view["liquidationFee"])
            assert margins.liquidation_price(position, price, funding, parameters) == int(view["liquidationPrice"])
            if not view["priceInvalid"] and not view["isFlagged"]:
                assert margins.can_liquidate(position, price, accrued, parameters) >= view["canLiquidate"]
            compared += 1
    assert compared == 94


def test_whoever_was_flagged_and_not_liquidated_is_listed(tmp_path: Path) -> None:
    labels = {a["label"]: a["trader"] for a in truth("june")["attempts"]}
    liquidated = {row["label"]: row for row in truth("june")["liquidations"]}
    run = perpcomp.compute(incident("june", tmp_path))
    codes = dict(run.left_out.select("trader", "reason_code").iter_rows())
    assert codes[labels["flag_only"]] == "flagged-not-liquidated"
    assert [*codes.values()].count("flagged-not-liquidated") == 1

    # A window that ends after a flag and before its liquidation, and one that begins between the two.
    late = liquidated["b_short80"]
    moment = pl.from_epoch(pl.Series([(late["flagTimestamp"] + late["timestamp"]) // 2]), "s").dt.strftime("%Y-%m-%dT%H:%M:%SZ").item()
    for old, new in (("to = 2023-06-09T00:22:12Z", f"to = {moment}"), ("from = 2023-06-08T23:34:16Z", f"from = {moment}")):
        run = perpcomp.compute(incident("june", tmp_path, (old, new)))
        codes = dict(run.left_out.select("trader", "reason_code").iter_rows())
        inside = set(run.liquidations.filter("eligible").get_column("trader"))
        assert (late["trader"] in inside) == old.startswith("from")
        assert codes.get(late["trader"]) == (None if old.startswith("from") else "flagged-not-liquidated")
        assert codes[labels["flag_only"]] == "flagged-not-liquidated"


@pytest.mark.parametrize("name", CHAINS)
def test_a_profit_at_the_reference_is_truncated_once(name: str, chain: tuple[str, str, Run]) -> None:
    if chain[0] != name:
        return
    for row in chain[2].liquidations.iter_rows(named=True):
        size, entry, reference = (to_integer(row[key]) for key in ("size", "entry_price", "reference_price"))
        product = size * (reference - entry)
        exact = abs(product) // 10**18
        assert to_integer(row["unrealized_pnl_at_reference"]) == (exact if product >= 0 else -exact)


def test_a_liquidation_beyond_the_logged_limits_says_that_a_parameter_is_missing(tmp_path: Path) -> None:
    """Without the log that raised a limit, a liquidation by anybody is beyond the one before."""
    path = incident("june", tmp_path)
    rows = [json.loads(row) for row in gzip.decompress((tmp_path / "logs.jsonl.gz").read_bytes()).decode().splitlines()]
    topic = "0xb1e024a1aed9a1f08ef2258cedd5c544e48dcb5befc1ec2aa0ff9ea60997d14f"
    name = "0x" + b"maxPD".ljust(32, b"\0").hex()
    for row in rows:
        if row["topics"][0] == topic and row["topics"][2] == name:
            row["data"] = f"0x{10**12:064x}"
    logs = tmp_path / "logs.jsonl"
    logs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = perpcomp.compute(path, logs)
    said = [p for p in run.problems if p.level == "error"]
    assert {p.code for p in said} == {"parameter-log-missing"}
    assert "but the logged maxPD lets nobody liquidate from 0.000001000000000000 on." in said[0].what
