"""The text of a TOML file -> raw tables, with every number exact."""

import re
import tomllib
from datetime import date, time
from decimal import Decimal
from typing import Any

from perpcomp.findings import refusal


class BadNumber(str):
    """A TOML float that is not a plain decimal (1e5, nan, inf), kept as written so that a message can name it."""


def parse(raw: bytes, file: str) -> dict[str, Any]:
    """The tables of a file, with or without a byte order mark. InputError where it is not TOML in UTF-8."""
    try:
        return tomllib.loads(raw.decode("utf-8-sig"), parse_float=_exact)
    except tomllib.TOMLDecodeError as error:
        raise refusal(file, f"The file is not valid TOML: {error}.", "Correct the line named.") from None
    except UnicodeDecodeError as error:
        raise refusal(file, f"The file is not UTF-8 (byte {error.start}).", "Save it as UTF-8 text.") from None
    except (RecursionError, ValueError):
        what = "The file nests too deeply or holds a number of thousands of digits."
        raise refusal(file, what, "Check that it is the right file.") from None


def value(text: str) -> Any:
    """One value as a file writes it; a word without quotes is a text."""
    try:
        read = tomllib.loads(f"value = {text}", parse_float=_exact)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return text
    return read["value"] if read.keys() == {"value"} else text


def shown(value: Any) -> str:
    """A value as the file writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return f"{value}" if isinstance(value, BadNumber | int) else f'"{value}"' if isinstance(value, str) else repr(value)


def _exact(text: str) -> Decimal | BadNumber:
    plain = text.replace("_", "")
    return Decimal(plain) if re.fullmatch(r"[+-]?[0-9]+\.[0-9]+", plain, re.ASCII) else BadNumber(text)
