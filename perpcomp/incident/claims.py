"""The table [claims]: until when claims are accepted, and the files that payments are made from."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import asdict, fields

from perpcomp.incident.description import Condition, Key, Table, keys
from perpcomp.incident.kinds import COUNT, EXAMPLE_ADDRESS, TEXT, TOKEN_ADDRESS, choice, choices
from perpcomp.incident.reader import TableReader
from perpcomp.incident.sources import SOURCE
from perpcomp.incident.times import TIME

TREES = ("perp-redeem", "uniswap", "oz-standard", "sablier", "cumulative", "multi-token")
PAYMENTS = ("safe-csv", "safe-transactions", "multisend", "disperse", "sablier-streams", "hedgey")
# Whom the calls of a vote on chain pay: the accounts, the payer, or a claim contract; SINGLE has one for each date and token.
PAYEES, PAYER = "payees", "payer"
SINGLE = ("uniswap", "oz-standard")
FUNDED = ("cumulative", "multi-token", *SINGLE)

_NO_FILES = Condition("formats is absent", lambda table, _: "formats" not in table)
_ENDS = Condition("until is given", lambda table, _: "until" in table)
_WITH_FILES = Condition("formats is given", lambda table, _: "formats" in table)


class ClaimPeriod(Struct, frozen=True):
    """Claims are accepted before `until`, not at it; `then` says what happens to what nobody claimed."""

    until: Annotated[
        datetime,
        Key(
            TIME,
            "When claims end: the last claim is accepted one second before.",
            "2022-06-01T00:00:00Z",
            default=None,
            required_if=_NO_FILES,
        ),
    ]
    then: Annotated[
        str,
        Key(TEXT, "What happens then to what nobody claimed.", '"it returns to the treasury"', default=None, required_if=_ENDS),
    ]
    source: Annotated[tuple[str, ...], SOURCE]


def _contract(name: str, what: str) -> Key:
    return Key(TOKEN_ADDRESS, f"{what}, on the chain that pays.", EXAMPLE_ADDRESS, default=None, name=name)


class Contracts(Struct, frozen=True):
    """The deployed contracts that files of transactions call; None where none is stated: then the files say what to deploy."""

    perp_redeem: Annotated[str | None, _contract("perp-redeem", "Perp's or Balancer's reward contract")] = None
    uniswap: Annotated[str | None, _contract("uniswap", "Uniswap's MerkleDistributor of the first tranche")] = None
    oz_standard: Annotated[str | None, _contract("oz-standard", "The claim contract of the first tranche")] = None
    cumulative: Annotated[str | None, _contract("cumulative", "The universal rewards distributor")] = None
    multi_token: Annotated[str | None, _contract("multi-token", "The redemption contract")] = None
    disperse: Annotated[str | None, _contract("disperse", "The Disperse contract")] = None
    multisend: Annotated[str | None, _contract("multisend", "The MultiSendCallOnly contract of the Safe's version")] = None


class Governor(Struct, frozen=True):
    """The contract whose vote executes the payments, and whom its calls pay."""

    address: Annotated[str, Key(TOKEN_ADDRESS, "The Governor that executes the vote, on the chain that pays.", EXAMPLE_ADDRESS)]
    pays: Annotated[
        str,
        Key(
            choice(PAYEES, PAYER, *FUNDED),
            "Where the calls send the whole total: to the accounts, to the payer, or to the claim contract of that format.",
            '"payer"',
        ),
    ]


class ClaimFiles(Struct, frozen=True):
    """The files to write into claims/, in these formats, for tokens that are paid on `chain` by `payer`."""

    formats: Annotated[
        tuple[str, ...],
        Key(
            choices(*TREES, *PAYMENTS),
            "Which files of claims and payments a run writes, each into claims/NAME/.",
            '["cumulative", "safe-transactions"]',
            default=(),
        ),
    ]
    chain: Annotated[
        int,
        Key(COUNT, "The number of the chain on which the tokens are paid.", "1", default=None, required_if=_WITH_FILES),
    ]
    payer: Annotated[str | None, Key(TOKEN_ADDRESS, "The account that pays, such as a Safe.", EXAMPLE_ADDRESS, default=None)]
    first_week: Annotated[
        int, Key(COUNT, "The number of the first root, where a contract numbers them; later tranches follow.", "1", default=1)
    ]
    contracts: Annotated[
        Contracts,
        Table(Contracts, "names the deployed contracts that transactions call", required=False, absent=Contracts(), name="contracts"),
    ]
    source: Annotated[tuple[str, ...], SOURCE]
    governor: Annotated[
        Governor | None,
        Table(Governor, "asks for the calls of a vote that executes on chain (`governor.json`)", required=False, name="governor"),
    ] = None


class Claims(Struct, frozen=True):
    """[claims]: its two halves, each None where the file states nothing of it."""

    period: ClaimPeriod | None
    files: ClaimFiles | None


CLAIMS_KEYS = {**keys(ClaimPeriod), **keys(ClaimFiles)}


def read_claims(table: TableReader) -> Claims | None:
    """Both halves of the table; what belongs to files is refused where none is asked for."""
    values = table.values()
    if "formats" not in table.raw:
        for key in [one.name for one in fields(ClaimFiles) if one.name not in ("formats", "source") and one.name in table.raw]:
            table.problem(key, "is given, but no formats are.", 'Add formats = ["cumulative"], or remove it.')
    if (governor := values.get("governor")) is not None:
        _check_governor(table, values, governor)
    doubled = [one for one in dict.fromkeys(values.get("formats", ())) if values["formats"].count(one) > 1]
    if doubled:
        table.problem("formats", f"lists {', '.join(doubled)} twice.", "Keep one.")
    if "then" in table.raw and "until" not in table.raw:
        table.problem("then", "is given without an end of claims.", "Add until, or remove it.")
    if not table.sound:
        return None
    period = {one.name: values[one.name] for one in fields(ClaimPeriod)}
    files = {one.name: values[one.name] for one in fields(ClaimFiles)}
    return Claims(ClaimPeriod(**period) if values["until"] else None, ClaimFiles(**files) if values["formats"] else None)


def _check_governor(table: TableReader, values: Mapping[str, Any], governor: Governor) -> None:
    """Problems where [claims] does not state what the calls of a vote pay."""
    pays = governor.pays
    if pays == PAYER and values.get("payer") is None:
        table.problem("payer", "is missing, and [claims.governor] pays it.", f"Add payer = {EXAMPLE_ADDRESS}, or correct pays.")
    if pays == PAYER and values.get("payer") == governor.address:
        table.problem("payer", "is the Governor of [claims.governor], which would pay itself.", 'Set pays = "payees", or a claim contract.')
    if pays in FUNDED and pays not in values.get("formats", ()):
        table.problem("formats", f"has no {pays}, and [claims.governor] funds its contract.", f'Add "{pays}" to formats, or correct pays.')
    if pays in FUNDED and "contracts" in values and asdict(values["contracts"])[pays.replace("-", "_")] is None:
        advice = f"Add [claims.contracts] with {pays} = {EXAMPLE_ADDRESS}, or correct pays."
        table.problem("contracts", f"names no {pays}, and [claims.governor] funds it.", advice)
