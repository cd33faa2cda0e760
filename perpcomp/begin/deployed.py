"""Which protocol an input is of, and which contracts logged it: before an incident file names them."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from perpcomp.findings import Finding, InputError, refusal
from perpcomp.incident.shelf import shelf
from perpcomp.input import Input, pieces_of_any_contract
from perpcomp.systems.system import CONTRACTS, System, find


@dataclass(frozen=True)
class Deployed:
    """A protocol's contracts in an input: those of [chain], and the markets, the busiest first."""

    system: System
    contracts: tuple[str, ...]
    markets: tuple[str, ...]
    logs: int


def deployed(source: Input, systems: Sequence[str]) -> Deployed:
    """The contracts of that one of the protocols which has the most logs in the input. InputError where none has any."""
    found = [one for name in systems if (one := _of_system(source, find(name))) is not None]
    if not found:
        what = f"The input holds no trade of {' or '.join(systems)}."
        raise refusal(source.file.name, what, "Give the raw logs of the protocol's contracts (address, topics, data) as --input.")
    return max(found, key=lambda one: one.logs)


def _of_system(source: Input, system: System) -> Deployed | None:
    pieces = pieces_of_any_contract(source, system)
    if pieces is None:
        what = "Its events were decoded by another tool, so it does not say which contract logged them."
        advice = "Give raw logs (address, topics, data); or leave --input out and write the addresses into the file."
        raise refusal(source.file.name, what, advice)
    counted = pl.concat([pl.DataFrame(schema=CONTRACTS), *(system.contracts_in(piece()) for piece in pieces)])
    pairs = counted.group_by("contract", "market").agg(pl.col("logs").sum()).sort("logs", "contract", "market", descending=True)
    contracts = _names(pairs, "contract")
    if not system.several_contracts:  # the contract with the most logs, and the markets that it named
        contracts = contracts[:1]
        pairs = pairs.filter(pl.col("contract").is_in(contracts))
    markets = _names(pairs, "market")
    logs = sum(pairs.drop_nulls("market").get_column("logs").to_list())
    return Deployed(system, contracts, markets, logs) if markets else None


def _names(pairs: pl.DataFrame, column: str) -> tuple[str, ...]:
    """The addresses of a column, those with the most logs first."""
    counted = pairs.drop_nulls(column).group_by(column).agg(pl.col("logs").sum()).sort("logs", column, descending=[True, False])
    return tuple(counted.get_column(column))


def known_markets(chain_id: int) -> dict[str, str]:
    """Address -> name of every market that a built-in incident on that chain, or a file of parameters, names."""
    names: dict[str, str] = {}
    for path in sorted(shelf().glob("parameters/*.toml")):
        listed = tomllib.loads(path.read_text(encoding="utf-8")).get("market", [])
        names |= {market["proxy"].lower(): market["key"] for market in listed if "proxy" in market}
    for path in sorted(shelf().glob("*.toml")):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        if document["chain"]["id"] == chain_id:
            names |= {market["amm"].lower(): market["name"] for market in document["market"]}
    return names


def known_system(name: str) -> str:
    """The name of an installed protocol. InputError with the nearest one."""
    try:
        return find(name).key
    except InputError as error:
        raise InputError([Finding("error", "--system", one.what, one.what_to_do) for one in error.problems]) from None
