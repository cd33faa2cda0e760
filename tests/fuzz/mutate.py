"""Damage to a seed, drawn from a random generator: what a disk, a network, an editor and an attacker do to a file."""

from collections.abc import Sequence
from random import Random

# What parsers of numbers, tables, dates and nested values stumble over.
PIECES = [
    *(
        b"-1",
        b"0",
        b"1e400",
        b"NaN",
        b"inf",
        b"0x",
        b"9" * 40,
        b"9" * 5_000,
        b"1.5",
        b"-0.0000000000000000001",
        b"\xd9\xa1\xd9\xa2",
        b"1_000",
    ),
    *(
        b"",
        b"null",
        b"true",
        b"{}",
        b"[]",
        b"[[[[",
        b'{"a":1,"a":2}',
        b'"',
        b"\\",
        b"\\u0000",
        b"'",
        b"=1+1",
        b"@",
        b"#",
        b";",
        b"\t",
        b"\r\n",
    ),
    *(b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\x1b]8;;", b"[red]", b"../x", b"C:\\x"),
    *(b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00+14:00", b"2021-02-30", b"1" * 20, b"<!DOCTYPE x>", b"</", b"&#0;"),
]


def mutated(seed: bytes, others: Sequence[bytes], chance: Random) -> bytes:
    """The seed after one to four accidents."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        end = min(len(data), place + chance.choice((1, 1, 4, 20, 200)))
        match chance.randrange(8):
            case 0:
                if data:
                    data[place % len(data)] ^= 1 << chance.randrange(8)
            case 1:
                del data[place:end]
            case 2:
                data[place:place] = data[place:end]
            case 3:
                data[place:end] = chance.choice(PIECES)
            case 4:
                data[place:place] = chance.choice(PIECES)
            case 5:
                data[place:] = b""
            case 6:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                data[place:end] = other[start : start + 100]
            case 7:
                _swap_cells(data, place, chance)
    return bytes(data)


def _swap_cells(data: bytearray, place: int, chance: Random) -> None:
    """Replace what stands between two separators: a cell of a table, a value of JSON or TOML."""
    start = max(data.rfind(mark, 0, place) for mark in (b",", b":", b"\n", b'"', b"=", b">")) + 1
    ends = [at for mark in (b",", b"}", b"\n", b'"', b"<") if (at := data.find(mark, start)) >= 0]
    data[start : min(ends, default=len(data))] = chance.choice(PIECES)
