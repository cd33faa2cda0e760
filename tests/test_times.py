"""One moment in every form that exports and files of prices have; every other text is null, never another moment."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from perpcomp.tables.times import seconds

MOMENT = datetime(2021, 2, 20, 22, 45, tzinfo=UTC)
UNIX = 1_613_861_100


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2021-02-20T22:45:00Z",
            "2021-02-20 22:45:00 UTC",
            "2021-02-20 22:45:00",
            "2021-02-20 22:45:00.000 UTC",
            "2021-02-20T22:45:00+00:00",
        ),
        *("2021-02-20 22:45:00UTC", "2021-02-20 22:45:00+00", "2021-02-20t22:45:00z", " 2021-02-20 22:45:00"),
        *("1613861100", "1613861100.0", "1613861100000", "0x603190ec", "0x603190EC"),
    ],
)
def test_text_in_utc_and_unix_seconds_are_read(text: str) -> None:
    assert seconds(pl.Series("time", [text, None])).to_list() == [UNIX, None]


@pytest.mark.parametrize(
    "values",
    [
        *([UNIX], [float(UNIX)], [1000 * UNIX], [MOMENT], [MOMENT.replace(tzinfo=None)]),
        pl.Series([MOMENT]).dt.convert_time_zone("Asia/Shanghai").dt.cast_time_unit("ns"),
    ],
)
def test_numbers_and_typed_times_are_read(values: Any) -> None:
    assert seconds(pl.Series("time", values)).to_list() == [UNIX]


@pytest.mark.parametrize(
    "text",
    [
        *("2/20/2021 22:45", "20.02.2021 22:45:00", "2021-02-20", "20210220", "2021-02-30 00:00:00", "2021-02-20 22:45", "44247.94791"),
        *("2021-02-20T23:45:00+01:00", "2021-02-20 22:45:00 CET", "2021-02-20 22:45:00.5", "1613861100.5", "1613861100500", "1.6138611e9"),
        *("22:45:00", "yesterday", "1,613,861,100", "0x12", "-1613861100"),
    ],
)
def test_every_other_text_is_null(text: str) -> None:
    assert seconds(pl.Series("time", [text])).to_list() == [None]


@pytest.mark.parametrize("value", [MOMENT.replace(microsecond=1), date(2021, 2, 20), UNIX + 0.5, float("nan"), 20210220])
def test_a_value_that_is_no_whole_second_is_null(value: Any) -> None:
    assert seconds(pl.Series("time", [value])).to_list() == [None]
