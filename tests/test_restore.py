"""Opening positions again on the curve: the catalogue's figures, the contract's rounding, the order and its effect."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp import restore
from perpcomp.curve import Reserves, in_price
from perpcomp.findings import InputError
from perpcomp.fixed import AMOUNT, ONE, from_integer, mul_integers, to_integer
from perpcomp.incident import incident_file
from perpcomp.incident.restore import ORDERS
from perpcomp.run import Run
from tests import build
from tests.conftest import truth
from tests.variants import NO_PRICE, computed

pytestmark = pytest.mark.money

TABLE = (incident_file.shelf() / "rehearsal.toml").read_text().partition("[restore]\n")[2].partition("\n\n")[0]
RESTORED = {f"[restore]\n{TABLE}\n": ""}  # the rehearsal's own, taken away
POOL = '[[restore.pool]]\nmarket = "BTCUSDC"\nquote_reserve = 50_000_000\nbase_reserve = 1_000\n'


def restored(folder: Path, rows: list[dict[str, object]], order: str = "each-alone", spread: str = "0", pool: str = POOL) -> Run:
    table = f'[restore]\norder = "{order}"\nspread = {spread}\nsource = "test"\n\n{pool}'
    return build.run(folder, rows, {'[formula]\nname = "margin-only"': f'{table}\n[formula]\nname = "restore-position"'})


def on_recovery(order: str, spread: str = "0.001") -> Run:
    """The rehearsal, restored at the recording's recovery block."""
    block = truth("february")["recovery_block"]
    table = f'[restore]\nat = {block}\norder = "{order}"\nspread = {spread}\nsource = "recording"\n'
    return computed("rehearsal", table, RESTORED, "restore-position")


@pytest.mark.parametrize(("spread", "deposit"), [("0", "30050.050050050050050050"), ("0.001", "30100.100100100100100099")])
def test_user_a_on_the_curve_is_the_figure_of_the_catalogue(tmp_path: Path, spread: str, deposit: str) -> None:
    """x = 50,000,000, y = 1,000: buying 1 BTC costs 50,000,000/999; the deposit is that less 30,000, plus the margin of 10,000."""
    done = restored(tmp_path, build.position(1, build.address(1), 1, 30_000, 10_000, 42_000), spread=spread)
    cost = to_integer(done.liquidations["restore_notional"][0])
    assert cost == 50_000_000 * ONE // 999 + 1, "rounded against the trader, as the contract does"
    paid = to_integer(done.payouts["entitlement"][0])
    assert abs(paid - to_integer(Decimal(deposit))) <= 2


def test_a_short_on_the_curve_is_the_figure_of_the_catalogue(tmp_path: Path) -> None:
    """Short 2 at 55,000, margin 5,000, 40 of funding received: 5,000 + 40 + 110,000 - 99,800.399202 = 15,239.600798."""
    start = build.START
    rows = [
        build.opened(1, build.address(1), start, Decimal(-2), Decimal(110_000), Decimal(5_000)),
        build.liquidated(2, build.address(1), start, Decimal(-2), Decimal(110_000), Decimal(5_000), Decimal(116_000), Decimal(-40)),
    ]
    done = restored(tmp_path, [rows[0] | {"block_time": start.replace(day=19)}, rows[1]])
    assert f"{done.payouts['entitlement'][0]:.6f}" == "15239.600798"


@pytest.mark.parametrize("order", ORDERS)
def test_every_opening_is_one_that_the_contract_would_do(order: str) -> None:
    """Swapping the stated USDC in (or out) moves the size that was asked for, to the contract's own rounding of a few wei."""
    done = on_recovery(order)
    assert done.in_kind.height == 29
    for row in done.in_kind.iter_rows(named=True):
        pool = Reserves.of(to_integer(row["quote_reserve"]), to_integer(row["base_reserve"]))
        size, notional = to_integer(row["size"]), to_integer(row["restore_notional"])
        assert abs(in_price(size > 0, notional, pool) - abs(size)) <= 2
        assert to_integer(row["restore_fee"]) == mul_integers(notional, ONE // 1000)
        exact = Fraction(pool.quote) * abs(size) / (pool.base - size)
        assert abs(notional - exact) <= 2


def test_in_turn_each_pool_is_what_the_one_before_left() -> None:
    done = on_recovery("largest-first")
    rows = done.in_kind.sort("turn")
    assert rows["turn"].to_list() == list(range(1, 30))
    assert rows["size"].abs().to_list() == sorted(rows["size"].abs(), reverse=True)
    pool: Reserves | None = None
    for row in rows.iter_rows(named=True):
        here = Reserves.of(to_integer(row["quote_reserve"]), to_integer(row["base_reserve"]))
        assert pool is None or here == pool
        pool = restore.after(here, to_integer(row["size"]), to_integer(row["restore_notional"]))
    recovered = next(iter(truth("february")["recovery_positions"]["BTCUSDC"].values()))
    first = rows.row(0, named=True)
    assert to_integer(first["quote_reserve"]) == int(recovered["quoteReserve"])
    assert to_integer(first["base_reserve"]) == int(recovered["baseReserve"])


def test_equal_sizes_are_opened_by_address_and_a_short_is_as_large_as_a_long(tmp_path: Path) -> None:
    """Liquidated in the order 3, 1, 2, 4: two longs of 2, a short of 3 and a long of 1. Those of an unknown size are not opened."""
    sizes = {3: "2", 1: "2", 2: "-3", 4: "1", 5: None}
    rows = pl.DataFrame(
        {
            "eligible": [True] * 5,
            "market": [build.MARKET] * 5,
            "trader": [build.address(n) for n in sizes],
            "size_at_reference": [None if size is None else Decimal(size) for size in sizes.values()],
            "block_number": range(10, 15),
            "log_index": [0] * 5,
        },
        schema_overrides={"size_at_reference": AMOUNT},
    )
    asked = build.made_up(
        tmp_path, {"[formula]": f'[restore]\norder = "each-alone"\nspread = 0\nsource = "test"\n\n{POOL}\n[formula]'}
    ).restore
    assert asked is not None
    at = {build.MARKET: Reserves.of(50_000_000 * ONE, 1_000 * ONE)}
    turns = {order: [(one.block_number, one.turn) for one in restore.openings(rows, at, asked, order)] for order in ORDERS}
    assert turns == {
        "each-alone": [(10, None), (11, None), (12, None), (13, None)],
        "as-liquidated": [(10, 1), (11, 2), (12, 3), (13, 4)],
        "largest-first": [(12, 1), (11, 2), (10, 3), (13, 4)],
        "smallest-first": [(13, 1), (11, 2), (10, 3), (12, 4)],
    }


def test_alone_everybody_meets_the_same_pool_and_the_order_of_rows_does_not_matter() -> None:
    done = on_recovery("each-alone")
    assert done.in_kind["turn"].null_count() == 29
    assert done.in_kind["quote_reserve"].n_unique() == 1


def test_the_effect_of_the_order_is_shown() -> None:
    done = on_recovery("as-liquidated")
    orders = {row["order"]: row for row in done.restore_orders.iter_rows(named=True)}
    assert set(orders) == set(ORDERS)
    assert [name for name, row in orders.items() if row["chosen"]] == ["as-liquidated"]
    alone = orders.pop("each-alone")
    assert alone["largest_change"] == 0
    assert alone["spot_after"] == alone["spot_before"]
    # One after another the last pays for all before; how much in all depends on the order by rounding only.
    totals = [to_integer(row["restore_notional"]) for row in orders.values()]
    assert max(totals) - min(totals) < 1000 < to_integer(alone["restore_notional"]) < min(totals)
    assert len({row["largest_change"] for row in orders.values()}) > 1
    assert all(row["spot_after"] > row["spot_before"] and row["largest_change"] > 0 for row in orders.values())
    paid = {trader: to_integer(amount) for trader, amount in done.payouts.select("trader", "entitlement").iter_rows()}
    assert sum(paid.values()) == to_integer(orders["as-liquidated"]["entitlement"])
    first = on_recovery("each-alone").payouts
    changes = [abs(paid[trader] - to_integer(amount)) for trader, amount in first.select("trader", "entitlement").iter_rows()]
    assert max(changes) == to_integer(orders["as-liquidated"]["largest_change"])


def test_what_was_received_is_taken_off_in_every_order_once_over_all_markets(tmp_path: Path) -> None:
    """A trader of two markets who received more than one of them gives, and one who received more than everything."""
    other = "0x" + "dd" * 20
    rows = [
        *build.position(1, build.address(1), 1, 30_000, 10_000, 42_000),
        *({**row, "market": other} for row in build.position(2, build.address(1), 1, 30_000, 10_000, 42_000)),
        *build.position(3, build.address(2), 1, 30_000, 10_000, 42_000),
    ]
    got = [(build.address(1), 35_000), (build.address(2), 90_000)]
    received = "".join(f'[[received]]\naddress = "{who}"\namount = {amount}\nsource = "test"\n\n' for who, amount in got)
    market = f'[[market]]\nname = "ETHUSDC"\namm = "{other}"\naffected = true\nreference_price = 50_000\nsource = "test"\n\n'
    pools = POOL + "\n" + POOL.replace("BTCUSDC", "ETHUSDC")
    table = f'[restore]\norder = "largest-first"\nspread = 0\nsource = "test"\n\n{pools}\n{received}'
    changes = {
        '[formula]\nname = "margin-only"': f'{table}\n[formula]\nname = "restore-position"',
        "[eligibility]": f"{market}[eligibility]",
    }
    done = build.run(tmp_path, rows, changes)
    owed = {who: to_integer(amount) for who, amount in done.payouts.select("trader", "entitlement").iter_rows()}
    assert owed[build.address(2)] == 0
    assert 25_000 * ONE < owed[build.address(1)] < 26_000 * ONE
    chosen = done.restore_orders.filter("chosen")
    assert sum(to_integer(amount) for amount in chosen["entitlement"]) == sum(owed.values())
    assert done.restore_orders.filter(order="each-alone")["entitlement"].min() == 0


def test_the_pool_can_be_that_of_the_reference_block_with_the_position_of_then() -> None:
    """All of it as of one block: the deposit is the margin less funding, plus what opening costs above the old open notional."""
    block = truth("february")["reference_block"]
    tables = f'[valuation]\nat = {block}\nprice = "curve"\nsource = "recording"\n\n[restore]\nat = {block}\norder = "each-alone"\nspread = 0\nsource = "recording"\n'
    done = computed("rehearsal", tables, NO_PRICE | RESTORED, "restore-position")
    views = {(one["tx"], one["trader"]): one["reference"] for one in truth("february")["liquidations"] if one.get("reference")}
    compared = 0
    for row in done.liquidations.filter("eligible").iter_rows(named=True):
        view = views[row["transaction_hash"], row["trader"]]
        size, quote, base = int(view["size"]), int(view["quoteReserve"]), int(view["baseReserve"])
        exact = Fraction(quote) * abs(size) / (base - size)
        assert abs(to_integer(row["restore_notional"]) - exact) <= 2
        compared += 1
    assert compared == 29


def test_a_position_that_is_under_water_on_the_curve_is_not_opened_again(tmp_path: Path) -> None:
    done = restored(tmp_path, build.position(1, build.address(1), 1, 90_000, 10_000, 42_000), spread="0.001")
    assert done.payouts["entitlement"].to_list() == [0]
    assert done.liquidations["restore_fee"][0] > 0


def test_a_position_larger_than_the_pool_is_named(tmp_path: Path) -> None:
    pool = POOL.replace("1_000", "2")
    done = restored(tmp_path, build.position(1, build.address(1), 3, 30_000, 10_000, 42_000), pool=pool)
    assert done.liquidations["restore_notional"].to_list() == [None]
    assert any("cannot be opened again: the pool holds less." in p.what for p in done.problems)
    assert [p for p in done.problems if p.level == "error"]


def test_what_cannot_be_restored_is_named_and_nothing_else(tmp_path: Path) -> None:
    """Of two positions the one that the pool cannot give; and where the pool is unknown, the market instead of each position."""
    rows = [row for n, size in ((1, 1), (2, 3)) for row in build.position(n, build.address(n), size, 30_000, 10_000, 42_000)]
    done = restored(tmp_path, rows, pool=POOL.replace("1_000", "2"))
    (finding,) = (p for p in done.problems if p.code.startswith("restore"))
    assert (finding.code, build.address(2) in finding.what) == ("restore-impossible", True)
    table, (finding,) = restore.on_curve(done.liquidations, done.incident, {}, [])
    assert (finding.code, "The pool of BTCUSDC" in finding.what) == ("restore-pool-unknown", True)
    assert table["restore_notional"].to_list() == [None, None]


def test_without_restore_the_orders_are_empty_and_the_price_is_the_reference(later: Run) -> None:
    assert later.restore_orders.is_empty()
    assert later.liquidations["restore_notional"].equals(later.liquidations["notional_at_reference"], null_equal=True)
    assert set(later.liquidations["restore_fee"]) == {Decimal(0)}
    assert later.in_kind["turn"].null_count() == later.in_kind.height


def test_a_part_that_survived_is_restored_in_proportion(later: Run) -> None:
    block = truth("later-contracts")["recovery_block"]
    table = f'[restore]\nat = {block}\norder = "as-liquidated"\nspread = 0.001\nsource = "recording"\n'
    done = computed(str(Path(__file__).parent / "lab" / "later-contracts.toml"), table, formula="restore-position")
    kept = done.liquidations.filter(pl.col("compensated_size") < pl.col("size").abs()).row(0, named=True)
    deposit = kept["margin"] - kept["funding_payment"] + kept["open_notional"] - kept["restore_notional"]
    share = Fraction(kept["compensated_size"]) / Fraction(abs(kept["size"]))
    paid = done.payouts.filter(trader=kept["trader"])["entitlement"][0]
    assert to_integer(paid) == int(Fraction(deposit + kept["restore_fee"]) * ONE * share) if deposit > 0 else paid == 0


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[restore]\norder = "each-alone"\nspread = 0\nsource = "recording"\n', r"\[restore\] states no pool for BTCUSDC\."),
        ('[restore]\nat = 13_500_366\norder = "alone"\nspread = 0\nsource = "recording"\n', r"order is .alone.*Did you mean 'each-alone'"),
        ('[restore]\nat = 13_500_366\norder = "each-alone"\nspread = 0\n', r"\[restore\] source is missing"),
        ('[restore]\nat = 13_500_366\norder = "each-alone"\nsource = "recording"\n', r"spread is missing"),
        ('[restore]\nat = "soon"\norder = "each-alone"\nspread = 0\nsource = "recording"\n', r"at is .soon.*a block as 13_500_195"),
        ('[restore]\nat = 1\norder = "each-alone"\nspread = 0\nsource = "recording"\n', r"block 1: .*outside the logs"),
        (
            '[restore]\norder = "each-alone"\nspread = 0\nsource = "recording"\n[[restore.pool]]\nmarket = "ETHUSDC"\nquote_reserve = 1\nbase_reserve = 1\n',
            r'"ETHUSDC", which is not an affected market',
        ),
    ],
)
def test_a_restore_that_cannot_be_is_refused(table: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        computed("rehearsal", table, RESTORED)


@pytest.mark.property
@given(
    sizes=st.lists(st.integers(-(10**20), 10**20).filter(bool), min_size=1, max_size=8),
    quote=st.integers(10**22, 10**26),
    base=st.integers(10**21, 10**24),
)
def test_opening_all_and_closing_all_in_reverse_comes_back_to_the_pool(sizes: list[int], quote: int, base: int) -> None:
    """Base to the wei; USDC less the contract's own rounding, which is against the trader."""
    from perpcomp.curve import out_price

    start = pool = Reserves.of(quote, base)
    for size in sizes:
        pool = restore.after(pool, size, out_price(-size, pool))
    for size in reversed(sizes):
        pool = restore.after(pool, -size, out_price(size, pool))
    assert pool.base == start.base
    assert 0 <= pool.quote - start.quote <= 4 * len(sizes)
    assert from_integer(pool.base) == from_integer(base)
