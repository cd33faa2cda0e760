"""All receipts of a block, from a node that has eth_getBlockReceipts or not."""

from typing import Any

from perpcomp.findings import NETWORK, refusal
from perpcomp.ingest.node.pool import Pool
from perpcomp.ingest.node.results import BadAnswer, Raw, read_object, read_strictly
from perpcomp.ingest.node.rpc import RpcError


async def receipts_of(pool: Pool, number: int) -> list[dict[str, Any]]:
    """All receipts of a block, in order; one by one where a node lacks eth_getBlockReceipts."""
    try:
        receipts = await pool.call("eth_getBlockReceipts", [hex(number)], read_strictly, needs=number)
    except RpcError:
        asked = await pool.call("eth_getBlockByNumber", [hex(number), False], read_transactions, needs=number)
        receipts = await pool.call_many("eth_getTransactionReceipt", asked, read_object) if asked else []
    if not isinstance(receipts, list) or not all(isinstance(receipt, dict) for receipt in receipts):
        raise refusal("the network", f"The receipts of block {number} are not a list.", "Use another node with --rpc.", NETWORK)
    return receipts


def read_transactions(raw: Raw) -> list[list[str]]:
    """The hashes of a block's transactions, each in a list of its own: the parameters of a request for its receipt."""
    listed = read_object(raw).get("transactions")
    if not isinstance(listed, list) or not all(isinstance(transaction, str) for transaction in listed):
        raise BadAnswer("the answer is not a block with its transactions")
    return [[transaction] for transaction in listed]
