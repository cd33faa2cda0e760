"""A node's logs as scripts save them: rows of eth_getLogs with hex quantities, or with numbers as ethers, viem and web3.py write them."""

from perpcomp.ingest.exports.ethereum_etl import spread
from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.sheet import LOG_KEY, Sheet


def _has_logs(sheet: Sheet, _: Wanted) -> bool:
    return sheet.has("data", "topics") and sheet.theirs.get("transaction_hash") == "transactionHash"


LOGS = Exporter("raw logs of eth_getLogs", "raw logs", ("address", "topics", "data", *LOG_KEY), _has_logs, log_sheet=spread)
