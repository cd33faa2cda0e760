"""What no single table shows: shares that do not add up, names listed twice, tables that contradict each other."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from perpcomp import installed
from perpcomp.findings import near_miss
from perpcomp.incident.chain import POSITION_NOTIONAL, Chain
from perpcomp.incident.eligibility import Eligibility
from perpcomp.incident.funds import FUND, Budget, InsuranceFund
from perpcomp.incident.guards import Guards
from perpcomp.incident.input import InputFiles
from perpcomp.incident.market import Market
from perpcomp.incident.payees import Payee
from perpcomp.incident.quote import Quote
from perpcomp.incident.reader import Problem
from perpcomp.incident.restore import Restore
from perpcomp.incident.rules_across import CHECKS as RULE_CHECKS
from perpcomp.incident.settlement import Leg
from perpcomp.incident.valuation import Valuation

Problems = Iterator[Problem]


def problems_across(read: Mapping[str, Any]) -> Problems:
    """Every such problem between the tables that were read; a check that needs another table is left out."""
    for check, needs in CHECKS.items():
        if all(table in read for table in needs):
            yield from check(*(read[table] for table in needs))


def _what_the_system_offers(
    system: str, valuation: Valuation, eligibility: Eligibility, restore: Restore | None, fund: InsuranceFund | None
) -> Problems:
    if restore is None and valuation.by_event_alone and not eligibility.by_replay and (fund is None or fund.balance is not None):
        return  # every system offers that
    offers = installed.load(installed.SYSTEMS, system)
    by_replay = {
        "[valuation] at or price": not valuation.by_event_alone,
        "[restore]": restore is not None,
        "rules of [eligibility] on the state before the crash": eligibility.by_replay,
    }
    unmet = [asks for asks, asked in by_replay.items() if asked]
    if unmet and offers.replay is None:
        what = f'is "{system}", which has no pool and no replay, but the file has {" and ".join(unmet)}.'
        yield Problem("", 0, "system", what, "Remove what needs a replay of the market.")
    if fund is not None and fund.balance is None and offers.transfer_event is None:
        what = f'is "{system}", whose logs give no balance of a fund, but [insurance_fund] names a contract.'
        yield Problem("", 0, "system", what, "State its balance instead, or remove [insurance_fund].")


def _code(system: str, chain: Chain) -> Problems:
    """The code that ran is stated in order of blocks, and its event's meaning changes once, with the margin ratio of the later code."""
    if chain.code and not installed.load(installed.SYSTEMS, system).has_eras:
        yield Problem("[[chain.code]]", 0, "", f'is given, but the events of "{system}" never changed their meaning.', "Remove it.")
    for n, one in enumerate(chain.code, 1):
        if one.meaning == 2 and one.denominator != POSITION_NOTIONAL:
            what = f'is "{one.denominator}" beside meaning = 2.'
            yield Problem("[[chain.code]]", n, "denominator", what, f'All code of meaning 2 divides by "{POSITION_NOTIONAL}".')
    for n, (earlier, later) in enumerate(zip(chain.code, chain.code[1:], strict=False), 2):
        if later.from_block <= earlier.from_block:
            what = f"is {later.from_block}, not above the {earlier.from_block} of the entry before."
            yield Problem("[[chain.code]]", n, "from_block", what, "List the code in the order in which it ran.")
        if later.meaning < earlier.meaning:
            what = f"is {later.meaning} after {earlier.meaning}."
            yield Problem("[[chain.code]]", n, "meaning", what, "The meaning changed once, from 1 to 2: correct one of the two entries.")


def _shares(settlement: tuple[Leg, ...]) -> Problems:
    if not any(leg.rule for leg in settlement) and sum((leg.share for leg in settlement), Fraction()) != 1:
        yield Problem("[[settlement]]", 0, "", "shares do not add up to 1.", "Two legs of one half each: share = 0.5 in both.")


# Symbols whose decimals are the same on the chains of the protocols that this project reads, by the tokens' own contracts.
DECIMALS_OF = {"USDC": 6, "USDT": 6, "DAI": 18, "PERP": 18, "SNX": 18, "SUSD": 18}


def _decimals(settlement: tuple[Leg, ...], fund: InsuranceFund | None) -> Problems:
    """Decimals that contradict a well-known token's, or those stated of the same contract elsewhere: amounts would be off by powers of 10."""
    stated = [("[[settlement]]", n, leg.token, leg.address or "", leg.decimals) for n, leg in enumerate(settlement, 1)]
    if fund is not None and fund.balance is None:
        stated.append(("[insurance_fund]", 0, "", fund.token, fund.decimals))
    first: dict[str, tuple[str, int]] = {}
    for header, number, symbol, address, decimals in stated:
        right = DECIMALS_OF.get(symbol.upper())
        if right is not None and decimals != right:
            what = (
                f"is {decimals}, but {symbol} has {right} decimals: every amount would be wrong by a factor of 10**{abs(decimals - right)}."
            )
            yield Problem(header, number, "decimals", what, f"Write decimals = {right}, or the symbol of the token that is meant.")
        elif address in first and decimals != first[address][1]:
            where, other = first[address]
            what = f"is {decimals}, but {where} states {other} decimals for the same contract {address}."
            yield Problem(header, number, "decimals", what, "Look the decimals up in the contract and write the same number in both.")
        if address:
            first.setdefault(address, (f"{header} {number or ''}".rstrip(), decimals))


def _quote(system: str, quote: Quote | None) -> Problems:
    if quote is None or quote.priced_in is None:
        return
    if system and quote.priced_in == (quote.asset or installed.load(installed.SYSTEMS, system).quote_unit):
        what = f'is "{quote.priced_in}", the quote asset itself, at a price of {quote.price}.'
        yield Problem("[quote]", 0, "priced_in", what, "Name the asset of that price, or remove price and priced_in.")


def _markets(markets: tuple[Market, ...], files: InputFiles) -> Problems:
    yield from _twice("[[market]]", "name", (market.name for market in markets))
    yield from _twice("[[market]]", "amm", (market.amm for market in markets))
    if files.claims is None and not any(market.affected for market in markets):
        yield Problem("[[market]]", 0, "", "names no affected market.", "Set affected = true for the market that crashed.")


def _tokens(settlement: tuple[Leg, ...]) -> Problems:
    yield from _twice("[[settlement]]", "token", (leg.token for leg in settlement))


def _window(eligibility: Eligibility) -> Problems:
    if not eligibility.as_written:  # a run from claims has no window
        return
    first, last = eligibility.from_block, eligibility.to_block
    if first is not None and last is not None:
        if first > last:
            what = f"has an empty window: {eligibility.as_written}."
            yield Problem("[eligibility]", 0, "", what, "Let to_block not be before from_block; both are inside.")
    elif eligibility.start >= eligibility.end:
        what = f"has an empty window: {eligibility.as_written}."
        yield Problem("[eligibility]", 0, "", what, "Let it end after it starts; from is inside, to is not.")
    yield from _twice("[[eligibility.exclude]]", "address", (one.address for one in eligibility.exclusions))


def _one_price(valuation: Valuation, markets: tuple[Market, ...]) -> Problems:
    affected = sum(market.affected for market in markets)
    if valuation.one_price is not None and affected > 1:
        what = f"is one number for {affected} affected markets."
        yield Problem("[valuation]", 0, "price", what, "Give each affected [[market]] its own reference_price instead.")


def _pools(restore: Restore | None, markets: tuple[Market, ...]) -> Problems:
    if restore is None:
        return
    affected = [market.name for market in markets if market.affected]
    for name in [name for name in affected if name not in restore.pools][: restore.at is None]:
        yield Problem("[restore]", 0, "", f"states no pool for {name}.", "Add at = BLOCK, or a [[restore.pool]] for it.")
    for name in [name for name in restore.pools if name not in affected]:
        yield Problem("[[restore.pool]]", 0, "market", f'is "{name}", which is not an affected market.', near_miss(name, affected))


def _limits(guards: Guards, markets: tuple[Market, ...]) -> Problems:
    yield from _twice("[[guards.limits]]", "market", (one.market or "every market" for one in guards.limits))
    names = [market.name for market in markets]
    for name in sorted({one.market for one in guards.limits if one.market is not None} - {*names}):
        yield Problem("[[guards.limits]]", 0, "market", f'is "{name}", which is not a market of this incident.', near_miss(name, names))


def _funds(budgets: tuple[Budget, ...], fund: InsuranceFund | None) -> Problems:
    """A budget must not be called as the insurance fund is."""
    yield from _twice("[[budget]]", "name", [*(budget.name for budget in budgets), *([FUND] if fund is not None else [])])


def _contracts(fund: InsuranceFund | None, chain: Chain, markets: tuple[Market, ...]) -> Problems:
    """The contracts whose logs are told apart by address must all differ."""
    for market in markets:
        if market.amm in chain.contracts:
            what = f'"{market.amm}" of {market.name} is the contract of [chain] too.'
            yield Problem("[[market]]", 0, "amm", what, "Write the address of the market's own contract.")
    if fund is not None and fund.balance is None:
        others = {*chain.contracts, *(market.amm for market in markets)}
        yield from _twice("[insurance_fund]", "address or token", [*others, fund.address, fund.token])


def _payees(payees: tuple[Payee, ...]) -> Problems:
    """The shares of each account add up to 1, and a payee is the last one: whoever it is paid for is named directly."""
    yield from _twice("[[payee]]", "account and to", (f"{one.account} to {one.to}" for one in payees))
    shares: dict[str, Fraction] = {}
    for one in payees:
        shares[one.account] = shares.get(one.account, Fraction()) + one.share
    for account, total in shares.items():
        if total != 1:
            advice = 'Correct the shares; write thirds as "1/3". What a list leaves to the account itself needs an entry too: to = its own address.'
            yield Problem("[[payee]]", 0, "share", f"of {account} adds up to {_decimal(total)}, not 1.", advice)
    moved = {one.account for one in payees if one.to != one.account}
    for one in payees:
        if one.to in moved and one.to != one.account:
            what = f"of {one.account} is {one.to}, whose own entitlement is paid to somebody else."
            yield Problem("[[payee]]", 0, "to", what, "Name the last payee for both accounts.")


def _decimal(share: Fraction) -> str:
    """A share in full where it is a short decimal, else as a fraction."""
    near = Decimal(share.numerator) / share.denominator
    return f"{near:f}" if Fraction(near) == share else str(share)


def _twice(header: str, key: str, names: Iterable[str]) -> Problems:
    for name in sorted(name for name, times in Counter(names).items() if times > 1):
        yield Problem(header, 0, key, f'"{name}" is listed twice.', "Keep one.")


# Each check with the tables that it needs, by their names in tables.py.
CHECKS: dict[Callable[..., Problems], tuple[str, ...]] = {
    **RULE_CHECKS,
    _what_the_system_offers: ("system", "valuation", "eligibility", "restore", "insurance_fund"),
    _code: ("system", "chain"),
    _shares: ("settlement",),
    _tokens: ("settlement",),
    _decimals: ("settlement", "insurance_fund"),
    _quote: ("system", "quote"),
    _markets: ("markets", "input"),
    _window: ("eligibility",),
    _one_price: ("valuation", "markets"),
    _pools: ("restore", "markets"),
    _limits: ("guards", "markets"),
    _payees: ("payees",),
    _funds: ("budgets", "insurance_fund"),
    _contracts: ("insurance_fund", "chain", "markets"),
}
