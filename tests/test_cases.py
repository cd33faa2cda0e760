"""Cases that a voter can read: what was bought, what was liquidated, what each formula pays."""

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from tests import build

pytestmark = pytest.mark.money

CASES = sorted((Path(__file__).parent / "cases").glob("*.toml"))


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_case(path: Path, tmp_path: Path) -> None:
    case = tomllib.loads(path.read_text(), parse_float=Decimal)
    traders = {name: body for name, body in case.items() if isinstance(body, dict)}
    addresses = {name: build.address(n) for n, name in enumerate(traders, 1)}
    rows = []
    for n, (name, body) in enumerate(traders.items(), 1):
        given = {k: v for k, v in body.items() if k != "expect"}
        rows += build.position(n, addresses[name], **given)
    done = build.run(tmp_path, rows, {"reference_price = 50_000": f"reference_price = {case['reference_price']}"})
    # equity-snapshot alone has no amount: an events table does not say what margin was added after a block
    found = {(t, f): a for t, f, a in done.comparison.select("trader", "formula", "amount").iter_rows() if a is not None}
    expected = {(addresses[name], f): Decimal(a) for name, body in traders.items() for f, a in body["expect"].items()}
    assert expected == found
    for name, body in traders.items():  # what the event alone says, against what was put in
        row = done.liquidations.filter(trader=addresses[name]).row(0, named=True)
        assert (row["margin"], row["size"], row["open_notional"]) == (body["margin"], body["size"], abs(body["size"]) * body["bought_at"])
