"""Check a run of perpcomp without perpcomp: python3 -I verify.py [BUNDLE|RUN]

One file, Python's standard library only (3.11 or newer), no network. It shares no code with perpcomp, so a fault of one is not a fault
of the other. BUNDLE is the zip, RUN the folder; by default the folder of this file.

It hashes every file, decodes the logs, and computes margins, four formulas, tokens, tranches and claim roots again. It does not decide
again who is eligible, and it does not check headers, receipts or seals. What it does not rebuild, it says.
Exit codes: 0 nothing differs; 1 something differs; 2 it cannot be read; 4 unsafe, nothing was parsed.
"""

import csv
import gzip
import hashlib
import io
import json
import re
import sys
import tomllib
import zipfile
from calendar import monthrange
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

WEI = 10**18
SAFE_NAME = re.compile(r"(?!.*\.\.)[\w-][\w./-]{0,240}", re.ASCII)
LARGEST = 2**31
Row = dict[str, str]


class Stop(Exception):
    """Nothing more can be checked: the words, and the exit code."""


# What was found.

LIMITS = (
    "Not checked here: headers, receipts and seals, so that no log is missing. "
    "Claim trees of perp-redeem, uniswap and oz-standard are rebuilt; this was tried with up to 1,179 payouts."
)
FOUND: dict[str, int] = {"PASS": 0, "FAIL": 0, "NOT REBUILT": 0}


def say(result: str, what: str, details: list[str] | None = None) -> None:
    """Print one check, with the first places that differ."""
    FOUND[result] += 1
    print(f"{result}: {what}")
    for line in (details or [])[:20]:
        print(f"    {line}")
    if details and len(details) > 20:
        print(f"    and {len(details) - 20} more")


def same(what: str, pairs: list[tuple[str, object, object]]) -> None:
    """Compare what is published with what was computed here: (place, published, computed)."""
    wrong = [f"{place}: published {published}, here {here}" for place, published, here in pairs if published != here]
    say("FAIL" if wrong else "PASS", f"{what}: {len(pairs)} compared, {len(wrong)} differ", wrong)


# Keccak-256, of which the constants are computed.


def _round_constants() -> list[int]:
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for bit in range(7):
            if register & 1:
                constant |= 1 << ((1 << bit) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return constants


def _lanes() -> list[tuple[int, int]]:
    """Where each lane goes, and how far it turns, in the order of the walk over the state."""
    x, y, walk = 1, 0, []
    for t in range(24):
        walk.append((x + 5 * y, (t + 1) * (t + 2) // 2 % 64))
        x, y = y, (2 * x + 3 * y) % 5
    return walk


CONSTANTS, WALK = _round_constants(), _lanes()
ALL_ONES = 2**64 - 1


def keccak(message: bytes) -> bytes:
    """The hash that Ethereum uses: Keccak with the padding from before SHA-3."""
    padded = bytearray(message) + b"\x01" + bytes(-(len(message) + 1) % 136)
    padded[-1] |= 0x80
    state = [0] * 25
    for start in range(0, len(padded), 136):
        for lane in range(17):
            state[lane] ^= int.from_bytes(padded[start + 8 * lane : start + 8 * lane + 8], "little")
        for constant in CONSTANTS:
            parity = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
            for x in range(5):
                turned = parity[(x + 1) % 5]
                mixed = parity[x - 1] ^ (turned << 1 | turned >> 63) & ALL_ONES
                for y in range(0, 25, 5):
                    state[x + y] ^= mixed
            held = state[1]
            for n, (_, turn) in enumerate(WALK):
                to = WALK[(n + 1) % 24][0]
                held, state[to] = state[to], (held << turn | held >> (64 - turn)) & ALL_ONES
            for y in range(0, 25, 5):
                row = state[y : y + 5]
                for x in range(5):
                    state[x + y] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5])
            state[0] ^= constant
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


def mixed_case(account: str) -> str:
    """An address as EIP-55 writes it."""
    digits = account[2:]
    nibbles = keccak(digits.encode()).hex()
    return "0x" + "".join(c.upper() if int(n, 16) > 7 else c for c, n in zip(digits, nibbles, strict=False))


# The files.


def load(place: Path) -> dict[str, bytes]:
    """Name -> bytes of a bundle; Stop where reading it would not be safe."""
    if place.is_dir():
        files = {}
        for path in sorted(place.rglob("*")):
            if path.is_symlink():
                raise Stop(f"{path} is a link.", 4)
            if path.is_file():
                files[path.relative_to(place).as_posix()] = path.read_bytes()
        return files
    try:
        with zipfile.ZipFile(place) as archive:
            entries = archive.infolist()
            names = [entry.orig_filename for entry in entries]
            if len({name.lower() for name in names}) < len(names):
                raise Stop("two entries have one name.", 4)
            for entry in entries:
                packed = entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size
                if packed or entry.file_size > LARGEST or not SAFE_NAME.fullmatch(entry.orig_filename) or entry.external_attr >> 28 != 8:
                    raise Stop(f"the entry {entry.orig_filename!r} is none of a bundle.", 4)
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise Stop(f"the archive is damaged ({error}).", 4) from None
    except OSError as error:
        raise Stop(f"{place} cannot be read ({error.strerror}).", 2) from None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are unique."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("an object names a key twice")
    return dict(pairs)


def manifest_of(files: dict[str, bytes]) -> dict[str, Any]:
    """The manifest, if every file has the hash that it states. Nothing else is parsed before."""
    try:
        found = json.loads(files["manifest.json"], object_pairs_hook=once)
        stated = {one["name"]: one["digest"]["sha256"] for one in found["subject"]}
        if found["predicate"]["format"] != "perpcomp-run-v2" or len(stated) < len(found["subject"]):
            raise ValueError("another format, or a file twice")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise Stop(f"manifest.json is invalid ({error}).", 4) from None
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "manifest.json"}
    names = sorted({**stated, **hashes})
    same("sha256 of each file", [(name, stated.get(name, "nothing"), hashes.get(name, "no such file")) for name in names])
    if FOUND["FAIL"]:
        raise Stop("a file is not the one that was published, so nothing was parsed.", 1)
    print(f"    sha256 of the manifest: {hashlib.sha256(files['manifest.json']).hexdigest()}")
    return found["predicate"]  # type: ignore[no-any-return]


# Logs to events.

EVENTS = {
    "PositionChanged(address,address,uint256,uint256,int256,uint256,int256,int256,int256,uint256,uint256,uint256,int256)": [
        "margin",
        "position_notional",
        "exchanged_position_size",
        "fee",
        "position_size_after",
        "realized_pnl",
        "unrealized_pnl_after",
        "bad_debt",
        "liquidation_penalty",
        "spot_price",
        "funding_payment",
    ],
    "PositionLiquidated(address,address,uint256,uint256,uint256,address,uint256)": (
        ["position_notional", "position_size", "liquidation_fee", "liquidator", "fee_shortfall"]
    ),
    "MarginChanged(address,address,int256,int256)": ["amount", "funding_payment"],
    "ReserveSnapshotted(uint256,uint256,uint256)": ["quote", "base", "time"],
}


def word(text: str, signed: bool) -> int:
    """One word of the ABI."""
    value = int(text, 16)
    return value - 2**256 if signed and value >> 255 else value


def decoded(data: bytes) -> list[dict[str, Any]]:
    """The events above in a file of JSON lines, in the order of the chain."""
    topics = {"0x" + keccak(one.encode()).hex(): one for one in EVENTS}
    found = []
    text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    for line in text.splitlines():
        log = json.loads(line)
        if not log.get("topics") or log["topics"][0] not in topics:
            continue
        signature = topics[log["topics"][0]]
        name, _, kinds = signature[:-1].partition("(")
        values = kinds.split(",")[len(log["topics"]) - 1 :]
        event: dict[str, Any] = {"name": name, "address": log["address"].lower(), "tx": log["transactionHash"]}
        event["at"] = (int(log["blockNumber"], 16), int(log["logIndex"], 16))
        event["trader"], event["market"] = ["0x" + topic[-40:] for topic in log["topics"][1:3]] or (None, event["address"])
        for n, (key, kind) in enumerate(zip(EVENTS[signature], values, strict=True)):
            cell = log["data"][2 + 64 * n : 66 + 64 * n]
            event[key] = "0x" + cell[24:] if kind == "address" else word(cell, kind.startswith("int"))
        found.append(event)
    return sorted(found, key=lambda event: event["at"])


# Tables.


def rows_of(files: dict[str, bytes], name: str) -> list[Row]:
    """A table of the run."""
    return list(csv.DictReader(io.StringIO(files[name].decode())))


def wei(cell: str) -> int | None:
    """An amount of a table, in 1e-18; None where the cell is empty."""
    return None if cell == "" else exact(Decimal(cell))


def exact(value: object) -> int:
    """A number of the incident file in 1e-18."""
    scaled = Fraction(str(value)) * WEI
    if scaled.denominator != 1:
        raise Stop(f"{value} has more than 18 decimals.", 2)
    return scaled.numerator


def cut(numerator: int, denominator: int) -> int:
    """A quotient without its fraction, towards zero."""
    whole = abs(numerator) // abs(denominator)
    return whole if (numerator < 0) == (denominator < 0) else -whole


# The checks.


def check_totals(files: dict[str, bytes], stated: dict[str, Any]) -> None:
    """The sums of the tables against the manifest and against each other."""
    payouts, claims = rows_of(files, "3-payouts.csv"), rows_of(files, "4-claims.csv")
    owed = {row["trader"]: wei(row["entitlement"]) or 0 for row in payouts}
    pairs: list[tuple[str, object, object]] = []
    pairs += [(name, total, str(sum(owed.values()))) for name, total in stated["totals"].items() if name.startswith("entitlement_")]
    lines = files["4-claims.csv"].decode().splitlines(keepends=True)
    for leg in stated["legs"]:
        of_token = [row for row in claims if row["token"] == leg["token"]]
        text = lines[0] + "".join(line for line, row in zip(lines[1:], claims, strict=True) if row["token"] == leg["token"])
        pairs.append((f"{leg['token']} in all", leg["total_base_units"], str(sum(int(row["amount_base_units"]) for row in of_token))))
        pairs.append((f"{leg['token']} claims hash", leg["claims_sha256"], hashlib.sha256(text.encode()).hexdigest()))
        paid = sum(wei(row["amount"]) or 0 for row in payouts if row["token"] == leg["token"])
        pairs.append((f"{leg['token']} amount", stated["totals"]["amount_1e18"][leg["token"]], str(paid)))
    tranches: dict[tuple[str, str], int] = defaultdict(int)
    for row in claims:
        tranches[row["trader"], row["token"]] += int(row["amount_base_units"])
    pairs += [(f"{row['trader']} tranches", int(row["amount_base_units"]), tranches[row["trader"], row["token"]]) for row in payouts]
    for name, table in stated["tables"].items():
        text_of = name.replace("1-events.parquet", "1-events.csv")
        if text_of in files:
            pairs.append((f"row hash of {name}", table["row_sha256"], hashlib.sha256(files[text_of]).hexdigest()))
    same("totals, sums and row hashes", pairs)


def check_events(files: dict[str, bytes], logs: list[dict[str, Any]]) -> None:
    """1-events.csv against the logs: every PositionChanged, cell by cell."""
    if "1-events.csv" not in files:
        say("NOT REBUILT", "1-events.csv: the run is too large for a text of its events")
        return
    names = EVENTS[next(iter(EVENTS))]
    here = {event["at"]: event for event in logs if event["name"] == "PositionChanged"}
    rows = {(int(row["block_number"]), int(row["log_index"])): row for row in rows_of(files, "1-events.csv")}
    pairs: list[tuple[str, object, object]] = [("logs", sorted(rows), sorted(here))] if rows.keys() != here.keys() else []
    for at in sorted(rows.keys() & here.keys()):
        row, event = rows[at], here[at]
        pairs += [(f"log {at} {name}", wei(row[name]), event[name]) for name in names]
        pairs += [(f"log {at} {name}", row[name], event[name]) for name in ("trader", "market")]
    same("events decoded from the logs", pairs)


def replay(logs: list[dict[str, Any]]) -> dict[tuple[int, int], dict[str, int]]:
    """The position just before each liquidation: size, margin, open notional."""
    margin: dict[tuple[str, str], int] = defaultdict(int)
    notional: dict[tuple[str, str], int] = defaultdict(int)
    found = {}
    for event in logs:
        who = (event["trader"], event["market"])
        if event["name"] == "MarginChanged":
            margin[who] += event["amount"] - event["funding_payment"]
        elif event["name"] == "PositionChanged":
            moved, after = event["exchanged_position_size"], event["position_size_after"]
            if after == moved:
                notional[who] = 0
            found[event["at"]] = {"size": after - moved, "margin": margin[who], "open_notional": abs(notional[who])}
            notional[who] += (event["position_notional"] if moved > 0 else -event["position_notional"]) + event["realized_pnl"]
            margin[who] = event["margin"]
    return found


def check_liquidations(rows: list[Row], logs: list[dict[str, Any]]) -> None:
    """Each liquidation against the logs before it; and that the logs hold no other."""
    before = replay(logs)
    of_log = {event["at"]: event for event in logs if event["name"] == "PositionChanged"}
    pairs: list[tuple[str, object, object]] = []
    count = sum(event["name"] == "PositionLiquidated" for event in logs)
    pairs.append(("liquidations in the logs", len(rows), count))
    for row in rows:
        at = (int(row["block_number"]), int(row["log_index"]))
        event = of_log.get(at)
        if event is None:
            pairs.append((f"log {at}", "a liquidation", "no such log"))
            continue
        said = {**before[at], **{name: event[name] for name in ("position_notional", "realized_pnl", "funding_payment", "bad_debt")}}
        pairs += [(f"log {at} {name}", wei(row[name]), value) for name, value in said.items() if row[name] != ""]
        pairs += [(f"log {at} {name}", row[name], event[name]) for name in ("trader", "market")]
    same("liquidations: size, margin, open notional, funding payment", pairs)


def valued(row: Row, prices: dict[str, int], by_event: bool) -> dict[str, int | None]:
    """What the formulas read of a liquidation: by default from its own columns, at the market's reference price."""
    if not by_event:
        names = ("margin_at_reference", "open_notional_at_reference", "funding_at_reference", "notional_at_reference", "size_at_reference")
        margin, opened, funding, notional, size = (wei(row[name]) for name in names)
    else:
        margin, opened, funding, size = (wei(row[name]) for name in ("margin", "open_notional", "funding_payment", "size"))
        price = prices.get(row["market"])
        notional = None if price is None or size is None else abs(size) * price // WEI
    known = notional is not None and opened is not None
    profit = ((notional or 0) - (opened or 0)) * (1 if row["side"] == "long" else -1) if known else None
    return {"margin": margin, "opened": opened, "funding": funding, "notional": notional, "size": size, "profit": profit}


def pays(name: str, row: dict[str, int | None], side: str) -> int | None:
    """What one of the owner's four formulas gives a liquidation, in 1e-18; None where a number is unknown."""
    margin, funding, profit = row["margin"], row["funding"], row["profit"]
    if margin is None:
        return None
    if name == "margin-only":
        return margin
    if name == "split-50-50":
        return margin // 2
    if funding is None:
        return None
    if name == "margin-upl-funding":
        return None if profit is None else max(0, margin + profit - funding)
    cost, opened, fee = row["restore_notional"], row["opened"], row["restore_fee"]
    if cost is None or opened is None or fee is None:
        return None
    deposit = margin - funding + (cost - opened if side == "long" else opened - cost)
    return deposit + fee if deposit > 0 else 0


FOUR = ("margin-only", "margin-upl-funding", "restore-position", "split-50-50")


def restored(incident: dict[str, Any], rows: list[tuple[Row, dict[str, int | None]]], logs: list[dict[str, Any]]) -> bool:
    """Open the positions again on the pools of [restore], and put cost and fee into the rows. False: not rebuilt, the table's are taken."""
    asked = incident.get("restore")
    if asked is None:
        for _, worth in rows:
            worth |= {"restore_notional": worth["notional"], "restore_fee": 0}
        return True
    block, order, spread = asked.get("at"), asked.get("order"), exact(asked.get("spread", 0))
    if not isinstance(block, int) or "pool" in asked or not logs or order not in ("as-liquidated", "each-alone"):
        for row, worth in rows:
            worth |= {name: wei(row[name]) for name in ("restore_notional", "restore_fee")}
        return False
    pools = {
        event["market"]: (event["quote"], event["base"])
        for event in logs
        if event["name"] == "ReserveSnapshotted" and event["at"][0] <= block
    }
    for row, worth in rows:
        size = worth["size"]
        worth |= {"restore_notional": None, "restore_fee": None}
        if size is None or row["market"] not in pools or pools[row["market"]][1] <= size:
            continue
        quote, base = pools[row["market"]]
        goal, rest = divmod(quote * base // WEI * WEI, base - size)
        moved = 0 if size == 0 else abs(goal - quote) + (0 if not rest else 1 if size > 0 else -1)
        worth |= {"restore_notional": moved, "restore_fee": moved * spread // WEI}
        if order != "each-alone":
            pools[row["market"]] = (quote + moved if size > 0 else quote - moved, base - size)
    return True


def check_formulas(
    files: dict[str, bytes], incident: dict[str, Any], rows: list[Row], logs: list[dict[str, Any]]
) -> dict[str, dict[str, int]]:
    """comparison.csv of the four formulas; returns formula -> trader -> what it gives (1e-18)."""
    prices = {one["amm"].lower(): exact(one["reference_price"]) for one in incident["market"] if "reference_price" in one}
    by_event = "valuation" not in incident
    if not by_event:
        say("NOT REBUILT", "[valuation]: values at its moment are taken from 2-liquidations.csv")
    say("NOT REBUILT", "who is eligible: taken from 2-liquidations.csv, whose rows say why")
    eligible = [(row, valued(row, prices, by_event)) for row in rows if row["eligible"] == "true"]
    if not restored(incident, eligible, logs):
        say("NOT REBUILT", "[restore]: the costs are taken from 2-liquidations.csv")
    given: dict[str, dict[str, int]] = {name: defaultdict(int) for name in FOUR}
    unknown = set()
    for row, worth in eligible:
        size, part = abs(wei(row["size"]) or 0), wei(row["compensated_size"])
        for name in FOUR:
            amount = pays(name, worth, row["side"])
            if amount is None or part is None:
                unknown.add((row["trader"], name))
            given[name][row["trader"]] += 0 if amount is None or part is None else amount if part == size else cut(amount * part, size)
    table = {(row["trader"], row["formula"]): wei(row["amount"]) for row in rows_of(files, "comparison.csv")}
    named = {formula for _, formula in table}
    pairs: list[tuple[str, object, object]] = [
        (f"{trader} {name}", table.get((trader, name)), amount)
        for name in FOUR
        if name in named
        for trader, amount in sorted(given[name].items())
        if (trader, name) not in unknown
    ]
    same(f"{', '.join(name for name in FOUR if name in named)} by trader", pairs)
    return given


REDIRECTS = ("payee", "payees", "received", "quote")


def check_settlement(files: dict[str, bytes], incident: dict[str, Any], formula: str, given: dict[str, dict[str, int]]) -> None:
    """3-payouts.csv: entitlement, its split into tokens, and the one rounding."""
    legs, pairs = incident["settlement"], list[tuple[str, object, object]]()
    payouts = rows_of(files, "3-payouts.csv")
    other = [name for name in REDIRECTS if name in incident] or ([] if formula in given else [f"the formula or rule {formula}"])
    if other:
        say("NOT REBUILT", f"entitlements of 3-payouts.csv: the run has {', '.join(other)}")
    elif not any(row["reason"].startswith("payment is stopped") for row in payouts):
        owed = {row["trader"]: wei(row["entitlement"]) for row in payouts}
        pairs += [(f"{trader} entitlement", owed.get(trader), amount) for trader, amount in sorted(given[formula].items())]
        pairs += [(f"{trader} entitlement", amount, "not eligible") for trader, amount in owed.items() if trader not in given[formula]]
    # What a rule gives is a fraction, of which the table shows 18 places: too few to round it again.
    if "quote" in incident or formula in [one["name"] for one in incident.get("rule", [])] or "rounding" in incident["allocation"]:
        say("NOT REBUILT", "settlement: the run has a rule, [quote], or a rounding of its own; the sums were checked")
        return
    shares = [Fraction(str(leg["share"])) for leg in legs]
    for row in payouts:
        whole, number = wei(row["entitlement"]) or 0, [leg["token"] for leg in legs].index(row["token"])
        floors = [whole * share.numerator // share.denominator for share in shares[:-1]]
        value = [*floors, whole - sum(floors)][number]
        price, unit = exact(legs[number]["price"]), 10 ** legs[number]["decimals"]
        barred = row["reason"].startswith("unpayable")
        units = 0 if barred else value * unit // price
        place = f"{row['trader']} {row['token']}"
        pairs.append((f"{place} value", wei(row["value"]), value))
        pairs.append((f"{place} base units", int(row["amount_base_units"]), units))
        pairs.append((f"{place} rounded off", wei(row["rounded_off"]), 0 if barred else value - units * price // unit))
    same("settlement: value, base units, rounded off", pairs)


def months_later(start: datetime, months: int) -> datetime:
    """The same day so many months later, or that month's last."""
    year, month = start.year + (start.month - 1 + months) // 12, (start.month - 1 + months) % 12 + 1
    return start.replace(year=year, month=month, day=min(start.day, monthrange(year, month)[1]))


def check_vesting(files: dict[str, bytes], incident: dict[str, Any]) -> None:
    """4-claims.csv: each tranche's date and base units."""
    asked = incident["vesting"]
    odd = [key for key in ("preset", "cliff", "rounding", "granularity") if key in asked] + ["blocks"] * (asked.get("calendar") == "blocks")
    if odd:
        say("NOT REBUILT", f"vesting: it has {', '.join(odd)}; the sums of the tranches were checked")
        return
    start, upfront, n = asked["start"].astimezone(UTC), Fraction(str(asked["upfront"])), 0 if asked["upfront"] == 1 else asked["tranches"]
    kinds: dict[str, Callable[[int], datetime]] = {
        "calendar-months": lambda units: months_later(start, units),
        "fixed-days": lambda units: start + timedelta(days=units),
        "seconds": lambda units: start + timedelta(seconds=units),
    }
    ends = kinds.get(asked.get("calendar", ""))
    seconds = [0]
    if n and ends is not None:
        length = int((ends(asked["length"]) - start).total_seconds())
        each = asked["calendar"] == "calendar-months" and n == asked["length"]
        seconds += [int((ends(k) - start).total_seconds()) if each else length * k // n for k in range(1, n + 1)]
    line = asked.get("binding") == "line"
    found = {(row["trader"], row["token"], int(row["tranche"])): row for row in rows_of(files, "4-claims.csv")}
    pairs: list[tuple[str, object, object]] = []
    for payout in rows_of(files, "3-payouts.csv"):
        total, before = int(payout["amount_base_units"]), 0
        first = total if not n else total * upfront.numerator // upfront.denominator
        for k, second in enumerate(seconds):
            open_now = first + ((total - first) * (second if line else k) // (seconds[-1] if line else n) if k else 0)
            row = found.pop((payout["trader"], payout["token"], k), None)
            here = (int(start.timestamp()) + second, open_now - before)
            pairs.append((f"{payout['trader']} tranche {k}", row and (int(row["unlocks_at_unix"]), int(row["amount_base_units"])), here))
            before = open_now
    pairs += [(f"{trader} tranche {k}", "a row", "none") for trader, _, k in found]
    same("vesting: date and base units of each tranche", pairs)


def parent(one: bytes, other: bytes) -> bytes:
    """An inner node."""
    return keccak(min(one, other) + max(one, other))


def by_layers(leaves: list[bytes]) -> bytes:
    """The root over sorted leaves, pair by pair; an odd one goes up."""
    layer = sorted(set(leaves))
    while len(layer) > 1:
        layer = [parent(*layer[k : k + 2]) if k + 1 < len(layer) else layer[k] for k in range(0, len(layer), 2)]
    return layer[0]


def by_array(leaves: list[bytes]) -> bytes:
    """The root over an array whose second half holds the leaves, largest first."""
    nodes = [b""] * (len(leaves) - 1) + sorted(leaves, reverse=True)
    for k in reversed(range(len(leaves) - 1)):
        nodes[k] = parent(nodes[2 * k + 1], nodes[2 * k + 2])
    return nodes[0]


def check_roots(files: dict[str, bytes]) -> None:
    """Roots of perp-redeem, uniswap and oz-standard, built from 4-claims.csv and not from the files' own leaves."""
    owed: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for row in rows_of(files, "4-claims.csv"):
        if int(row["amount_base_units"]):
            owed[row["token"], row["tranche"]][row["trader"]] = int(row["amount_base_units"])
    for row in rows_of(files, "3-payouts.csv"):
        if int(row["amount_base_units"]):
            owed[row["token"], "all"][row["trader"]] = int(row["amount_base_units"])
    # dialect -> root -> the tranches whose amounts give it
    roots: dict[str, dict[str, set[str]]] = {name: defaultdict(set) for name in ("perp-redeem", "uniswap", "oz-standard")}
    trees = sorted(name for name in files if re.fullmatch(r"claims/[^/]+/[^/]+\.json", name))
    needed = {name.split("/")[1] for name in trees} & set(roots)
    for (_, tranche), amounts in owed.items() if needed else ():
        ordered = sorted(amounts, key=mixed_case)
        raw = {account: bytes.fromhex(account[2:]) for account in ordered}
        sums = {account: amounts[account].to_bytes(32, "big") for account in ordered}
        of_amounts = [keccak(raw[a] + sums[a]) for a in ordered]
        numbered = [keccak(n.to_bytes(32, "big") + raw[a] + sums[a]) for n, a in enumerate(ordered)]
        hashed_twice = [keccak(keccak(bytes(12) + raw[a] + sums[a])) for a in ordered]
        for dialect, root in (
            ("perp-redeem", by_layers(of_amounts)),
            ("uniswap", by_layers(numbered)),
            ("oz-standard", by_array(hashed_twice)),
        ):
            roots[dialect]["0x" + root.hex()].add(tranche)
    pairs: list[tuple[str, object, object]] = []
    others = set()
    for name in trees:
        dialect, document = name.split("/")[1], json.loads(files[name])
        if dialect not in roots:
            others.add(dialect)
        elif isinstance(document, dict) and ("merkleRoot" in document or "tree" in document):
            root = document["merkleRoot"] if "merkleRoot" in document else document["tree"][0]
            gives, named = roots[dialect].get(root, set()), re.search(r"tranche-([0-9]+)", name)
            fits = bool(gives) if named is None else named[1] in gives
            pairs.append((name, "a root of 4-claims.csv", "a root of 4-claims.csv" if fits else f"{root} is none of its tranche"))
    if others:
        say("NOT REBUILT", f"files of {', '.join(sorted(others))}: this verifier builds {', '.join(roots)} only")
    if pairs:
        same("claim roots", pairs)


def check_path(files: dict[str, bytes], incident: dict[str, Any], names: list[str]) -> dict[str, dict[str, int]]:
    """From the logs to what the formulas give."""
    rows, logs = rows_of(files, "2-liquidations.csv"), list[dict[str, Any]]()
    if all(name.endswith((".jsonl", ".jsonl.gz")) for name in names):
        house = str(incident["chain"].get("clearing_house", "")).lower()
        logs = [event for name in names for event in decoded(files["inputs/" + name])]
        logs = [event for event in logs if event["name"] == "ReserveSnapshotted" or event["address"] == house]
        logs.sort(key=lambda event: event["at"])
    if any(event["name"] == "PositionChanged" for event in logs):
        check_events(files, logs)
        check_liquidations(rows, logs)
    else:
        say("NOT REBUILT", "events and liquidations: the input is not JSON lines of a node, or its events are not those known here")
    return check_formulas(files, incident, rows, logs)


def main(arguments: list[str]) -> int:
    """Check one bundle; the exit code."""
    if len(arguments) > 1 or {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 2
    try:
        files = load(Path(arguments[0]) if arguments else Path(__file__).resolve().parent)
        stated = manifest_of(files)
        check_totals(files, stated)
        incident = tomllib.loads(files["inputs/" + stated["query"]["file"]].decode(), parse_float=Decimal)
        given: dict[str, dict[str, int]] = {}
        if "claims" in incident.get("input", {}):
            say("NOT REBUILT", "entitlements: the run starts from a published table")
        else:
            given = check_path(files, incident, [one["file"] for one in stated["inputs"]["files"]])
        check_settlement(files, incident, stated["formula"]["name"], given)
        check_vesting(files, incident)
        check_roots(files)
    except Stop as stop:
        words, code = stop.args
        print(f"STOPPED: {words}")
        return int(code)
    except Exception as error:
        print(f"STOPPED: a file is not as perpcomp writes it ({type(error).__name__}: {error}).")
        return 2
    print(LIMITS)
    print(f"{FOUND['PASS']} checks pass, {FOUND['FAIL']} fail, {FOUND['NOT REBUILT']} parts not rebuilt.")
    return 1 if FOUND["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
