"""The tables [payees] and [[payee]]: who is paid for a trader, and what is known about the accounts that are paid."""

from fractions import Fraction
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key, given
from perpcomp.incident.kinds import ADDRESS, EXAMPLE_ADDRESS, EXAMPLE_SHA256, PATH, SHA256, SHARE, TEXT
from perpcomp.incident.sources import SOURCE


class Payee(Struct, frozen=True):
    """One account that is paid for a trader. `share` is the part of the trader's entitlement that it is paid."""

    account: Annotated[str, Key(ADDRESS, "The account that traded.", EXAMPLE_ADDRESS)]
    to: Annotated[str, Key(ADDRESS, "The account that is paid for it.", EXAMPLE_ADDRESS)]
    share: Annotated[
        Fraction,
        Key(
            SHARE,
            "The share of the account's entitlement that is paid to this payee; the shares of one account add up to 1.",
            '"1/3"',
            unit="/1",
            default=Fraction(1),
        ),
    ]
    reason: Annotated[str, Key(TEXT, "Why this payee is paid.", '"its owner"')]
    evidence: Annotated[str, Key(TEXT, "What shows the reason.", '"owner() of the account at block 100"', default="")]
    source: Annotated[tuple[str, ...], SOURCE]


def _hash_of(file: str) -> Key:
    return Key(SHA256, f"The sha256 of the file that {file} names.", EXAMPLE_SHA256, default=None, required_if=given(file))


class PayeeFiles(Struct, frozen=True):
    """The files about payees, beside the incident file, each with its sha256; None where the incident has none.

    `map` lists payees as [[payee]] does. `code` says what stands at an address on the chain that pays.
    """

    map: Annotated[
        str | None,
        Key(
            PATH, "A list of payees: .csv with account, to, share, reason, evidence, or .json of old to new.", '"payees.csv"', default=None
        ),
    ] = None
    map_sha256: Annotated[str | None, _hash_of("map")] = None
    code: Annotated[
        str | None,
        Key(PATH, "A .csv with address, and code or kind, of accounts on the chain that pays.", '"payee-code.csv"', default=None),
    ] = None
    code_sha256: Annotated[str | None, _hash_of("code")] = None
    source: Annotated[tuple[str, ...], SOURCE] = ()
