"""Parameters by market and date, against the collection of governance values from which they were made."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from perpcomp.findings import InputError
from perpcomp.fixed import ONE, to_integer
from perpcomp.guards.rules import margins, parameters
from perpcomp.guards.rules.parameters import (
    NAMES,
    OF_ALL_MARKETS,
    Parameters,
    at,
    from_names,
    markets,
)

COLLECTED: dict[str, Any] = json.loads((Path(__file__).parent / "lab" / "guards" / "parameters.json").read_text())
SNAPSHOT = datetime.fromisoformat(COLLECTED["snapshot"]["commit_date_utc"])
FEE = Decimal(2)


def test_every_market_has_the_values_of_the_snapshot() -> None:
    assert markets() == sorted(COLLECTED["markets"])
    for key, market in COLLECTED["markets"].items():
        dated = at(key, SNAPSHOT, min_keeper_fee=FEE)
        for name, value in market["current"].items():
            assert getattr(dated.parameters, NAMES[name]) == to_integer(Decimal(value)), (key, name)
        scale = dated.parameters.skew_scale
        assert margins.largest_passing(dated.parameters.max_liquidation_delta, scale) == int(market["max_spontaneous_size_wei"])
        assert margins.largest_passing(dated.parameters.max_pd, scale) == int(market["max_skew_wei"])


def test_every_change_applies_from_its_second_and_names_its_source() -> None:
    changes = 0
    for key, market in COLLECTED["markets"].items():
        state: dict[str, str] = {}
        for row in market["history"]:
            on = datetime.fromisoformat(row["config_date_utc"])
            for name, (old, new) in row["changes"].items():
                assert state.get(name) == old, (key, on, name)
                state[name] = new
                changes += 1
            if not {"maxLiquidationDelta", "maxPD", "liquidationBufferRatio", "skewScale"} <= state.keys():
                with pytest.raises(InputError, match="had no value on "):
                    at(key, on, min_keeper_fee=FEE)
                continue
            dated = at(key, on, min_keeper_fee=FEE)
            assert dated.since == on
            for name, value in state.items():
                assert getattr(dated.parameters, NAMES[name]) == to_integer(Decimal(value)), (key, on, name)
            for name in row["changes"]:
                for source in (*row.get("source", []), row["commit"]):
                    assert source in dated.sources[name]
    assert changes == 1287


def test_the_swapped_limits_of_august_2023_are_kept() -> None:
    swapped = at("sUSDTPERP", datetime(2023, 8, 10, tzinfo=UTC), min_keeper_fee=FEE)
    assert (swapped.parameters.max_liquidation_delta, swapped.parameters.max_pd) == (ONE * 3 // 10_000, ONE * 15 // 100_000)
    assert "SWAPPED" in swapped.sources["maxPD"]
    corrected = at("sUSDTPERP", datetime(2023, 8, 17, tzinfo=UTC), min_keeper_fee=FEE)
    assert (corrected.parameters.max_liquidation_delta, corrected.parameters.max_pd) == (ONE * 15 // 100_000, ONE * 3 // 10_000)
    assert "SCCP-2036" in corrected.sources["maxPD"]


def test_the_fees_of_all_markets_change_by_their_proposals() -> None:
    before = at("sETHPERP", datetime(2023, 4, 23, tzinfo=UTC))
    after = at("sETHPERP", datetime(2023, 5, 2, tzinfo=UTC))
    assert [getattr(before.parameters, NAMES[name]) for name in OF_ALL_MARKETS] == [2 * ONE, 1000 * ONE, 35 * ONE // 10_000, 2 * ONE]
    assert [getattr(after.parameters, NAMES[name]) for name in OF_ALL_MARKETS] == [4 * ONE, 100 * ONE, 2 * ONE // 10_000, 2 * ONE]
    assert [after.sources[name].split(":")[0] for name in OF_ALL_MARKETS[:3]] == ["SCCP-2001", "SCCP-296", "SCCP-297"]


DAY = datetime(2023, 5, 10, tzinfo=UTC)
REFUSED = [
    ("sETHPER", DAY, ("sETHPER: No parameters of this market are known.", "Did you mean 'sETHPERP'?")),
    ("ETH", DAY, ("ETH: No parameters of this market are known.", "Known: s1INCHPERP")),
    ("sETHPERP", DAY.replace(tzinfo=None), ("has no time zone", "UTC")),
    ("sETHPERP", DAY.replace(year=2021), ("sETHPERP: skewScale", "had no value on 2021-05-10", "2023-04-04T19:56:29Z")),
    (
        "sETHPERP",
        DAY.replace(month=3),
        ("maxLiquidationDelta, maxPD, liquidationBufferRatio had no value on 2023-03-10", "2023-04-04T19:56:29Z"),
    ),
    ("sETHPERP", SNAPSHOT + timedelta(seconds=1), ("No parameters are known after 2025-03-31T13:15:11Z", "ParameterUpdated")),
    ("sETHPERP", DAY.replace(year=2024), ("minKeeperFee has no fixed value on 2024-05-10", "SCCP-2006", "MinKeeperFeeUpdated")),
]


@pytest.mark.parametrize(("market", "when", "said"), REFUSED, ids=[" ".join(words[0].split()[:4]) for _, _, words in REFUSED])
def test_unknown_markets_times_and_values_are_refused_by_name(market: str, when: datetime, said: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as refused:
        at(market, when)
    for words in said:
        assert words in str(refused.value)


def test_a_missing_limit_is_refused_and_a_limit_of_0_blocks_everything() -> None:
    """0 is what a market has whose limit was never set: a state of the contract, that no size is strictly below."""
    values = dict.fromkeys(NAMES, ONE)
    unset = from_names("sETHPERP", values | {"maxPD": 0, "maxLiquidationDelta": 0})
    assert margins.largest_passing(unset.max_liquidation_delta, unset.skew_scale) == -1
    del values["maxLiquidationDelta"], values["maxPD"]
    with pytest.raises(InputError) as refused:
        from_names("sETHPERP", values)
    assert [str(problem).split(".")[0] for problem in refused.value.problems] == [
        "sETHPERP: maxLiquidationDelta is missing",
        "sETHPERP: maxPD is missing",
    ]


DAMAGED = [
    ("maxPD = 0.003,", "maxPD = 0,", ("maxPD is 0", "above 0")),
    ("maxPD = 0.003,", "maxPD = 3e-3,", ("maxPD is 3e-3", "plain decimal")),
    ("maxPD = 0.003,", "maxPd = 0.003,", ("maxPd is unknown", "Did you mean 'maxPD'?")),
    ("skewScale = 1000000,", "skewScale = 0,", ("skewScale is 0",)),
    ('source = ["SCCP-2001"]', 'source = ["SCCP-2010"]', ('source names "SCCP-2010", which is not in [sources]', "Did you mean")),
    ('source = ["SCCP-2001"]', "source = []", ("source is []", "a key of [sources]")),
    ('unset = ["minKeeperFee"]', 'unset = ["minKeeperFees"]', ('unset is "minKeeperFees"', "Did you mean 'minKeeperFee'?")),
    ("on = 2023-05-02T00:00:00Z,", "", ("on is missing",)),
]


@pytest.mark.parametrize(("old", "new", "said"), DAMAGED, ids=[new or "no date" for _, new, _ in DAMAGED])
def test_a_damaged_file_is_named_with_table_and_key(
    old: str, new: str, said: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (parameters.shelf() / parameters.FILE).read_text()
    assert old in text
    (tmp_path / parameters.FILE).parent.mkdir()
    (tmp_path / parameters.FILE).write_text(text.replace(old, new, 1))
    monkeypatch.setattr(parameters, "shelf", lambda: tmp_path)
    with pytest.raises(InputError) as refused:
        at("sETHPERP", DAY)
    assert str(refused.value).startswith(parameters.FILE)
    for words in said:
        assert words in str(refused.value)


def test_no_parameters_with_a_skew_scale_of_0_can_be_made() -> None:
    with pytest.raises(InputError, match="skewScale is 0"):
        Parameters(**dict.fromkeys(NAMES.values(), ONE) | {"skew_scale": 0})
    with pytest.raises(InputError, match="maxPD is -1, but it cannot be below 0"):
        Parameters(**dict.fromkeys(NAMES.values(), ONE) | {"max_pd": -1})
