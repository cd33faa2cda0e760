"""The table [chain]: where the protocol is deployed."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from perpcomp.incident.description import Key, Kind, Table, keys
from perpcomp.incident.kinds import AMOUNT, BLOCK_HASH, CONTRACT, CONTRACTS, COUNT, EXAMPLE_ADDRESS, EXAMPLE_HASH, choice
from perpcomp.incident.sources import SOURCE
from perpcomp.incident.toml import shown

OPEN_NOTIONAL, POSITION_NOTIONAL = "open-notional", "position-notional"


def _meaning(value: Any) -> int:
    if isinstance(value, bool) or value not in (1, 2):
        raise ValueError(f"is {shown(value)}.", "Write 1 (before partial liquidation) or 2 (from then on), without quotes.")
    return int(value)


class Code(Struct, frozen=True):
    """The code that ran from a block on, until the next one stated. `meaning` is the era of its liquidation events."""

    from_block: Annotated[int, Key(COUNT, "The first block at which this code is known to have run.", "15_594_000", unit="block")]
    meaning: Annotated[
        int,
        Key(
            Kind("1 or 2", "1 or 2, without quotes", _meaning, shape={"enum": [1, 2]}),
            "What a liquidation's event means: 1 as before partial liquidation, 2 as from then on.",
            "1",
        ),
    ]
    denominator: Annotated[
        str,
        Key(
            choice(OPEN_NOTIONAL, POSITION_NOTIONAL),
            "What the contracts divide by for the margin ratio.",
            f'"{POSITION_NOTIONAL}"',
        ),
    ]
    source: Annotated[tuple[str, ...], SOURCE]


class Chain(Struct, frozen=True):
    """Where the protocol is deployed.

    contracts are those beside the markets whose logs count: one, or all that a protocol replaced one by the other. The protocol names the
    key in the file. liquidation_fee_ratio (/1) is used where no log states it. code, in order of
    blocks, is what ran.
    """

    id: Annotated[int, Key(COUNT, "The number of the chain, as its nodes state it.", "100")]
    contracts: Annotated[
        tuple[str, ...],
        Key(CONTRACT, "The contract beside the markets whose logs count.", EXAMPLE_ADDRESS),
    ]
    genesis: Annotated[
        str | None,
        Key(
            BLOCK_HASH,
            "The hash of the chain's first block; a node of another chain is refused.",
            EXAMPLE_HASH,
            default=None,
        ),
    ]
    first_block: Annotated[int | None, Key(COUNT, "The block from which logs are fetched.", "13_507_324", unit="block", default=None)]
    liquidation_fee_ratio: Annotated[
        Decimal | None,
        Key(AMOUNT, "The share of the notional that a liquidation costs, used where no log states it.", "0.0125", unit="/1", default=None),
    ]
    source: Annotated[tuple[str, ...], SOURCE]
    code: Annotated[
        tuple[Code, ...],
        Table(
            Code, "states the protocol's code that ran from a block on, where the logs do not show it", required=False, many=True, absent=()
        ),
    ] = ()

    @property
    def clearing_house(self) -> str:
        """The one contract of a protocol that never replaced it; the last one listed of another."""
        return self.contracts[-1]


def chain_keys(contract_key: str, several: bool) -> Mapping[str, Key | Table]:
    """The keys of [chain] where the protocol calls its contract `contract_key`, and may have had `several`."""
    described = dict(keys(Chain))
    contract = described["contracts"]
    assert isinstance(contract, Key)
    contract = replace(contract, name=contract_key)
    if several:
        meaning = "The contract beside the markets whose logs count, or all of them where one replaced another."
        contract = replace(contract, kind=CONTRACTS, meaning=meaning)
    return described | {"contracts": contract}
