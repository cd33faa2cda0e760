"""The values of a new incident file: what the logs tell, and for the rest a first guess that says so."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from perpcomp import formula, installed
from perpcomp.begin.deployed import deployed, known_markets
from perpcomp.begin.draft import CHECK, Entry, Values, Written, draft
from perpcomp.begin.seen import MarketSeen, Seen, look
from perpcomp.findings import InputError, near_miss
from perpcomp.incident import incident_file, toml
from perpcomp.incident.across import DECIMALS_OF
from perpcomp.incident.description import Key, keys
from perpcomp.incident.eligibility import Eligibility
from perpcomp.incident.incident import Incident
from perpcomp.incident.json_schema import of_system
from perpcomp.incident.kinds import PATH
from perpcomp.incident.market import Market
from perpcomp.incident.tables import described as flat
from perpcomp.input import Input, read_events
from perpcomp.number_text import exact
from perpcomp.systems.system import System, find
from perpcomp.tables.schema import CSV_TIME

FROM_LOGS = "from the logs: check"
LOGS = Written('"logs"')


@dataclass(frozen=True)
class Proposal:
    """A new incident file: the values to write into it, and what the logs told where there are logs."""

    name: str
    folder: Path
    system: System
    values: Values
    seen: Seen | None

    @property
    def text(self) -> str:
        """The file, which its own reader accepts. InputError where a change by hand contradicts another value."""
        return _checked(self.name, self.folder, self.system, self.values)[0]

    def key(self, table: str, name: str) -> Key:
        """The description of a key at the top ("") or in a table of the file."""
        described = of_system(self.system.key)
        header = f"[{table}]" if table else ""
        return next(key for of, key in flat(described) if (of, key.name) == (header, name))

    def shown(self, table: str, name: str) -> str:
        """A value as a person reads it: a text without quotes."""
        text = self.values[table][0][name].text
        return str(json.loads(text)) if text.startswith('"') else text

    def changed(self, table: str, name: str, typed: str) -> "Proposal":
        """The proposal with what a person typed as a value. ValueError(what is wrong, what to do) where the key does not allow it."""
        entry = self.values[table][0]
        text = json.dumps(typed, ensure_ascii=False) if entry[name].text.startswith('"') else typed
        try:
            value = toml.parse(f"x = {text}".encode(), name)["x"]
        except InputError:
            raise ValueError(f"is {typed}.", f"Write {self.key(table, name).kind.allowed}.") from None
        self.key(table, name).kind.read(value)
        if table == "formula" and value not in (known := formula.installed()):
            raise ValueError(f'is "{value}".', near_miss(value, known))
        note = entry[name].note if typed == self.shown(table, name) else ""
        return replace(self, values={**self.values, table: [{**entry, name: Written(text, note)}]})


def propose(path: Path, system: str | None, chain_id: int | None, source: Input | None) -> Proposal:
    """What to write into a new incident file at `path`, of an input where there is one. InputError where it shows no liquidation."""
    name, folder = path.stem, path.parent
    if source is None:
        chosen = find(system or installed.names(installed.SYSTEMS)[0])
        return Proposal(name, folder, chosen, _guesses(name, chosen, chain_id), None)
    found = deployed(source, [system] if system else installed.names(installed.SYSTEMS))
    values = _guesses(name, found.system, chain_id)
    names = known_markets(chain_id or found.system.chain_id or 1)
    values["sources"] = [{**values["sources"][0], "logs": _quoted(f"The logs in {source.file.name}, as perpcomp init read them")}]
    called = {address: names.get(address, f"MARKET{n}") for n, address in enumerate(found.markets, 1)}
    listed = ", ".join(json.dumps(one) for one in reversed(found.contracts))
    if found.contracts:
        contract = f"[{listed}]" if len(found.contracts) > 1 else listed
        values["chain"] = [{**values["chain"][0], found.system.contract_key: Written(contract, FROM_LOGS), "source": LOGS}]
    to_read = {**values["market"][0], "source": LOGS}  # any price, to read the events
    values["market"] = [{**to_read, "name": _quoted(name), "amm": _quoted(address)} for address, name in called.items()]
    _, incident = _checked(name, folder, found.system, values)
    seen = look(read_events(source, incident), incident, found, source.file.name)
    return Proposal(name, folder, found.system, values | _told(seen, source, folder, values), seen)


def _quoted(text: str, note: str = "") -> Written:
    return Written(json.dumps(text, ensure_ascii=False), note)


def _guesses(name: str, system: System, chain_id: int | None) -> dict[str, list[Entry]]:
    """The values that make a file complete where nothing is known."""
    described = [{key.name: key.example for key in keys(table).values() if isinstance(key, Key)} for table in (Eligibility, Market)]
    start, end, price = described[0]["from"], described[0]["to"], described[1]["reference_price"]
    quote = system.quote_unit
    decimals = DECIMALS_OF.get(quote.upper(), 18)
    day_after = datetime.fromisoformat(end) + timedelta(days=1)
    return {
        "": [{"title": _quoted(f"Draft of {name}", CHECK), "system": _quoted(system.key)}],
        "chain": [
            {
                "id": Written(str(chain_id or system.chain_id or 1), "" if chain_id else CHECK),
                system.contract_key: _quoted(f"0x{'0c' * 20}", CHECK),  # another one than the market's example
            }
        ],
        "market": [{"affected": Written("true", CHECK), "reference_price": Written(price, CHECK)}],
        "eligibility": [{"from": Written(start, CHECK), "to": Written(end, CHECK)}],
        "formula": [{"name": _quoted("margin-only", CHECK)}],
        "allocation": [{"rounded_off_to": _quoted("to be decided", CHECK)}],
        "settlement": [
            {
                "token": _quoted(quote, CHECK),
                "decimals": Written(str(decimals)),
                "share": Written("1"),
                "price": Written("1"),
                "price_policy": _quoted(f"one for one: paid in {quote}"),
            }
        ],
        "vesting": [{"upfront": Written("1", CHECK), "start": Written(_midnight(day_after), CHECK)}],
        "sources": [{"draft": _quoted("A first guess by perpcomp init, which no text states: to be settled by the vote")}],
    }


def _told(seen: Seen, source: Input, folder: Path, values: Mapping[str, Sequence[Entry]]) -> dict[str, list[Entry]]:
    """The values that the logs tell."""
    start, end = (time.strftime(CSV_TIME) for time in (seen.start, seen.end))
    told: dict[str, list[Entry]] = {
        "chain": [{**values["chain"][0], "first_block": Written(str(seen.first_block), FROM_LOGS)}],
        "market": [_market(market) for market in seen.markets],
        "eligibility": [{"from": Written(start, FROM_LOGS), "to": Written(end, FROM_LOGS)}],
        "vesting": [{**values["vesting"][0], "start": Written(_midnight(seen.end + timedelta(days=1)), CHECK)}],
    }
    if seen.fee_ratio is not None:
        told["chain"] = [{**told["chain"][0], "liquidation_fee_ratio": Written(exact(seen.fee_ratio), FROM_LOGS)}]
    if (beside := _beside(source.file, folder)) is not None:
        told["input"] = [{"file": _quoted(beside)}]
    return told


def _market(market: MarketSeen) -> Entry:
    entry = {"name": _quoted(market.name, CHECK), "amm": _quoted(market.address, FROM_LOGS), "source": LOGS}
    if market.affected:
        price = Written("1", "the logs state no price: check") if market.before is None else Written(exact(market.before), FROM_LOGS)
        entry |= {"affected": Written("true", CHECK), "reference_price": price}
    return entry


def _beside(file: Path, folder: Path) -> str | None:
    """The path of an input from the incident file's folder; None where the file may not name it."""
    inside = file.resolve()
    if not inside.is_relative_to(folder.resolve()):
        return None
    try:
        return str(PATH.read(inside.relative_to(folder.resolve()).as_posix()))
    except ValueError:
        return None


def _midnight(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT00:00:00Z")


def _checked(name: str, folder: Path, system: System, values: Values) -> tuple[str, Incident]:
    """The text, and the incident that its reader makes of it."""
    text = draft(of_system(system.key), values)
    return text, incident_file.parse(text.encode(), name, folder)
