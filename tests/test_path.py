"""The price path of a crash: against a plain loop over the raw logs, by the library and by the command, on terminals and in pipes."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import perpcomp
from perpcomp.cli.chart import HEIGHT, NARROWEST, price_chart
from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.systems.perpetual_v1.events import FUNDING_RATE_UPDATED, RESERVE_SNAPSHOTTED
from perpcomp.systems.price_path import LEAD_IN, in_words
from perpcomp.tables.liquidations import PRICES
from perpcomp.tables.schema import check
from tests.commands import call, on_real_terminal, on_terminal

LAB = Path(__file__).parent / "lab"
RECORDINGS = {
    "rehearsal": Path(__file__).parent.parent / "queries" / "rehearsal" / "logs.jsonl.gz",
    str(LAB / "large.toml"): LAB / "large" / "logs.jsonl.gz",
    str(LAB / "later-contracts.toml"): LAB / "later-contracts" / "logs.jsonl.gz",
}


def recorded(file: Path, market: str, start: int, end: int) -> list[tuple[int, int, int | None]]:
    """(unix time, spot, index) at the end of every block in which the market logged, in 1e-18, by nothing but JSON and whole numbers."""
    blocks: dict[int, tuple[int, int, int | None]] = {}
    spot, index = 0, None
    with gzip.open(file, "rt") as lines:
        for log in map(json.loads, lines):
            words = [int(log["data"][n : n + 64], 16) for n in range(2, len(log["data"]), 64)]
            if log["address"] == market and log["topics"][0] == RESERVE_SNAPSHOTTED.topic0:
                spot = words[0] * 10**18 // words[1]
            elif log["address"] == market and log["topics"][0] == FUNDING_RATE_UPDATED.topic0:
                index = words[1]
            ours = log["address"] == market or market[2:] in "".join(log["topics"])
            if ours and start <= int(log["blockTimestamp"], 16) < end:
                blocks[int(log["blockNumber"], 16)] = (int(log["blockTimestamp"], 16), spot, index)
    return list(blocks.values())


def rehearsal_lines() -> list[str]:
    return gzip.decompress(RECORDINGS["rehearsal"].read_bytes()).decode().splitlines()


@pytest.mark.parametrize("query", RECORDINGS, ids=lambda q: Path(q).stem)
def test_the_path_of_each_affected_market_is_what_the_raw_logs_say(query: str) -> None:
    loaded = incident_file.load(query)
    paths, problems = perpcomp.prices(query)
    assert list(paths) == [market.name for market in loaded.affected]
    assert not [problem for problem in problems if problem.where in paths]
    start, end = int((loaded.eligibility.start - LEAD_IN).timestamp()), int(loaded.eligibility.end.timestamp())
    for market in loaded.affected:
        path = check(paths[market.name], PRICES)
        shown = path.select(
            pl.col("block_time").dt.epoch("s"), *(pl.col(n).reinterpret(dtype=pl.Int128) for n in ("spot_price", "index_price"))
        )
        assert shown.rows() == recorded(RECORDINGS[query], market.amm, start, end)
        assert path.height > 60
        before = path.filter(pl.col("block_time") < loaded.eligibility.start)
        assert before.height, "the price before the fall is there"


def test_the_sentence_says_when_and_how_far() -> None:
    path = perpcomp.prices()[0]["BTCUSDC"]
    assert in_words("BTCUSDC", path, "USDC") == (
        "BTCUSDC, 2021-02-20T22:00:05Z to 2021-02-21T00:21:04Z: the window and the hour before it, 120 blocks in which the market logged"
        " something. Spot price, in USDC: 57,101.01 first, 54,499.99 last; lowest 36,597.29 at 2021-02-20T23:58:09Z,"
        " highest 57,101.01 at 2021-02-20T22:00:05Z."
    )


def test_one_market_by_name_and_what_its_logs_do_not_tell() -> None:
    """LINK's funding was never paid in the recording, so no log says what its index price was."""
    paths, problems = perpcomp.prices("rehearsal", "LINKUSDC")
    assert list(paths) == ["LINKUSDC"]
    assert paths["LINKUSDC"]["index_price"].null_count() == paths["LINKUSDC"].height == 6
    assert [str(p) for p in problems] == [
        "LINKUSDC: The index price is unknown in 6 of 6 blocks: the logs hold no FundingRateUpdated of the market before them. It is left empty."
    ]


def test_a_market_without_a_log_there_is_named(tmp_path: Path) -> None:
    """It has older ones."""
    loaded = incident_file.load("rehearsal")
    link = next(market.amm for market in loaded.markets if market.name == "LINKUSDC")
    start = int((loaded.eligibility.start - LEAD_IN).timestamp())
    lines = rehearsal_lines()
    kept = [line for line in lines if link[2:] not in line or int(json.loads(line)["blockTimestamp"], 16) < start]
    assert any(link[2:] in line for line in kept)
    assert len(kept) < len(lines)
    (tmp_path / "logs.jsonl").write_text("\n".join(kept))
    paths, problems = perpcomp.prices("rehearsal", "LINKUSDC", tmp_path / "logs.jsonl")
    assert paths["LINKUSDC"].is_empty()
    assert [str(p) for p in problems] == [
        "LINKUSDC: The market has no log in the window or in the hour before it. There is no price to show."
    ]
    assert in_words("LINKUSDC", paths["LINKUSDC"], "USDC") == "LINKUSDC: no block to show."


def test_a_market_without_any_log_is_named_too(tmp_path: Path) -> None:
    link = next(market.amm for market in incident_file.load("rehearsal").markets if market.name == "LINKUSDC")
    (tmp_path / "logs.jsonl").write_text("\n".join(line for line in rehearsal_lines() if link[2:] not in line))
    paths, problems = perpcomp.prices("rehearsal", "LINKUSDC", tmp_path / "logs.jsonl")
    assert paths["LINKUSDC"].is_empty()
    assert any("LINKUSDC: The market has no log in the window" in str(problem) for problem in problems)


def test_an_unknown_market_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"--market: 'BTCUSD' is no market of rehearsal.toml. Did you mean 'BTCUSDC'\?"):
        perpcomp.prices("rehearsal", "BTCUSD")


def test_without_the_pools_logs_every_price_is_empty_and_named(tmp_path: Path) -> None:
    (tmp_path / "logs.jsonl").write_text("\n".join(line for line in rehearsal_lines() if RESERVE_SNAPSHOTTED.topic0 not in line))
    paths, problems = perpcomp.prices("rehearsal", None, tmp_path / "logs.jsonl")
    path = paths["BTCUSDC"]
    assert path["spot_price"].null_count() == path["twap_price"].null_count() == path.height
    said = [problem.what for problem in problems if problem.where == "BTCUSDC"]
    assert [words.split(" in ")[0] for words in said] == ["The spot price is unknown", "The average price is unknown"]
    assert in_words("BTCUSDC", path, "USDC").endswith("logged something.")


# By the command


def test_json_is_exact_and_alone(tmp_path: Path) -> None:
    done = call("prices", "--json", cwd=tmp_path)
    rows = json.loads(done.stdout, parse_float=lambda text: pytest.fail(f"a float: {text}"))
    path = perpcomp.prices()[0]["BTCUSDC"]
    assert list(rows) == ["BTCUSDC"]
    assert [Decimal(row["spot_price"]) for row in rows["BTCUSDC"]] == path["spot_price"].to_list()
    assert list(rows["BTCUSDC"][0]) == path.columns
    assert done.stderr == ""


def test_a_pipe_gets_the_table_and_no_drawing(tmp_path: Path) -> None:
    done = call("prices", cwd=tmp_path)
    assert done.returncode == 0
    assert "36,597.29" in done.stdout
    assert "15-minute average" not in done.stdout
    assert not any(0x2800 < ord(character) <= 0x28FF for character in done.stdout + done.stderr)
    assert "\x1b" not in done.stdout
    assert done.stderr.startswith("BTCUSDC, 2021-02-20T22:00:05Z to 2021-02-21T00:21:04Z")


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_gets_both_at_any_width(columns: int, tmp_path: Path) -> None:
    text = on_terminal(columns, "prices", cwd=tmp_path)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= columns
    for price in ("57,101.01", "36,597.29", "54,499.99", "55,700.00"):
        assert price in text, price
    assert "block_time (UTC)" in text
    assert text.rstrip().endswith("- index   o 15-minute average   ⠒ spot")


def test_an_error_in_the_logs_is_exit_1(tmp_path: Path) -> None:
    lines = rehearsal_lines()
    (tmp_path / "logs.jsonl").write_text("\n".join(lines[: len(lines) // 8] + lines[len(lines) // 4 :]))
    done = call("prices", "--input", "logs.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_that_cannot_show_the_characters_gets_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    text = on_real_terminal(120, "prices", cwd=tmp_path)
    assert "36,597.29" in text
    assert "15-minute average" not in text


# The drawing

BEGIN = datetime(2021, 2, 20, 22, 0, tzinfo=UTC)


def made_up(prices: list[tuple[int, Any, Any, Any]]) -> pl.DataFrame:
    """(minute, spot, average, index) a row."""
    rows = [(BEGIN + timedelta(minutes=m), n, *(None if p is None else Decimal(p) for p in three)) for n, (m, *three) in enumerate(prices)]
    return pl.DataFrame(rows, schema=PRICES.schema, orient="row")


def pixels(text: str) -> dict[int, set[int]]:
    """Line of the drawing, from the top -> the columns in which something stands."""
    lines = [line.partition("| ")[2] for line in text.splitlines()[2 : 2 + HEIGHT]]
    return {n: {column for column, character in enumerate(line) if character not in "\u2800 "} for n, line in enumerate(lines)}


def test_a_price_holds_until_the_next_block_instead_of_sloping_there() -> None:
    """Down in the middle: high in the left half, low in the right half, and nothing between but in the column of the fall."""
    drawn = pixels(price_chart(made_up([(0, 100, None, None), (30, 50, None, None), (60, 50, None, None)]), 82, False, "USDC"))
    lines = [n for n in drawn if drawn[n]]
    high, low = lines[0], lines[-1]
    assert drawn[high] >= set(range(30))
    assert drawn[low] >= set(range(31, 60))
    for line in lines[1:-1]:
        assert drawn[line] <= {29, 30}
    assert not drawn[high] & set(range(31, 60))


def test_every_series_has_a_mark_of_its_own_and_only_those_there_are_named() -> None:
    whole = price_chart(made_up([(0, 100, 90, 80), (10, 60, 70, 80)]), 80, False, "USDC")
    assert whole.splitlines()[-1] == "- index   o 15-minute average   ⠒ spot"
    body = "".join(whole.splitlines()[2 : 2 + HEIGHT])
    assert "o" in body
    assert "-" in body
    assert "\x1b" not in whole
    without = price_chart(made_up([(0, 100, None, None), (10, 60, None, None)]), 80, False, "USDC")
    assert without.splitlines()[-1] == "⠒ spot"


@pytest.mark.parametrize("width", [NARROWEST, 60, 80, 133, 200])
@pytest.mark.parametrize("price", ["0.0000012", "0.5", "24.0123", "56000", "99999999"])
def test_it_fits_and_its_scale_can_be_told_apart(width: int, price: str) -> None:
    low = Decimal(price) * Decimal("0.8")
    text = price_chart(made_up([(0, price, None, None), (100, str(low), None, None)]), width, False, "USDC")
    assert max(map(len, text.splitlines())) <= width
    scale = [line.split("|")[0].strip() for line in text.splitlines()[1 : 2 + HEIGHT]]
    if Decimal(price) >= Decimal("0.5"):
        assert all(above != below for above, below in pairwise(scale))
    assert all(len(label) <= 11 for label in scale)


def test_days_are_told_by_their_dates() -> None:
    text = price_chart(made_up([(0, 100, None, None), (3000, 60, None, None)]), 80, False, "USDC")
    assert "02-20 22h" in text
    assert "22:00" not in text


@pytest.mark.parametrize(
    ("rows", "width"),
    [([], 80), ([(0, 1, 1, 1)], 80), ([(0, None, None, None), (1, None, None, None)], 80), ([(0, 1, 1, 1), (1, 2, 2, 2)], NARROWEST - 1)],
)
def test_nothing_is_drawn_where_there_is_nothing_to_see(rows: list[tuple[int, Any, Any, Any]], width: int) -> None:
    assert price_chart(made_up(rows), width, False, "USDC") == ""


def test_a_price_that_never_moved_is_a_line() -> None:
    drawn = pixels(price_chart(made_up([(0, 7, None, None), (9, 7, None, None)]), 80, False, "USDC"))
    assert len([line for line in drawn if drawn[line]]) == 1
