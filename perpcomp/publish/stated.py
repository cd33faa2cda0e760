"""What the manifest of a published run states, read strictly: of this version (perpcomp-run-v2), or of the first (perpcomp-run-v1)."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
import rfc8785

from perpcomp.findings import INVALID_MANIFEST, InputError, refusal
from perpcomp.publish.files import INPUT_NAME

MANIFEST = "manifest.json"
FORMAT, FORMAT_BEFORE = "perpcomp-run-v2", "perpcomp-run-v1"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:perpcomp:run:v2"
MOST_CHARACTERS = 64_000_000
DEEPEST = 20  # levels of nesting that a manifest may have
NAME = re.compile(f"{INPUT_NAME}(/{INPUT_NAME}){{0,4}}", re.ASCII)

Stated = dict[str, Any]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Number = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,77}\Z")]  # a uint256
BlockNumber = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,19}\Z")]  # a uint64
BlockHash = Annotated[str, msgspec.Meta(pattern=r"^(0x[0-9a-f]{64})?\Z")]


class _Hashed(msgspec.Struct):
    """A file with its hash."""

    sha256: str


class _Input(_Hashed):
    file: str


class _Formula(msgspec.Struct):
    name: str
    source: str
    code_sha256: str


class _Run(msgspec.Struct):
    """What verify and the next run read of a run. msgspec copies the defaults; version 0.1.0 did not state what has one."""

    tool: dict[str, str]
    versions: dict[str, str]
    query: _Input
    inputs: dict[str, list[_Input]]
    formula: _Formula
    compared: list[_Formula]
    tables: dict[str, dict[str, str]]
    totals: dict[str, Any]
    files: dict[str, _Hashed]
    overrides: dict[str, str] = {}


class _Digest(msgspec.Struct, forbid_unknown_fields=True):
    sha256: Sha256


class _Subject(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    digest: _Digest


class _Block(msgspec.Struct, forbid_unknown_fields=True):
    number: BlockNumber
    hash: BlockHash


class _Leg(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    decimals: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,2}\Z")]
    total_base_units: Number
    claims_sha256: Sha256


class _Proof(msgspec.Struct, forbid_unknown_fields=True):
    first: BlockNumber
    last: BlockNumber
    anchor: BlockHash


class _Signed(msgspec.Struct):
    """What a statement states of a run that the first version did not; people sign it."""

    chain_id: Number
    block: _Block
    legs: list[_Leg]
    proof: _Proof | None


class _Statement(msgspec.Struct, forbid_unknown_fields=True, rename={"type": "_type"}):
    type: str
    subject: list[_Subject]
    predicateType: str  # noqa: N815 - the name is in-toto's
    predicate: dict[str, Any]


def read_manifest(folder: Path) -> Stated:
    """What the manifest in a folder states, as `parse_manifest` gives it. InputError where there is none or it is invalid."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        advice = "Give a folder that `perpcomp run` wrote, such as outputs/rehearsal."
        raise refusal(str(folder), f"The folder is not a published run: it has no {MANIFEST}.", advice) from None
    except OSError as error:
        raise _invalid(str(path), error.strerror or "it cannot be read") from None
    return parse_manifest(data, str(path))


def parse_manifest(data: bytes, where: str) -> Stated:
    """What a manifest states: format, tool, versions, query, inputs, formula, compared, tables, totals, and files as name -> {"sha256"}.

    One of this version also has chain_id, block, legs and proof. InputError (exit code 4) where it has another format, a key that is
    listed twice, a field that is missing or of another type, the name of a file outside the folder, or other bytes than RFC 8785 gives.
    """
    try:
        document = parse_strictly(data.decode())
        within = document.get("predicate", document) if isinstance(document, dict) else document
        found = within.get("format") if isinstance(within, dict) else type(within).__name__
        if found != (FORMAT_BEFORE if within is document else FORMAT):
            raise ValueError(f"its format is {found!r}, not {FORMAT}")
        stated = document if within is document else _of_statement(document, data)
        _refuse_odd_names(msgspec.convert(stated, _Run))
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise _invalid(where, str(error)) from None
    return stated


def parse_strictly(text: str) -> Any:
    """The JSON value of a manifest. ValueError for a key that is listed twice, NaN, or more characters or levels than any manifest has."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, and at most {MOST_CHARACTERS:,} are read")
    _refuse_deep_nesting(text)
    return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)


def _of_statement(document: dict[str, Any], data: bytes) -> Stated:
    """The predicate of an in-toto Statement, with its subjects as the run's files."""
    read = msgspec.convert(document, _Statement)
    if (read.type, read.predicateType) != (STATEMENT, PREDICATE):
        raise ValueError(f"its types are {read.type!r} and {read.predicateType!r}, not {STATEMENT} and {PREDICATE}")
    if rfc8785.dumps(document) != data:
        raise ValueError("its bytes are not those of RFC 8785")
    msgspec.convert(read.predicate, _Signed)
    files = {one.name: {"sha256": one.digest.sha256} for one in read.subject}
    if len(files) != len(read.subject):
        raise ValueError("it lists a file twice")
    return {**read.predicate, "files": files}


def _refuse_odd_names(run: _Run) -> None:
    for name in run.files:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid file name of a run")
    for name in (run.query.file, *(entry.file for entries in run.inputs.values() for entry in entries)):
        if not re.fullmatch(INPUT_NAME, name, re.ASCII):
            raise ValueError(f"{name!r} is not a valid input name of a run")


def _refuse_deep_nesting(text: str) -> None:
    """ValueError where brackets nest deeper than in any manifest: the JSON parser of CPython can overflow the stack on them."""
    depth = 0
    for bracket in re.findall(r"[\[{\]}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            raise ValueError(f"it nests deeper than {DEEPEST} levels")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is listed twice")
    return document


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"it contains {constant}")


def _invalid(where: str, why: str) -> InputError:
    return refusal(
        where, f"The manifest is invalid: {why}.", "It was not written by perpcomp, or it was changed afterwards.", INVALID_MANIFEST
    )
