"""A damaged Parquet file that breaks its reader down is refused with a sentence, because another process tried it first."""

import io
from pathlib import Path

import polars as pl
import pytest

from perpcomp import parquet_file
from perpcomp.findings import InputError
from perpcomp.parquet_file import refuse_damaged
from tests.commands import call


@pytest.fixture(scope="module")
def damaged() -> bytes:
    """A file with one flipped bit on which Polars panics: not an Exception, so that no usual `except` sees it."""
    frame = pl.DataFrame({"n": list(range(1000)), "t": [str(n % 7) for n in range(1000)]})
    frame.write_parquet(packed := io.BytesIO(), compression="uncompressed")
    for place in range(8_000, 8_100):  # where Polars 2.1.0 puts the lengths of a page
        for bit in range(8):
            data = bytearray(packed.getvalue())
            data[place] ^= 1 << bit
            try:
                pl.scan_parquet(io.BytesIO(bytes(data))).collect()
            except pl.exceptions.PanicException:
                return bytes(data)
            except pl.exceptions.PolarsError:
                pass
    raise AssertionError("no bit of these makes Polars panic: search elsewhere")


def test_a_file_on_which_the_reader_breaks_down_is_named(damaged: bytes, tmp_path: Path) -> None:
    whole, broken = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pl.DataFrame({"n": [1]}).write_parquet(whole)
    broken.write_bytes(damaged)
    refuse_damaged([whole])
    with pytest.raises(InputError) as refused:
        refuse_damaged([whole, broken])
    assert str(refused.value) == (
        "b.parquet: The Parquet file is damaged: the program that reads it breaks down on it. Get the file again, or export the rows as CSV."
    )


def test_a_command_says_so_and_nothing_of_the_library(damaged: bytes, tmp_path: Path) -> None:
    (tmp_path / "logs.parquet").write_bytes(damaged)
    for words in (("--input", "logs.parquet"), ("--input", ".")):
        done = call("liquidations", "rehearsal", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: logs.parquet: The Parquet file is damaged: ")
        assert done.stderr.count("\n") == 1


def test_a_file_that_is_none_is_left_to_its_reader(tmp_path: Path) -> None:
    """Its words say more."""
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    refuse_damaged([tmp_path / "x.parquet"])
    done = call("liquidations", "rehearsal", "--input", "x.parquet", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: x.parquet: The file cannot be read (")


def test_a_reader_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "SECONDS", 0.01)
    pl.DataFrame({"n": [1]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"x\.parquet: The Parquet file is damaged: reading it did not end within 0\.01 seconds"):
        refuse_damaged([tmp_path / "x.parquet"])
