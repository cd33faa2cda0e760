"""The kinds of values that keys hold. Each reader checks a raw TOML value, or raises ValueError(what is wrong, what to do)."""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from perpcomp.findings import closest, near_miss
from perpcomp.fixed import to_integer
from perpcomp.incident.chain_prefix import without_prefix
from perpcomp.incident.description import Kind
from perpcomp.incident.toml import shown


def text(value: Any) -> str:
    """A text without invisible characters that no spreadsheet reads as a formula."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {shown(value)}, not a text.", "Write it in quotes.")
    bad = next((c for c in value if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") or c in "\ufffe\uffff"), None)
    if bad is not None:
        raise ValueError(f"holds the character U+{ord(bad):04X}.", "Remove it: it is invisible and changes how the text is shown.")
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
    """An exact number above 0 with at most 18 decimals, from a TOML integer or decimal."""
    number = _number(value)
    if number <= 0:
        raise ValueError(f"is {shown(value)}.", "It must be above 0.")
    return number


def amount_or_zero(value: Any) -> Decimal:
    """As `amount`, or 0."""
    number = _number(value)
    if number < 0:
        raise ValueError(f"is {shown(value)}.", "It must be 0 or more.")
    return number


def limit(value: Any) -> Decimal | None:
    """As `amount_or_zero`, or None for "none"."""
    return None if value == "none" else amount_or_zero(value)


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        hint = "Write a plain decimal without quotes, as 0.5 or 50_000; no exponent, no nan, no inf."
        raise ValueError(f"is {shown(value)}, not a plain decimal.", hint)
    try:
        to_integer(Decimal(value))
    except ValueError:
        raise ValueError(f"is {shown(value)}.", "Write a number below 1e20 with at most 18 decimals.") from None
    return Decimal(value)


def share(value: Any) -> Fraction:
    """A share from 0 to 1: a decimal, 0, 1, or a fraction in quotes."""
    match = re.fullmatch(r"([0-9]{1,9})/([1-9][0-9]{0,8})", value, re.ASCII) if isinstance(value, str) else None
    if match:
        part = Fraction(int(match[1]), int(match[2]))
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        part = Fraction(value)
    else:
        raise ValueError(f"is {shown(value)}.", 'Write a share as 0.5 or as "1/3".')
    if not 0 <= part <= 1:
        raise ValueError(f"is {shown(value)}.", "A share lies between 0 and 1.")
    return part


def decimals(value: Any) -> int:
    """How many decimals a token has."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 18:
        raise ValueError(f"is {shown(value)}.", "A token here has 1 to 18 decimals; USDC has 6, PERP 18.")
    return value


def address(value: Any) -> str:
    """A lower-case address. Mixed case must carry the right EIP-55 checksum."""
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-fA-F]{40}", value, re.ASCII):
        strange = next((c for c in value if not c.isascii()), None) if isinstance(value, str) else None
        if strange:
            advice = "It only looks like a hex digit: copy the address from an explorer."
            raise ValueError(f"holds {strange!r} (U+{ord(strange):04X}).", advice)
        raise ValueError(f"is {shown(value)}, not an address.", "Write 0x and 40 hex digits, in quotes.")
    if value[2:] not in (value[2:].lower(), value[2:].upper()) or value[2:].isupper():
        from eth_utils.address import to_checksum_address  # 0.1 s to import: only where there is something to check

        if to_checksum_address(value.lower()) != value:
            advice = "A digit or its case is wrong: copy the address from an explorer, or write it in lower case."
            raise ValueError(f"is {value}, which has a wrong checksum.", advice)
    return value.lower()


def _of_any_chain(value: Any) -> Any:
    return without_prefix(value, None) if isinstance(value, str) else value


def addresses(value: Any) -> tuple[str, ...]:
    """A list of addresses."""
    if not isinstance(value, list):
        raise ValueError(f"is {shown(value)}, not a list.", "Write addresses in brackets, each in quotes.")
    return tuple(address(one) for one in value)


def contracts(value: Any) -> tuple[str, ...]:
    """One address, or a list of different ones."""
    if not isinstance(value, list):
        return (address(value),)
    listed = addresses(value)
    if not listed:
        raise ValueError("is an empty list.", "Write at least one address in the brackets, in quotes.")
    for one in listed:
        if listed.count(one) > 1:
            raise ValueError(f"lists {one} twice.", "Keep one.")
    return listed


def one_contract(value: Any) -> tuple[str, ...]:
    """One address."""
    return (address(value),)


def block_hash(value: Any) -> str:
    """The hash of a block, in lower case."""
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-f]{64}", value, re.ASCII):
        raise ValueError(f"is {shown(value)}, not a hash.", "Write 0x and 64 lower-case hex digits, in quotes.")
    return value


def sha256(value: Any) -> str:
    """The sha256 of a file, in lower case."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value, re.ASCII):
        raise ValueError(f"is {shown(value)}, not a sha256.", "Write 64 lower-case hex digits, in quotes, as `sha256sum FILE` prints them.")
    return value


def path(value: Any) -> str:
    """A relative path that stays in the incident file's folder."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._/-]{1,120}", value):
        advice = "Use letters, digits and . _ - /, at most 120, and rename the file where it has others."
        raise ValueError(f"is {shown(value)}, not a plain file name.", advice)
    if value.startswith("/") or ".." in value.split("/"):
        advice = "Put the file beside or below the incident file and name it from there."
        raise ValueError(f"is {shown(value)}, which leaves the folder of the incident file.", advice)
    return value


def written_time(value: Any) -> datetime:
    """A time as the file writes it: with an offset, or local."""
    if not isinstance(value, datetime):
        advice = "Write 2021-02-20T22:45:00Z, without quotes."
        if isinstance(value, int) and not isinstance(value, bool):
            advice += " A window in blocks has the keys from_block and to_block instead of from and to; both blocks are inside."
        raise ValueError(f"is {shown(value)}, not a time.", advice)
    if value.microsecond:
        raise ValueError(f"is {value.isoformat()}.", "Whole seconds only: a block's time has no fraction.")
    if not 1970 <= value.year < 9999:
        raise ValueError(f"is {value.isoformat()}.", "No block is that old or that new: correct the year.")
    return value


def in_utc(value: datetime, zone: str | None) -> datetime:
    """A written time in UTC; a local one needs the name of its zone."""
    if value.tzinfo is not None:
        return value.astimezone(UTC)
    if zone is None:
        raise ValueError(f"is {value.isoformat()} without a zone.", 'Add Z or an offset as +08:00, or time_zone = "Asia/Taipei" beside it.')
    local = value.replace(tzinfo=ZoneInfo(zone))
    there_and_back = local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    if there_and_back != value or local.utcoffset() != local.replace(fold=1).utcoffset():
        what = f"is {value.isoformat()}, which happens twice or not at all in {zone}."
        raise ValueError(what, "The clocks change there: write it in UTC, with a Z.")
    return local.astimezone(UTC)


def moment(value: Any) -> datetime:
    """A time with an offset, in UTC."""
    return in_utc(written_time(value), None)


# Names that are read in two ways: "Etc/GMT+8" is 8 hours behind UTC; "EST" and "CET" are said of summer times too.
_AMBIGUOUS_ZONE = re.compile(r"(Etc|SystemV)/.*|[A-Z]{3}[+-]?[0-9].*|GMT|UCT|EST|MST|HST|WET|CET|MET|EET|Factory|localtime|posixrules")
_INSTEAD = 'Remove time_zone and write the offset in from and to, as 2021-02-21T06:45:00+08:00; or name a place, as "Asia/Taipei".'


def zone(value: Any) -> str:
    """The name of a time zone: "UTC", or a place."""
    known = available_timezones()
    if not isinstance(value, str) or value not in known:
        near = closest(value, known - {one for one in known if _AMBIGUOUS_ZONE.fullmatch(one)}) if isinstance(value, str) else None
        advice = f"Did you mean {shown(near)}? " if near else ""
        raise ValueError(f"is {shown(value)}, which is not a time zone.", advice + _INSTEAD)
    if _AMBIGUOUS_ZONE.fullmatch(value) and value != "Etc/UTC":
        winter, summer = (
            datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(value)).isoformat()[-6:] for day in ("2021-01-01", "2021-07-01")
        )
        means = f"means {winter} at every date" if winter == summer else f"means {winter} in winter and {summer} in summer"
        raise ValueError(f"is {shown(value)}, which {means} and is easily read otherwise.", _INSTEAD)
    return value


# Examples of no account and no block: a real one could be left in a file by mistake.
EXAMPLE_ADDRESS = f'"0x{"0a" * 20}"'
EXAMPLE_HASH = f'"0x{"0b" * 32}"'
EXAMPLE_SHA256 = f'"{"0c" * 32}"'

TEXT = Kind("text", "a text in quotes", text)
FLAG = Kind("true or false", "true or false", flag)
COUNT = Kind("whole number", "a whole number above 0", count)
AMOUNT = Kind("amount", "a number above 0 and below 1e20 with at most 18 decimals, without quotes", amount)
AMOUNT_OR_ZERO = Kind("amount or 0", "a number of 0 or more and below 1e20 with at most 18 decimals, without quotes", amount_or_zero)
LIMIT = Kind("limit", '"none" for no limit, or a number of 0 or more with at most 18 decimals', limit)
SHARE = Kind("share", 'a number from 0 to 1, or a fraction in quotes as "1/3"', share)
DECIMALS = Kind("decimals", "a whole number from 1 to 18", decimals)
ADDRESS = Kind("address", "0x and 40 hex digits in quotes; mixed case must carry a right checksum", address, of_chain=True)
ADDRESSES = Kind("addresses", "a list of addresses in brackets", addresses, of_chain=True)
TOKEN_ADDRESS = Kind("address", f"{ADDRESS.allowed}; of any chain", lambda value: address(_of_any_chain(value)))
CONTRACT = Kind("address", ADDRESS.allowed, one_contract, of_chain=True)
CONTRACTS = Kind("addresses", f"{ADDRESS.allowed}; or a list of them in brackets, in any order", contracts, of_chain=True)
BLOCK_HASH = Kind("block hash", "0x and 64 lower-case hex digits, in quotes", block_hash)
PATH = Kind("file", "a path of letters, digits and . _ - / inside the folder of the incident file, in quotes", path)
SHA256 = Kind("sha256", "64 lower-case hex digits, in quotes", sha256)
TIME = Kind("time", "a time in whole seconds with Z or an offset, without quotes", moment)
WRITTEN_TIME = Kind("time", "a time in whole seconds with Z or an offset, or local beside time_zone; without quotes", written_time)
ZONE = Kind("time zone", 'a place of the zone database, as "Asia/Taipei", or "UTC"', zone)


def choice(*words: str) -> Kind:
    """One of some words."""
    return Kind("word", " or ".join(f'"{word}"' for word in words), _one_of(words), words)


def choices(*words: str) -> Kind:
    """A list of at least one of some words."""

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError(f"is {shown(value)}, not a list of at least one.", f"Write words in brackets, of {', '.join(words)}.")
        return tuple(_one_of(words)(one) for one in value)

    return Kind("words", "a list of " + ", ".join(f'"{word}"' for word in words), read, words)


def _one_of(words: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"is {shown(value)}.", near_miss(str(value), words))
        return str(value)

    return read
