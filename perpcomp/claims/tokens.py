"""The tokens that are paid: address, decimals and where they come from; those known are pinned in queries/parameters/tokens.toml."""

from functools import cache
from typing import Annotated

from msgspec import Struct

from perpcomp.findings import Finding, InputError
from perpcomp.incident import kinds, toml
from perpcomp.incident.description import Key, Table
from perpcomp.incident.reader import Problem, TableReader
from perpcomp.incident.settlement import Leg
from perpcomp.incident.shelf import shelf
from perpcomp.incident.sources import SOURCE, SOURCES

FILE = "parameters/tokens.toml"


class Pinned(Struct, frozen=True):
    """A token on a chain as a source states it."""

    chain: Annotated[int, Key(kinds.COUNT, "The number of the chain.", "1")]
    address: Annotated[str, Key(kinds.TOKEN_ADDRESS, "The token's contract.", kinds.EXAMPLE_ADDRESS)]
    symbol: Annotated[str, Key(kinds.TEXT, "Its symbol.", '"PERP"')]
    decimals: Annotated[int, Key(kinds.DECIMALS, "How many decimals it has.", "18")]
    source: Annotated[tuple[str, ...], SOURCE]


class Token(Struct, frozen=True):
    """One token that is paid. `source` says in words where its decimals come from."""

    symbol: str
    address: str
    decimals: int
    source: str


@cache
def pinned() -> tuple[Pinned, ...]:
    """The pinned list. InputError where it is damaged."""
    document, problems = toml.parse((shelf() / FILE).read_bytes(), FILE), list[Problem]()
    keys = {"token": Table(Pinned, "names a token", many=True, name="token"), "sources": SOURCES}
    read = TableReader(document, keys, problems).values()
    if problems:
        raise InputError(problem.finding(FILE) for problem in problems)
    tokens: tuple[Pinned, ...] = read["token"]
    return tokens


def token(leg: Leg, chain: int, where: str) -> Token:
    """The token of a [[settlement]] on the chain that pays. InputError where its address is missing, or its decimals contradict the list."""
    if leg.address is None:
        what = f"[[settlement]] {leg.token} has no address, and every file of payments names the token's contract."
        raise InputError([Finding("error", where, what, f'Add address = "0x…", of {leg.token} on chain {chain}.')])
    known = [one for one in pinned() if one.address == leg.address]
    listed = next((one for one in known if one.chain == chain), None)
    if listed is None and known:
        what = f"{leg.address} is {known[0].symbol} on chain {known[0].chain}, and [claims] pays on chain {chain}."
        raise InputError([Finding("error", where, what, "Correct chain in [claims], or the address in [[settlement]].")])
    if listed is None:
        source = f"[[settlement]] of the incident file; {leg.address} on chain {chain} is not in the pinned list"
        return Token(leg.token, leg.address, leg.decimals, source)
    if listed.decimals != leg.decimals:
        what = f"[[settlement]] {leg.token} says {leg.decimals} decimals, and {listed.symbol} on chain {chain} has {listed.decimals}."
        advice = f"Set decimals = {listed.decimals}: every amount would be wrong by a factor of 1e{abs(listed.decimals - leg.decimals)}."
        raise InputError([Finding("error", where, what, advice)])
    return Token(leg.token, leg.address, leg.decimals, f"pinned list ({', '.join(listed.source)}), as the incident file")
