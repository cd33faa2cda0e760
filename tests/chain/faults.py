"""What a node can get wrong, as changes of a true answer. Every choice is drawn from the fault's seed.

A fault counts the requests that it fits: those of its methods whose true answer gives it something to spoil. It spoils some of the
first of them, drawn by the seed, or with `permanent` all of them. Faults of single logs choose one log at the first of these and stay
with it: a node that lacks a log lacks the same one at every request.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.chain.fork import Fork
from tests.chain.refusals import REFUSALS, breaks, words

LOGS = ("eth_getLogs",)
RECEIPTS = ("eth_getBlockReceipts", "eth_getTransactionReceipt")
ANY: tuple[str, ...] = ()
HTML = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser.</body></html>"


@dataclass
class Answer:
    """What goes back for one call. `text` is its JSON; `body` stands for the whole HTTP response instead, whatever else was in it."""

    call: dict[str, Any]
    json: dict[str, Any]
    text: str | None = None
    body: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0
    never: bool = False
    truncated: bool = False  # half of the bytes, as if complete
    cut: bool = False  # half of the bytes that the header announced, then the connection closes

    @property
    def result(self) -> Any:
        """The true result, or None."""
        return self.json.get("result")

    def fail(self, code: int, message: str) -> None:
        """Put an error in the result's place."""
        self.json.pop("result", None)
        self.json["error"] = {"code": code, "message": message}


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. See KINDS for the kinds, refusals.py for the wordings of the kind `refuse`.

    It happens `times` times (None: 1 to 3, drawn) among the first `within` requests that it fits, or always where `permanent`. A reorg
    that is permanent is a node that lives on the other end, consistently; one that flickers for long has many `times`.
    `methods` replaces the kind's own. `where` says which logs a fault of single logs may choose.
    """

    kind: str
    seed: int = 0
    times: int | None = None
    within: int = 4
    permanent: bool = False
    methods: tuple[str, ...] = ()
    where: Callable[[dict[str, Any]], bool] = lambda log: True
    delay: float = 0.3  # seconds that a late answer takes
    retry_after: int = 1  # whole seconds, as the header has it
    wording: str = ""  # of a refusal
    limit: int = 20  # of a refusal: blocks or logs; of a silent cap: logs
    at: int | None = None  # the first block that a reorg replaces; None: drawn

    def __post_init__(self) -> None:
        assert self.kind in KINDS, f"{self.kind}: known are {', '.join(KINDS)}"
        assert self.kind != "refuse" or self.wording in REFUSALS, f"{self.wording}: known are {', '.join(REFUSALS)}"


class Active:
    """A fault at work: how often it happened, and what it chose."""

    def __init__(self, fault: Fault, chain: Callable[[], Any]) -> None:
        self.fault, self.kind = fault, KINDS[fault.kind]
        self.random = Random(f"{fault.kind} {fault.seed}")
        times = fault.times if fault.times is not None else self.random.randint(1, 3)
        self.due = frozenset(self.random.sample(range(max(fault.within, times)), times))
        self.fitting = 0  # requests that it fitted
        self.hits = 0  # answers that it spoiled
        self.victim: tuple[str, str] | None = None
        self.damage: tuple[float, int] | None = None
        self.not_before = 0.0
        self.fork = Fork(chain(), self.random, fault.at) if fault.kind == "reorg" else None

    @property
    def pending(self) -> bool:
        """Whether it was to happen a number of times, and has not yet."""
        return not self._always and self.fitting <= max(self.due, default=-1)

    def spoil(self, answer: Answer) -> bool:
        """Spoil the answer where it is due; whether it did."""
        method = answer.call.get("method", "")
        methods = self.fault.methods or self.kind.methods
        if methods and method not in methods:
            return False
        if time.monotonic() < self.not_before:  # who comes back before Retry-After is turned away again, beside the plan
            self.kind.spoil(self, answer)
            self.hits += 1
            return True
        if "error" in answer.json or not self.kind.fits(self, answer):
            return False
        due = self._always or self.fitting in self.due
        self.fitting += 1
        if due:
            self.kind.spoil(self, answer)
            self.hits += 1
        return due

    @property
    def _always(self) -> bool:
        return self.fault.permanent or (self.fault.kind == "refuse" and REFUSALS[self.fault.wording].always)

    def ask(self, call: dict[str, Any]) -> dict[str, Any]:
        """The call as the node must be asked: a client in a fork names blocks that the node never had."""
        return self.fork.real(call) if self.fork else call


@dataclass(frozen=True)
class Kind:
    """What a fault needs, whose answers it spoils, and how."""

    methods: tuple[str, ...]
    spoil: Callable[[Active, Answer], None]
    fits: Callable[[Active, Answer], bool] = lambda active, answer: True


# Logs


def logs_in(result: Any) -> Iterator[list[dict[str, Any]]]:
    """The lists of logs in a result: of eth_getLogs, of one receipt, of a block's receipts."""
    if isinstance(result, dict) and isinstance(result.get("logs"), list):
        yield result["logs"]
    elif isinstance(result, list):
        if result and isinstance(result[0], dict) and "logIndex" in result[0]:
            yield result
        for row in result:
            if isinstance(row, dict) and "logs" in row:
                yield row["logs"]


def key(log: dict[str, Any]) -> tuple[str, str]:
    """What tells a log from every other."""
    return log["blockHash"], log["logIndex"]


def _candidates(active: Active, answer: Answer) -> list[dict[str, Any]]:
    found = [log for logs in logs_in(answer.result) for log in logs]
    if active.victim is not None:
        return [log for log in found if key(log) == active.victim]
    if active.fault.kind == "alter-data":
        found = [log for log in found if len(log["data"]) > 2]
    return [log for log in found if active.fault.where(log)]


def _holds_victim(active: Active, answer: Answer) -> bool:
    return bool(_candidates(active, answer))


def _find(active: Active, answer: Answer) -> tuple[list[dict[str, Any]], int]:
    """The list that holds the chosen log, and its place there."""
    if active.victim is None:
        active.victim = key(active.random.choice(_candidates(active, answer)))
    for logs in logs_in(answer.result):
        for place, log in enumerate(logs):
            if key(log) == active.victim:
                return logs, place
    raise AssertionError("a fault was due at an answer that it does not fit")


def _drop(active: Active, answer: Answer) -> None:
    logs, place = _find(active, answer)
    del logs[place]


def _alter(active: Active, answer: Answer) -> None:
    logs, place = _find(active, answer)
    active.damage = active.damage or (active.random.random(), active.random.randint(1, 255))
    where, change = active.damage
    data = bytearray.fromhex(logs[place]["data"][2:])
    data[int(where * len(data))] ^= change
    logs[place]["data"] = "0x" + data.hex()


def _duplicate(active: Active, answer: Answer) -> None:
    logs, place = _find(active, answer)
    logs.insert(place, copy.deepcopy(logs[place]))


def _remove(active: Active, answer: Answer) -> None:
    logs, place = _find(active, answer)
    logs[place]["removed"] = True


def _has_two(active: Active, answer: Answer) -> bool:
    return any(len(logs) > 1 for logs in logs_in(answer.result))


def _disorder(active: Active, answer: Answer) -> None:
    logs = active.random.choice([logs for logs in logs_in(answer.result) if len(logs) > 1])
    place = active.random.randrange(len(logs) - 1)
    logs[place], logs[place + 1] = logs[place + 1], logs[place]


def _above_limit(active: Active, answer: Answer) -> bool:
    return isinstance(answer.result, list) and len(answer.result) > active.fault.limit


def _cap(active: Active, answer: Answer) -> None:
    del answer.json["result"][active.fault.limit :]


def _not_empty(active: Active, answer: Answer) -> bool:
    return isinstance(answer.result, list) and bool(answer.result)


def _empty(active: Active, answer: Answer) -> None:
    answer.json["result"] = []


# Answers


def compact(value: Any) -> str:
    """JSON as nodes write it."""
    return json.dumps(value, separators=(",", ":"))


def _null(active: Active, answer: Answer) -> None:
    answer.json["result"] = None


def _other_type(active: Active, answer: Answer) -> None:
    """An object where a list belongs, a list in the place of anything else; in a batch, of one call or of all."""
    answer.json["result"] = {} if isinstance(answer.result, list) else []


def _other_type_of_field(active: Active, answer: Answer) -> None:
    field = active.random.choice(sorted(answer.result))
    answer.json["result"][field] = active.random.choice([None, [], {}, 5, True, "", "0x", "latest"])


def _is_object(active: Active, answer: Answer) -> bool:
    return isinstance(answer.result, dict)


def _other_chain(active: Active, answer: Answer) -> None:
    answer.json["result"] = "0x1" if answer.call["method"] == "eth_chainId" else "1"


def _other_id(active: Active, answer: Answer) -> None:
    answer.json["id"] = answer.json["id"] + 1 if isinstance(answer.json["id"], int) else "another"


def _double_result(active: Active, answer: Answer) -> None:
    """Two results in one object: a parser that takes the last one reads the wrong one, without a word."""
    wrong = "[]" if isinstance(answer.result, list) else "null"
    answer.text = compact(answer.json)[:-1] + f',"result":{wrong}}}'


def _double_log_keys(active: Active, answer: Answer) -> None:
    """The same inside a log: its data stands twice, the second time all zeros."""
    logs, place = _find(active, answer)
    other = json.dumps("0x" + "0" * (len(logs[place]["data"]) - 2))
    row = compact(logs[place])
    answer.text = compact(answer.json).replace(row, f'{row[:-1]},"data":{other}}}', 1)


# Transport


def _status(status: int, text: str) -> Callable[[Active, Answer], None]:
    def spoil(active: Active, answer: Answer) -> None:
        answer.status, answer.body = status, text

    return spoil


def _retry_after(active: Active, answer: Answer) -> None:
    if time.monotonic() >= active.not_before:
        active.not_before = time.monotonic() + active.fault.retry_after
    left = max(1, math.ceil(active.not_before - time.monotonic())) if active.fault.retry_after else 0
    answer.status, answer.body, answer.headers = 429, "Too Many Requests", {"Retry-After": str(left)}


def _html(active: Active, answer: Answer) -> None:
    answer.body, answer.headers = HTML, {"Content-Type": "text/html; charset=utf-8"}


def _late(active: Active, answer: Answer) -> None:
    answer.delay = active.fault.delay


def _never(active: Active, answer: Answer) -> None:
    answer.never = True


def _truncated(active: Active, answer: Answer) -> None:
    answer.truncated = True


def _cut(active: Active, answer: Answer) -> None:
    answer.cut = True


# Refusals and reorgs


def _against(active: Active, answer: Answer) -> bool:
    return breaks(REFUSALS[active.fault.wording], active.fault.limit, answer.call, answer.result)


def _refuse(active: Active, answer: Answer) -> None:
    refusal = REFUSALS[active.fault.wording]
    message = words(refusal, active.fault.limit, answer.call, answer.result)
    if refusal.status >= 400:
        answer.status, answer.body = refusal.status, message
    else:
        answer.fail(refusal.code, message)


def _touches_fork(active: Active, answer: Answer) -> bool:
    assert active.fork
    return active.fork.touches(answer.result)


def _reorganise(active: Active, answer: Answer) -> None:
    assert active.fork
    answer.json["result"] = active.fork.instead(answer.result)


KINDS = {
    "drop-log": Kind(LOGS, _drop, _holds_victim),
    "alter-data": Kind(LOGS, _alter, _holds_victim),
    "duplicate-log": Kind(LOGS, _duplicate, _holds_victim),
    "removed-log": Kind(LOGS, _remove, _holds_victim),
    "out-of-order": Kind(LOGS, _disorder, _has_two),
    "silent-cap": Kind(LOGS, _cap, _above_limit),
    "empty-range": Kind(LOGS, _empty, _not_empty),
    "null-result": Kind(LOGS, _null),
    "null-receipts": Kind(RECEIPTS, _null),
    "other-type": Kind(ANY, _other_type),
    "other-type-of-field": Kind(ANY, _other_type_of_field, _is_object),
    "wrong-chain-id": Kind(("eth_chainId", "net_version"), _other_chain),
    "wrong-id": Kind(LOGS, _other_id),
    "doubled-keys": Kind(LOGS, _double_result),
    "doubled-log-keys": Kind(LOGS, _double_log_keys, _holds_victim),
    "http-429": Kind(ANY, _status(429, "Too Many Requests")),
    "http-429-retry-after": Kind(ANY, _retry_after),
    "http-500": Kind(ANY, _status(500, "Internal Server Error")),
    "http-502": Kind(ANY, _status(502, "<html><body><h1>502 Bad Gateway</h1></body></html>")),
    "http-401": Kind(ANY, _status(401, "Unauthorized")),
    "late": Kind(ANY, _late),
    "never": Kind(ANY, _never),
    "truncated-json": Kind(LOGS, _truncated),
    "cut-connection": Kind(LOGS, _cut),
    "html": Kind(ANY, _html),
    "refuse": Kind(LOGS, _refuse, _against),
    "reorg": Kind(ANY, _reorganise, _touches_fork),
}
