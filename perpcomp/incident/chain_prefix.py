"""Addresses as wallets copy them: with the prefix of their chain (EIP-3770 "gno:0x…", CAIP-10 "eip155:100:0x…"), 0X, or without 0x."""

import re

# EIP-3770 short name -> chain id, from https://github.com/ethereum-lists/chains; only chains on which such protocols or their payees are.
SHORT_NAMES = {
    "eth": 1,
    "gor": 5,
    "oeth": 10,
    "bnb": 56,
    "gno": 100,
    "xdai": 100,
    "matic": 137,
    "pol": 137,
    "sonic": 146,
    "ftm": 250,
    "zksync": 324,
    "metis": 1088,
    "mnt": 5000,
    "base": 8453,
    "arb1": 42161,
    "celo": 42220,
    "avax": 43114,
    "linea": 59144,
    "blast": 81457,
    "scr": 534352,
    "sep": 11155111,
}

BLANKS = " \t\N{NO-BREAK SPACE}"


def chain_number(text: str) -> int | None:
    """The number of a chain by its number, short name or CAIP-2 name ("100", "gno", "eip155:100"); None for any other text."""
    numbered = re.fullmatch(r"(?:eip155:)?([1-9][0-9]{0,14})", text.lower(), re.ASCII)
    return int(numbered[1]) if numbered else SHORT_NAMES.get(text.lower())


def plain(text: str) -> str:
    """The text without blanks around it and with a lower-case 0x before bare hex digits of an address or a hash."""
    text = text.strip(BLANKS)
    if re.fullmatch(r"0X[0-9a-fA-F]+", text, re.ASCII):
        return "0x" + text[2:]
    return "0x" + text if re.fullmatch(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", text, re.ASCII) else text


def without_prefix(text: str, chain_id: int | None) -> str:
    """The address or hash, without the prefix of that chain; of any chain where `chain_id` is None.

    ValueError(what is wrong, what to do) where the prefix is of another chain, or of none that is known.
    """
    prefix, colon, rest = text.strip(BLANKS).rpartition(":")
    if not colon:
        return plain(text)
    prefix = prefix.strip(BLANKS).lower()
    numbered = re.fullmatch(r"eip155:([0-9]{1,18})", prefix, re.ASCII)
    stated = int(numbered[1]) if numbered else SHORT_NAMES.get(prefix)
    if stated is None:
        known = ", ".join(sorted(SHORT_NAMES))
        raise ValueError(
            f'is "{text}", whose prefix "{prefix}:" is not a chain that is known.',
            f"Write the address without it if it is of the incident's chain. Known: eip155:NUMBER, {known}.",
        )
    if chain_id is not None and stated != chain_id:
        raise ValueError(
            f'is "{text}", an address on chain {stated}, but the incident is on chain {chain_id}.',
            f"Write the account's address on chain {chain_id}: the same digits on another chain may belong to somebody else.",
        )
    return plain(rest)
