"""The manifest of a bundle: an in-toto Statement over every file, with what the run's own manifest states, the block, and what each token pays.

Its bytes are those of RFC 8785, so the same statement has one sha256, which is what people sign. Amounts are texts: that standard refuses
integers above 2^53 - 1.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import rfc8785

from perpcomp.findings import INVALID_MANIFEST, refusal
from perpcomp.incident.settlement import Leg
from perpcomp.publish.manifest import MANIFEST, parse_strictly

FORMAT = "perpcomp-run-v2"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:perpcomp:run:v2"
RUN = "run/"  # where the folder of the run stands in a bundle, byte for byte
CLAIMS_FILE = "4-claims.csv"
IN_FILES = ("files", "format")  # members of the run's manifest that a statement says in another way


class _Digest(msgspec.Struct, forbid_unknown_fields=True):
    sha256: str


class _Subject(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    digest: _Digest


class Block(msgspec.Struct, forbid_unknown_fields=True):
    """The last block with a trade in the input; the hash is empty where the input states none."""

    number: str
    hash: str


class LegStated(msgspec.Struct, forbid_unknown_fields=True):
    """What one token pays, in base units, and the sha256 of its rows of 4-claims.csv, with the header line."""

    token: str
    decimals: str
    total_base_units: str
    claims_sha256: str


class _Predicate(msgspec.Struct):
    format: str
    chain_id: str
    block: Block
    legs: list[LegStated]
    proof: dict[str, str] | None


class Statement(msgspec.Struct, forbid_unknown_fields=True, rename={"type": "_type"}):
    """A manifest as it was read: its files by sha256, and what it states of the run."""

    type: str
    subject: list[_Subject]
    predicateType: str  # noqa: N815 - the name is in-toto's
    predicate: _Predicate

    @property
    def hashes(self) -> dict[str, str]:
        """File of the bundle -> sha256."""
        return {one.name: one.digest.sha256 for one in self.subject}


def statement(
    files: Mapping[str, bytes], stated: Mapping[str, Any], chain_id: int, block: Block, legs: Iterable[Leg], proof: Mapping[str, str] | None
) -> bytes:
    """The bytes of the manifest for the other files of a bundle. `stated` is the run's own manifest."""
    paid = [leg_stated(leg, files[RUN + CLAIMS_FILE]) for leg in legs]
    document: Any = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": hashlib.sha256(files[name]).hexdigest()}} for name in sorted(files)],
        "predicateType": PREDICATE,
        "predicate": {
            "format": FORMAT,
            "chain_id": str(chain_id),
            "block": msgspec.to_builtins(block),
            "legs": msgspec.to_builtins(paid),
            "proof": None if proof is None else dict(proof),
            **{key: value for key, value in stated.items() if key not in IN_FILES},
        },
    }
    return rfc8785.dumps(document)


def leg_stated(leg: Leg, claims: bytes) -> LegStated:
    """What a token pays by the claims table's canonical text."""
    header, *lines = claims.decode().splitlines(keepends=True)
    token, units = (next(csv.reader([header])).index(name) for name in ("token", "amount_base_units"))
    own, total = [header], 0
    for line in lines:
        (cells,) = csv.reader(io.StringIO(line))
        if cells[token] == leg.token:
            own.append(line)
            total += int(cells[units])
    return LegStated(leg.token, str(leg.decimals), str(total), hashlib.sha256("".join(own).encode()).hexdigest())


def read_statement(data: bytes, where: str) -> Statement:
    """The manifest of a bundle. InputError (exit 4) where it has another format or type, a key twice, or other bytes than RFC 8785 gives."""
    try:
        document = parse_strictly(data.decode())
        found = document.get("predicate", {}).get("format") if isinstance(document, dict) else type(document).__name__
        if found != FORMAT or document["_type"] != STATEMENT or document["predicateType"] != PREDICATE:
            raise ValueError(f"its format is {found!r}, not {FORMAT}")
        if rfc8785.dumps(document) != data:
            raise ValueError("its bytes are not those of RFC 8785")
        read = msgspec.convert(document, Statement)
        if len(read.hashes) != len(read.subject):
            raise ValueError("it lists a file twice")
    except (ValueError, KeyError, AttributeError, RecursionError, rfc8785.CanonicalizationError) as error:
        advice = "It was not written by perpcomp, or it was changed afterwards. Nothing was parsed but this manifest."
        raise refusal(f"{where} {MANIFEST}", f"The manifest is invalid: {error}.", advice, INVALID_MANIFEST) from None
    return read
