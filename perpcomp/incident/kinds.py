"""The kinds of values that keys hold. Each reader checks a raw TOML value, or raises ValueError(what is wrong, what to do)."""

import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from perpcomp.eip55 import checksummed
from perpcomp.findings import near_miss
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
    if value != value.lower() and value != checksummed(value.lower()):
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


# Examples of no account and no block: a real one could be left in a file by mistake.
EXAMPLE_ADDRESS = f'"0x{"0a" * 20}"'
EXAMPLE_HASH = f'"0x{"0b" * 32}"'
EXAMPLE_SHA256 = f'"{"0c" * 32}"'

# What JSON Schema says of a value.
_BLANK = "[ \\t\\u00a0]*"
_HIDDEN = r"\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff"


def _matching(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


_ADDRESS = _matching(f"^{_BLANK}([A-Za-z0-9]+(:[0-9]+)?{_BLANK}:{_BLANK})?(0[xX])?[0-9a-fA-F]{{40}}{_BLANK}$")
_ADDRESSES = {"type": "array", "items": _ADDRESS}
_NUMBER = {"type": "number", "minimum": 0, "exclusiveMaximum": 10**20}

TEXT = Kind("text", "a text in quotes", text, shape=_matching(rf"^\s*[^\s=+@＝＋－＠{_HIDDEN}-][^{_HIDDEN}]*$"))
FLAG = Kind("true or false", "true or false", flag, shape={"type": "boolean"})
COUNT = Kind("whole number", "a whole number above 0", count, shape={"type": "integer", "minimum": 1, "exclusiveMaximum": 10**15})
AMOUNT = Kind(
    "amount",
    "a number above 0 and below 1e20 with at most 18 decimals, without quotes",
    amount,
    shape={"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10**20},
)
AMOUNT_OR_ZERO = Kind(
    "amount or 0", "a number of 0 or more and below 1e20 with at most 18 decimals, without quotes", amount_or_zero, shape=_NUMBER
)
LIMIT = Kind(
    "limit", '"none" for no limit, or a number of 0 or more with at most 18 decimals', limit, shape={"anyOf": [{"const": "none"}, _NUMBER]}
)
SHARE = Kind(
    "share",
    'a number from 0 to 1, or a fraction in quotes as "1/3"',
    share,
    shape={"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _matching("^[0-9]{1,9}/[1-9][0-9]{0,8}$")]},
)
DECIMALS = Kind("decimals", "a whole number from 1 to 18", decimals, shape={"type": "integer", "minimum": 1, "maximum": 18})
ADDRESS = Kind("address", "0x and 40 hex digits in quotes; mixed case must carry a right checksum", address, of_chain=True, shape=_ADDRESS)
ADDRESSES = Kind("addresses", "a list of addresses in brackets", addresses, of_chain=True, shape=_ADDRESSES)
TOKEN_ADDRESS = Kind("address", f"{ADDRESS.allowed}; of any chain", lambda value: address(_of_any_chain(value)), shape=_ADDRESS)
CONTRACT = Kind("address", ADDRESS.allowed, one_contract, of_chain=True, shape=_ADDRESS)
CONTRACTS = Kind(
    "addresses",
    f"{ADDRESS.allowed}; or a list of them in brackets, in any order",
    contracts,
    of_chain=True,
    shape={"anyOf": [_ADDRESS, {**_ADDRESSES, "minItems": 1, "uniqueItems": True}]},
)
BLOCK_HASH = Kind("block hash", "0x and 64 lower-case hex digits, in quotes", block_hash, shape=_matching("^0x[0-9a-f]{64}$"))
PATH = Kind(
    "file",
    "a path of letters, digits and . _ - / inside the folder of the incident file, in quotes",
    path,
    shape=_matching(r"^(?!/)(?!([^/]*/)*\.\.(/|$))[A-Za-z0-9._/-]{1,120}$"),
)
SHA256 = Kind("sha256", "64 lower-case hex digits, in quotes", sha256, shape=_matching("^[0-9a-f]{64}$"))


def choice(*words: str) -> Kind:
    """One of some words."""
    return Kind("word", " or ".join(f'"{word}"' for word in words), _one_of(words), words, shape={"enum": [*words]})


def choices(*words: str) -> Kind:
    """A list of at least one of some words."""

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError(f"is {shown(value)}, not a list of at least one.", f"Write words in brackets, of {', '.join(words)}.")
        return tuple(_one_of(words)(one) for one in value)

    shape = {"type": "array", "items": {"enum": [*words]}, "minItems": 1}
    return Kind("words", "a list of " + ", ".join(f'"{word}"' for word in words), read, words, shape=shape)


def _one_of(words: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"is {shown(value)}.", near_miss(str(value), words))
        return str(value)

    return read
