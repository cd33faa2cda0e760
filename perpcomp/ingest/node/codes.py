"""The code at addresses, asked of a node of the chain that pays, as a list that a run reads and publishes."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from perpcomp.findings import NETWORK, InputError, refusal
from perpcomp.ingest.node.pool import Pool
from perpcomp.ingest.node.results import BadAnswer, Raw, read_strictly, to_int
from perpcomp.ingest.node.rpc import Endpoint, RpcError
from perpcomp.writing import write_whole

BATCH = 100  # requests in one batch
_CODE = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)


def fetch_codes(addresses: Iterable[str], url: str, folder: Path) -> Path:
    """The list of the code at each address as of the node's newest block, written into the folder; its name states chain and block.

    InputError (exit 3) where the node does not give it.
    """
    return asyncio.run(_fetch(sorted(set(addresses)), url, folder))


async def _fetch(addresses: list[str], url: str, folder: Path) -> Path:
    pool = Pool([Endpoint(url)], attempts=4)
    try:
        chain, block = [await pool.call(method, [], _number) for method in ("eth_chainId", "eth_blockNumber")]
        codes: list[str] = []
        for start in range(0, len(addresses), BATCH):
            asked = [[address, hex(block)] for address in addresses[start : start + BATCH]]
            codes += await pool.call_many("eth_getCode", asked, read_code)
    except RpcError as refused:
        what = f"{pool.endpoints[0].name} does not return the code of accounts: {refused.message}."
        raise refusal(
            "--payee-rpc", what, "Use another node of the chain that pays, or state the codes in [payees] code.", NETWORK
        ) from None
    except InputError as error:
        advice = "Use another node of the chain that pays, or leave --payee-rpc out: no amount depends on it."
        raise InputError([replace(problem, where="--payee-rpc", what_to_do=advice) for problem in error.problems], NETWORK) from None
    finally:
        await pool.close()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"payee-code-chain-{chain}-block-{block}.csv"
    rows = [f"{address},{code}" for address, code in zip(addresses, codes, strict=True)]
    write_whole(file, "\n".join(["address,code", *rows, ""]).encode())
    return file


def _number(raw: Raw) -> int:
    return to_int(read_strictly(raw))


def read_code(raw: Raw) -> str:
    """The code of an account, 0x where it has none."""
    code = read_strictly(raw)
    if not isinstance(code, str) or not _CODE.fullmatch(code.lower()):
        raise BadAnswer("the answer is not the code of an account")
    return code.lower()
