"""A list of who is owed how much: what every format is made from, and the rules that all of them share."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from perpcomp import text_file
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.incident.kinds import address as read_address

NAMED = 20  # how many rows with a problem are named one by one
_ADDRESS = ("address", "account", "recipient", "receiver", "payee")
_WORD = 2**256  # Source: what a uint256 of the virtual machine holds is less


class Row(NamedTuple):
    """One amount (base units) of one account. `account` and `token` are lower-case addresses; the token is "" in a list of one token."""

    account: str
    token: str
    amount: int


def read_list(path: Path) -> list[Row]:
    """A .csv with the columns address, amount (whole base units) and perhaps token. InputError names every row that cannot be read."""
    try:
        frame = text_file.read_csv(path)
    except text_file.UNREADABLE as error:
        what = f"The list cannot be read ({text_file.reason(error)})."
        raise refusal(str(path), what, "Give a .csv with the columns address and amount.") from None
    named = {column.strip().lower(): column for column in frame.columns}
    account = next((named[name] for name in _ADDRESS if name in named), None)
    if account is None or "amount" not in named:
        what = f"Its columns are {', '.join(frame.columns)}, and it needs address and amount."
        raise refusal(str(path), what, "Write a first line: address,amount (and token, where it lists several).")
    columns = [frame.get_column(account), frame.get_column(named["amount"])]
    tokens = frame.get_column(named["token"]) if "token" in named else [""] * frame.height
    rows, problems = list[Row](), list[Finding]()
    for number, (who, amount, token) in enumerate(zip(*columns, tokens, strict=True), 2):
        try:
            rows.append(Row(_address(who), _address(token) if token != "" else "", base_units(amount)))
        except ValueError as error:
            problems.append(Finding("error", f"{path} row {number}", f"It {error.args[0]}", error.args[1]))
    if problems:
        raise InputError(_first(problems, str(path)))
    return rows


def _address(value: object) -> str:
    return read_address(value.strip() if isinstance(value, str) else value)


def base_units(value: object) -> int:
    """A whole number of base units from a file: digits, hex digits after 0x, or an integer. ValueError(what is wrong, what to do)."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    advice = "Write it in whole base units: 1.5 of a token with 18 decimals is 1500000000000000000."
    try:
        if not text.isascii() or "_" in text:
            raise ValueError
        number = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        raise ValueError(f"has the amount {value!r}, which is no whole number of base units.", advice) from None
    if number < 0:
        raise ValueError(f"has the amount {value}, below 0.", "Remove the row, or correct its amount.")
    if number >= _WORD:
        raise ValueError("has an amount that no uint256 holds.", "Correct the amount.")
    return number


def check(rows: Sequence[Row], where: str, below: int = _WORD, fewest: int = 1, tokens: bool = False) -> None:
    """InputError that names every row a claim contract would not pay as listed; rows are counted as in a .csv, whose header is row 1.

    An account may be listed once (with `tokens`, once a token), with an amount above 0 and less than `below`.
    """
    problems = list[Finding]()
    if len(rows) < fewest:
        what = f"The list has {len(rows)} rows, and this format needs {fewest} or more."
        problems.append(
            Finding("error", where, what, "Pay so few accounts by single transfers." if rows else "Add a row for each account.")
        )
    if tokens and rows and not any(row.token for row in rows):
        what = "The list names no token, and a leaf of this format does."
        raise InputError([*problems, Finding("error", where, what, "Add a column token with the token's address.")])
    seen: dict[tuple[str, str], int] = {}
    for number, (account, token, amount) in enumerate(rows, 2):
        what = advice = ""
        if amount == 0:
            what, advice = f"{account} is listed with 0.", "Remove the row: there is nothing to claim."
        elif amount >= below:
            bits = below.bit_length() - 1
            what, advice = f"{account} is listed with {amount}, which no uint{bits} holds.", "Correct the amount, or split it."
        elif int(account, 16) == 0:
            what, advice = "It pays the zero address, whose tokens nobody can move.", "Name the payee, or remove the row."
        elif account == token:
            what, advice = f"It pays {account}, which is the token's own contract: nobody could move it.", "Name the payee."
        elif tokens and not token:
            what, advice = "It names no token, and a leaf of this format does.", "Add a column token with the token's address."
        elif (first := seen.setdefault((account, token), number)) != number:
            what = f"{account} is listed before, in row {first}; a contract pays one of the two and never the other."
            advice = "Add both amounts up to one row."
        if what:
            problems.append(Finding("error", f"{where} row {number}", what, advice))
    if not tokens and len(named := {row.token for row in rows}) > 1:
        what = f"The list names {len(named)} tokens, and a tree of this format pays one."
        problems.append(Finding("error", where, what, "Make one list a token, or use --dialect cumulative or multi-token."))
    if problems:
        raise InputError(_first(problems, where))


def _first(problems: list[Finding], where: str) -> list[Finding]:
    """All problems, or the first ones and how many more there are."""
    more = len(problems) - NAMED
    return problems if more <= 0 else [*problems[:NAMED], Finding("error", where, f"{more:,} more rows have a problem.", "")]


def totals(rows: Iterable[Row]) -> dict[str, int]:
    """Token -> sum of its amounts (base units)."""
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.token] = sums.get(row.token, 0) + row.amount
    return sums
