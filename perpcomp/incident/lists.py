"""Lists beside an incident file: exclusions, payees and the code of accounts, each with the sha256 that the file states.

A row is read by the description of the table that it extends, so that a list and the incident file accept the same values.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from perpcomp.findings import InputError, near_miss
from perpcomp.incident.description import Key, Kind, Raw, Table, keys
from perpcomp.incident.eligibility import Exclusion
from perpcomp.incident.kinds import ADDRESS, EXAMPLE_ADDRESS, choice
from perpcomp.incident.payees import Payee
from perpcomp.incident.reader import Problem, TableReader

T = TypeVar("T")
MOST = 20  # so many rows of one list are named at once

# What stands at an address on the chain that pays.
NO_CODE, DELEGATED, SAFE, CONTRACT = ACCOUNT_KINDS = ("externally-owned", "delegated-eoa", "safe", "contract")
_BYTES = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_DELEGATION = re.compile(r"0xef0100[0-9a-f]{40}", re.ASCII)  # EIP-7702: the account runs the code of another address
# masterCopy(), which the proxy of a Safe answers by itself; it forwards every other call. Source: safe-global/safe-smart-account, SafeProxy.sol
_MASTER_COPY, _PROXY_BYTES = "a619486e", 400


def with_lists(read: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[Problem]]:
    """The tables that were read of an incident file, with what its lists hold, and the problems of the lists."""
    problems: list[Problem] = []
    eligibility, files = read["eligibility"], read["payee_files"]
    if eligibility.exclude_file is not None:
        data = _stated(folder, "[eligibility]", "exclude_file", eligibility.exclude_file, eligibility.exclude_sha256, problems)
        listed = _built(Exclusion, keys(Exclusion), eligibility.exclude_file, data, problems)
        read["eligibility"] = replace(eligibility, exclusions=(*eligibility.exclusions, *listed))
    if files.map is not None:
        data = _stated(folder, "[payees]", "map", files.map, files.map_sha256, problems)
        described = _payee_columns(Path(files.map).name)
        read["payees"] = (*read["payees"], *_built(Payee, described, files.map, data, problems, source=files.source))
    if files.code is not None:
        data = _stated(folder, "[payees]", "code", files.code, files.code_sha256, problems)
        read["account_kinds"] = _kinds(files.code, data, problems)
    return read, problems


def beside(folder: Path, name: str) -> Path:
    """The file of that name beside the incident file. A published run holds all inputs in one folder."""
    path = folder / name
    return path if path.exists() else folder / path.name


def read_account_kinds(path: Path) -> dict[str, str]:
    """Address -> what stands there (one of ACCOUNT_KINDS), of a list of account codes. InputError names each row that cannot be read."""
    problems: list[Problem] = []
    kinds = _kinds(path.name, path.read_bytes(), problems)
    if problems:
        raise InputError(problem.finding(path.name) for problem in problems)
    return kinds


def kind_of(code: str) -> str:
    """What stands at an address whose runtime code is this (lower-case hex)."""
    if code == "0x":
        return NO_CODE
    if _DELEGATION.fullmatch(code):
        return DELEGATED
    return SAFE if _MASTER_COPY in code and len(code) <= 2 + 2 * _PROXY_BYTES else CONTRACT


def _code(value: Any) -> str:
    if not isinstance(value, str) or not _BYTES.fullmatch(value.lower()):
        raise ValueError(
            f"is {str(value)[:60]!r}, not code.", "Write what eth_getCode answers: 0x for none, else 0x and whole bytes in hex."
        )
    return kind_of(value.lower())


def text_share(value: Any) -> Fraction:
    """A share above 0, of the text of a cell: 0.5, or 1/3."""
    parts = re.fullmatch(r"([0-9]{1,78})/(0*[1-9][0-9]{0,77})", value, re.ASCII)
    if not parts and not re.fullmatch(r"[01](\.[0-9]{1,78})?", value, re.ASCII):
        raise ValueError(f"is {value[:60]!r}, not a share.", "Write a share as 0.5 or as 1/3.")
    share = Fraction(int(parts[1]), int(parts[2])) if parts else Fraction(value)
    if not 0 < share <= 1:
        raise ValueError(f"is {value[:60]}.", "A share is above 0 and at most 1.")
    return share


def _payee_columns(file: str) -> dict[str, Key | Table]:
    """The columns of a list of payees: the keys of [[payee]] but its source, which [payees] states once."""
    described = {field: key for field, key in keys(Payee).items() if field != "source" and isinstance(key, Key)}
    described["share"] = replace(described["share"], kind=Kind("share", "a share as 0.5 or as 1/3", text_share))
    described["reason"] = replace(described["reason"], default=f"listed in {file}")
    return dict(described)


def _kinds(name: str, data: bytes | None, problems: list[Problem]) -> dict[str, str]:
    """Address -> kind. A row states the code at its address, or the kind."""
    columns = {
        "address": Key(ADDRESS, "An account.", EXAMPLE_ADDRESS, name="address"),
        "code": Key(Kind("code", "code in hex", _code), "Its runtime code.", '"0x"', default="", name="code"),
        "kind": Key(choice(*ACCOUNT_KINDS), "What stands there.", f'"{SAFE}"', default="", name="kind"),
    }
    kinds: dict[str, str] = {}
    for place, row in _rows(name, columns, data, problems):
        reader = TableReader({}, columns, problems, row, place)
        values = reader.values()
        if not reader.sound:
            continue
        address, kind, code = values["address"], values["kind"], values["code"]
        if not (kind or code):
            problems.append(
                Problem(place, 0, "", f"says nothing about {address}.", "Fill the column code or kind; write 0x where there is no code.")
            )
        elif kind and code and kind != code:
            problems.append(Problem(place, 0, "kind", f'is "{kind}", but the code is that of "{code}".', "Keep the one that is right."))
        elif kinds.setdefault(address, kind or code) != (kind or code):
            problems.append(Problem(place, 0, "", f"lists {address} again, with another kind.", "Keep the row that is right."))
    return kinds


def _stated(folder: Path, header: str, key: str, name: str, sha256: str | None, problems: list[Problem]) -> bytes | None:
    """The bytes of a list; None, with the problem noted, where there is no such file or it is not the one whose hash is stated."""
    path = beside(folder, name)
    if not path.is_file():
        problems.append(Problem(header, 0, key, f"names {name}, but there is no such file.", "Put it beside the incident file."))
    elif not path.resolve().is_relative_to(folder.resolve()):
        what = f"names {name}, which is a link that leaves the incident file's folder."
        problems.append(Problem(header, 0, key, what, "Put the file itself there."))
    elif (found := hashlib.sha256(data := path.read_bytes()).hexdigest()) != sha256:
        what = f"names {name}, whose sha256 is {found}, but {sha256} is stated: the file is not the one that was agreed."
        problems.append(Problem(header, 0, key, what, "Get the agreed file, or, if the new one is right, state its sha256."))
    else:
        return data
    return None


def _built(
    of: type[T], columns: Mapping[str, Key | Table], name: str, data: bytes | None, problems: list[Problem], **fixed: Any
) -> Iterator[T]:
    """Each row of a list as an entry of its table."""
    for place, row in _rows(name, columns, data, problems):
        reader = TableReader({}, columns, problems, row, place)
        if (entry := reader.build(of, {**reader.values(), **fixed})) is not None:
            yield entry


def _rows(name: str, columns: Mapping[str, Key | Table], data: bytes | None, problems: list[Problem]) -> Iterator[tuple[str, Raw]]:
    """(place, column -> text) of each row of a list; an empty cell is absent. Stops after MOST rows with problems."""
    if data is None:
        return
    before, file = len(problems), Path(name).name
    known = [key.name for key in columns.values()]
    try:
        text = data.decode("utf-8-sig")
        found = list(_pairs(file, text) if name.endswith(".json") else _cells(file, text))
    except (UnicodeDecodeError, csv.Error, ValueError, RecursionError) as error:
        problems.append(Problem(file, 0, "", f"cannot be read ({error}).", f"Save it as UTF-8 with the columns {', '.join(known)}."))
        return
    if not found:
        problems.append(Problem(file, 0, "", "has no rows.", "Check that it is the right file, or remove the key that names it."))
    unknown = sorted({column for _, row in found for column in row if column not in known})
    for column in unknown:
        problems.append(Problem(file, 0, f"column {column!r}", "is unknown.", near_miss(column, known)))
    for place, row in found if not unknown else []:
        if len(problems) - before >= MOST:
            problems.append(Problem(file, 0, "", f"has more problems than these {MOST}.", "Correct these first."))
            return
        yield place, {column: cell.strip() for column, cell in row.items() if cell.strip()}


def _cells(file: str, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [name.strip().lower() for name in next(reader, [])]
    if len(set(header)) != len(header):
        raise ValueError("two columns have one name")
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise ValueError(f"line {reader.line_num} has {len(cells)} cells, the header {len(header)}")
        yield f"{file} row {reader.line_num}", dict(zip(header, cells, strict=True))


def _pairs(file: str, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of {"account": "to"} or {"account": {"to": share}}. Pairs are kept as listed, so that no key is lost that is listed twice."""
    document = json.loads(text, object_pairs_hook=tuple, parse_float=str, parse_int=str)
    if not isinstance(document, tuple):
        raise ValueError("it is not a JSON object of old to new addresses")
    for number, (account, to) in enumerate(document, 1):
        for payee, share in to if isinstance(to, tuple) else [(to, "")]:
            if not isinstance(payee, str) or not isinstance(share, str):
                raise ValueError(f"the entry of {account} is neither an address nor an object of addresses and shares")
            yield f"{file} entry {number}", {"account": account, "to": payee, "share": share}
