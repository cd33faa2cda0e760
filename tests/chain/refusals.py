"""How providers refuse eth_getLogs, in their own words, and the limit behind the words.

The wordings are those met in the wild, with this chain's small numbers in place of theirs. A limit is enforced truly: the request that
follows the words succeeds, and the one that does not is refused again.
"""

from dataclasses import dataclass
from typing import Any, Literal

Rule = Literal["width", "results", "rate", "head", "history", "fatal"]


@dataclass(frozen=True)
class Refusal:
    """One wording. `{limit}` is the limit, `{width}` the refused request's own width, `{first}` and `{last}` a range that will do."""

    rule: Rule
    code: int
    message: str
    status: int = 200  # of HTTP; from 400 on the body is the bare message

    @property
    def always(self) -> bool:
        """Whether it is a limit, in force at every request, and no event that happens at some."""
        return self.rule in ("width", "results")


REFUSALS = {
    "alchemy-size": Refusal(
        "results",
        -32602,
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you "
        "can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size limit, this "
        "block range should work: [{first:#x}, {last:#x}]",
    ),
    "alchemy-range": Refusal(
        "width",
        -32600,
        "You can make eth_getLogs requests with up to a {limit} block range. Based on your parameters, this block range should work: "
        "[{first:#x}, {last:#x}]",
    ),
    "infura-results": Refusal("results", -32005, "query returned more than {limit} results"),
    "infura-results-hint": Refusal(
        "results", -32005, "query returned more than {limit} results. Try with this block range [0x{first:X}, 0x{last:X}]."
    ),
    "infura-timeout": Refusal("results", -32005, "query timeout exceeded"),
    "infura-daily": Refusal("rate", -32005, "daily request count exceeded, request rate limited"),
    "quicknode-range": Refusal("width", -32614, "eth_getLogs is limited to a {limit:,} range"),
    "ankr-range": Refusal("width", -32600, "block range is too wide"),
    "publicnode-range": Refusal("width", -32701, "exceed maximum block range: {limit}"),
    "drpc-range": Refusal("width", 35, "ranges over {limit} blocks are not supported on freetier"),
    "1rpc-range": Refusal("width", -32000, "eth_getLogs is limited to a {limit} blocks range"),
    "1rpc-size": Refusal("results", -32000, "response size should not greater than 10000000 bytes"),
    "reth-range": Refusal("width", -32602, "query exceeds max block range {limit}"),
    "reth-own-width": Refusal("width", -32602, "query exceeds max block range {width}"),  # names the request's width: halve
    "bsc-limit": Refusal("width", -32005, "limit exceeded"),
    "bsc-range": Refusal("width", -32000, "exceed maximum block range: {limit}"),
    "proxy-413": Refusal("width", 0, "413 Request Entity Too Large", 413),
    "proxy-502": Refusal("width", 0, "502 Bad Gateway", 502),
    "proxy-504": Refusal("width", 0, "504 Gateway Time-out", 504),
    "nethermind-head": Refusal("head", -32001, "{last} could not be found"),
    "nethermind-busy": Refusal("rate", -32005, "Unable to rent an instance of IEthRpcModule. Too many concurrent requests."),
    "geth-history": Refusal("history", -32000, "header not found"),
    "alchemy-rate": Refusal("rate", 429, "Your app has exceeded its compute units per second capacity"),
    "any-429": Refusal("rate", 429, "Too Many Requests", 429),
    "any-fatal": Refusal("fatal", -32000, "execution reverted"),
}


def breaks(refusal: Refusal, limit: int, call: dict[str, Any], result: Any) -> bool:
    """Whether the request goes against the limit. What is no limit refuses any request that it is due at."""
    if refusal.rule == "results":
        return isinstance(result, list) and len(result) > limit
    if refusal.rule == "width":
        first, last = asked_range(call, result)
        return last - first + 1 > limit
    return True


def words(refusal: Refusal, limit: int, call: dict[str, Any], result: Any) -> str:
    """The message to this request."""
    first, last = asked_range(call, result)
    width = last - first + 1
    if refusal.rule == "width":
        last = first + limit - 1
    elif refusal.rule == "results":
        # The widest range from the first block on that stays within the limit; one block at least, even where that is still too much.
        last = max(first, int(result[limit]["blockNumber"], 16) - 1)
    return refusal.message.format(limit=limit, width=width, first=first, last=last)


def asked_range(call: dict[str, Any], result: Any) -> tuple[int, int]:
    """First and last block of an eth_getLogs request; tags stand for where the answer's logs are. (0, 0) where it names none."""
    params = call.get("params") or [{}]
    asked = params[0] if isinstance(params[0], dict) else {}
    if "blockHash" in asked:
        return 0, 0
    seen = [int(row["blockNumber"], 16) for row in result] if isinstance(result, list) and result else [0]
    first, last = (asked.get(name, "latest") for name in ("fromBlock", "toBlock"))
    return _number(first, min(seen)), _number(last, max(seen))


def _number(text: str, otherwise: int) -> int:
    return int(text, 16) if text.startswith("0x") else otherwise
