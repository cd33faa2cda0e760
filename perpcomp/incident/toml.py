"""One TOML table while it is read: checked values out, problems collected, keys that nobody asked for named.

A reader takes a raw TOML value and gives a checked one, or raises ValueError(what is wrong, what to do).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from perpcomp.findings import Finding, near_miss
from perpcomp.fixed import to_integer

T = TypeVar("T")


class BadNumber(str):
    """A TOML float that is no plain decimal (1e5, nan, inf), kept to be named where it stands."""


def exact(text: str) -> Decimal | BadNumber:
    """The parse_float of tomllib: an exact Decimal, or what it was, to be named where it stands."""
    plain = text.replace("_", "")
    return Decimal(plain) if re.fullmatch(r"[+-]?[0-9]+\.[0-9]+", plain, re.ASCII) else BadNumber(text)


class Section:
    """One table of the file while it is read: hands out checked values, collects problems, knows which keys were never asked for."""

    def __init__(self, file: str, path: str, table: dict[str, Any], problems: list[Finding]) -> None:
        self.file, self.path, self.table, self.problems = file, path, table, problems
        self.asked: set[str] = set()

    def problem(self, key: str, what: str, what_to_do: str) -> None:
        place = f"{self.file}: {self.path + ' ' if self.path else ''}{key}".strip()
        self.problems.append(Finding("error", place, what, what_to_do))

    def take(self, key: str, read: Callable[[Any], T], default: T | None = None, *, required: bool = True) -> T | None:
        """The value of a key through `read`, which raises ValueError(what is wrong, what to do)."""
        self.asked.add(key)
        if key not in self.table:
            if required and default is None:
                self.problem(key, "is missing.", f"Add it to {self.path or 'the file'}.")
            return default
        try:
            return read(self.table[key])
        except ValueError as error:
            if len(error.args) != 2:  # not ours: an integer too long to be shown
                error = ValueError("is a number of thousands of digits.", "Correct it.")
            self.problem(key, *error.args)
            return default

    def sub(self, key: str, *, required: bool = True) -> "Section":
        self.asked.add(key)
        value = self.table.get(key)
        if value is None and required:
            self.problem(f"[{key}]", "is missing.", "Every incident states it.")
        if value is not None and not isinstance(value, dict):
            self.problem(key, "is not a table.", f"Write [{key}].")
        if isinstance(value, dict):
            return Section(self.file, f"[{key}]", value, self.problems)
        return Section(self.file, f"[{key}]", {}, [])  # what it would miss is said already

    def each(self, key: str, *, required: bool = False) -> "list[Section]":
        self.asked.add(key)
        values = self.table.get(key, [])
        name = f"[[{self.path[1:-1] + '.' if self.path else ''}{key}]]"
        if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
            self.problem(key, "is not a list of tables.", f"Write {name}.")
        elif required and not values:
            self.problem(name, "is missing.", "Every incident states at least one.")
        else:
            return [Section(self.file, f"{name} {n}", value, self.problems) for n, value in enumerate(values, 1)]
        return []

    def close(self) -> None:
        """Whatever was never asked for is unknown."""
        for key in self.table:
            if key not in self.asked:
                self.problem(key, "is unknown.", near_miss(key, self.asked))


# Readers: a raw TOML value -> a checked one, or ValueError(what is wrong, what to do).


def text(value: Any) -> str:
    """A text that can be shown: no invisible characters, and nothing a spreadsheet would read as a formula."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {shown(value)}, not a text.", "Write it in quotes.")
    bad = next(
        (c for c in value if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") or c in "\ufffe\uffff"),
        None,
    )
    if bad is not None:
        raise ValueError(f"holds the character U+{ord(bad):04X}.", "Remove it: it cannot be seen, and it changes what is shown.")
    if value.lstrip()[0] in "=+-@＝＋－＠":
        raise ValueError(f"starts with {value.lstrip()[0]!r}.", "A spreadsheet would read it as a formula: begin with a word.")
    return value


def flag(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"is {shown(value)}.", "Write true or false.")
    return value


def count(value: Any) -> int:
    """A whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 10**15:
        raise ValueError(f"is {shown(value)}.", "Write a whole number above 0.")
    return value


def amount(value: Any) -> Decimal:
    """An exact number above 0 with at most 18 places, from a TOML integer or decimal."""
    number = amount_or_zero(value)
    if number == 0:
        raise ValueError(f"is {shown(value)}.", "It must be above 0.")
    return number


def amount_or_zero(value: Any) -> Decimal:
    """As `amount`, and 0 too."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        hint = "Write a plain decimal without quotes, as 0.5 or 50_000; no exponent, no nan, no inf."
        raise ValueError(f"is {shown(value)}, not a plain decimal.", hint)
    try:
        integer = to_integer(Decimal(value))
    except ValueError:
        raise ValueError(f"is {shown(value)}.", "Write a number below 1e20 with at most 18 decimals.") from None
    if integer < 0:
        raise ValueError(f"is {shown(value)}.", "It must be above 0.")
    return Decimal(value)


def limit(value: Any) -> Decimal | None:
    """An exact number of 0 or more with at most 18 places, or "none": no limit."""
    return None if value == "none" else amount_or_zero(value)


def ratio(value: Any) -> Fraction:
    """A share between 0 and 1: a decimal, 0, 1, or a fraction in quotes."""
    match = re.fullmatch(r"([0-9]{1,9})/([1-9][0-9]{0,8})", value, re.ASCII) if isinstance(value, str) else None
    if match:
        ratio = Fraction(int(match[1]), int(match[2]))
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        ratio = Fraction(value)
    else:
        raise ValueError(f"is {shown(value)}.", 'Write a share as 0.5 or as "1/3".')
    if not 0 <= ratio <= 1:
        raise ValueError(f"is {shown(value)}.", "A share lies between 0 and 1.")
    return ratio


def shown(value: Any) -> str:
    """A value as the file writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return f"{value}" if isinstance(value, BadNumber | int) else f'"{value}"' if isinstance(value, str) else repr(value)


def choice(allowed: Iterable[str]) -> Callable[[Any], str]:
    """A reader of one of the words allowed."""
    names = tuple(allowed)

    def read(value: Any) -> str:
        if value not in names:
            raise ValueError(f"is {shown(value)}.", near_miss(str(value), names))
        return str(value)

    return read


def address(value: Any) -> str:
    """A lower-case address. Mixed case must carry a right EIP-55 checksum."""
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-fA-F]{40}", value, re.ASCII):
        strange = next((c for c in value if not c.isascii()), None) if isinstance(value, str) else None
        if strange:
            raise ValueError(
                f"holds {strange!r} (U+{ord(strange):04X}).", "It only looks like a hex digit: copy the address from an explorer."
            )
        raise ValueError(f"is {shown(value)}, not an address.", "Write 0x and 40 hex digits, in quotes.")
    if value[2:] not in (value[2:].lower(), value[2:].upper()) or value[2:].isupper():
        from eth_utils.address import to_checksum_address  # 0.1 s to import: only where there is something to check

        if to_checksum_address(value.lower()) != value:
            raise ValueError(
                f"{value} has a wrong checksum.",
                "A digit or its case is wrong: copy the address from an explorer, or write it in lower case.",
            )
    return value.lower()


def block_hash(value: Any) -> str:
    """A block's hash, lower-case."""
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-f]{64}", value, re.ASCII):
        raise ValueError(f"is {shown(value)}, not a hash.", "Write 0x and 64 lower-case hex digits, in quotes.")
    return value


def inside(value: Any) -> str:
    """A relative path that stays in the incident file's folder."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._/-]{1,120}", value):
        raise ValueError(
            f"is {shown(value)}, not a plain file name.",
            "Use letters, digits and . _ - /, at most 120, and rename the file where it has others.",
        )
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError(
            f"is {shown(value)}, which leaves the folder of the incident file.",
            "Put the file beside or below the incident file and name it from there.",
        )
    return value


def moment(value: Any, zone: str | None = None) -> datetime:
    """A time in UTC: from one with an offset, or from a local one and a zone's name."""
    if not isinstance(value, datetime):
        raise ValueError(f"is {shown(value)}, not a time.", "Write 2021-02-20T22:45:00Z, without quotes.")
    if value.microsecond:
        raise ValueError(f"is {value.isoformat()}.", "Whole seconds only: a block has no fraction of one.")
    if not 1970 <= value.year < 9999:
        raise ValueError(f"is {value.isoformat()}.", "No block is that old or that new: correct the year.")
    if value.tzinfo is not None:
        return value.astimezone(UTC)
    if zone is None:
        raise ValueError(f"is {value.isoformat()} without a zone.", 'Add Z or an offset as +08:00, or time_zone = "Asia/Taipei" beside it.')
    local = value.replace(tzinfo=ZoneInfo(zone))
    if (
        local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != value
        or local.utcoffset() != local.replace(fold=1).utcoffset()
    ):
        raise ValueError(
            f"{value.isoformat()} happens twice or not at all in {zone}.", "The clocks change there: write it in UTC, with a Z."
        )
    return local.astimezone(UTC)


def zone(value: Any) -> str:
    """The name of a time zone."""
    if value not in available_timezones():
        raise ValueError(f"is {shown(value)}, no time zone.", 'Write the name of the zone database, as "Asia/Taipei", or "UTC".')
    return str(value)
