"""The table [chain]: where the protocol is deployed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated

from perpcomp.incident.description import Key, Table, keys
from perpcomp.incident.kinds import AMOUNT, BLOCK_HASH, CONTRACT, CONTRACTS, COUNT, EXAMPLE_ADDRESS, EXAMPLE_HASH
from perpcomp.incident.sources import SOURCE


@dataclass(frozen=True)
class Chain:
    """Where the protocol is deployed.

    contracts are those beside the markets whose logs count: one, or all that a protocol replaced one by the other. The protocol names the
    key in the file. liquidation_fee_ratio (/1) is used where no log states it.
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
