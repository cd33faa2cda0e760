"""Every published table: its columns with type, unit and meaning; the check; the only reader and writer of CSV and Parquet.

The names, types and units here are the project's public interface. Amounts are Decimal(38,18) in units of the asset named, never
base units; a null means "does not apply", never 0. The canonical form of a table is its CSV: published column order, sorted by its
key, LF, UTF-8, amounts with 18 places, times in UTC to the second. Its sha256, the row hash, is the identity of the data: Parquet
bytes change with the library that writes them, this text does not.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.fixed import AMOUNT

TIME = pl.Datetime("us", "UTC")

# kind of column -> (type in a frame, what its CSV text must look like; ASCII digits only, no exponent, no plus, no blanks)
KINDS: dict[str, tuple[pl.DataType, str]] = {
    "amount": (AMOUNT, r"^-?[0-9]{1,20}(\.[0-9]{1,18})?$"),
    "integer": (pl.Int64(), r"^-?[0-9]{1,18}$"),
    "digits": (pl.String(), r"^[0-9]{1,78}$"),
    "text": (pl.String(), r"^[^\x00-\x1f\x7f]+$"),
    "address": (pl.String(), r"^0x[0-9a-f]{40}$"),
    "hash": (pl.String(), r"^0x[0-9a-f]{64}$"),
    "flag": (pl.Boolean(), r"^(true|false)$"),
    "time": (TIME, r"^(19|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"),
}
CSV_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Column:
    """One column: its name, its kind (see KINDS), its unit ('' where it has none) and what it means."""

    name: str
    kind: str
    unit: str
    meaning: str
    optional: bool = False  # may be null


@dataclass(frozen=True)
class Table:
    """One published table. `key` identifies a row and is the sort order."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return {column.name: KINDS[column.kind][0] for column in self.columns}

    def empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self.schema)


def _columns(text: str) -> tuple[Column, ...]:
    """`name | kind[?] | unit | meaning` a line; `?` marks a column that may be null."""
    rows = [[cell.strip() for cell in line.split("|", 3)] for line in text.strip().splitlines()]
    return tuple(Column(name, kind.rstrip("?"), unit, meaning, kind.endswith("?")) for name, kind, unit, meaning in rows)


_IDENTITY = """
chain_id            | integer  |      | EIP-155 chain id
block_number        | integer  |      | block of the log
block_time          | time     | UTC  | timestamp of that block
block_hash          | hash?    |      | hash of that block
transaction_hash    | hash     |      | transaction of the log
transaction_index   | integer? |      | place of the transaction in its block
log_index           | integer  |      | place of the log in its block
"""
IDENTITY_KEY = ("block_number", "log_index")

IDENTITY = _columns(_IDENTITY)

EVENTS = Table(
    "events",
    IDENTITY_KEY,
    IDENTITY
    + _columns("""
system                  | text     |      | protocol and version
kind                    | text     |      | open, increase, reduce, reverse, close, liquidation or partial-liquidation
trader                  | address  |      | whose position it is, not who sent the transaction
market                  | address  |      | the market's AMM contract
margin                  | amount   | USDC | margin AFTER the event, funding taken
position_notional       | amount   | USDC | quote moved by this event's swap
exchanged_position_size | amount   | base | signed change of the size
fee                     | amount   | USDC | trading fee, 0 in a liquidation
position_size_after     | amount   | base | signed size after
realized_pnl            | amount?  | USDC | profit realized by this event; null where the logs do not tell
unrealized_pnl_after    | amount?  | USDC | as the contract states it, not the new position's unrealized PnL; null where it states none
bad_debt                | amount?  | USDC | what the margin did not cover; null where the logs do not tell
liquidation_penalty     | amount?  | USDC | its meaning depends on the era; null where the protocol has none
spot_price              | amount?  | USDC per base | the market's spot price after it: the pool's, or the oracle's where there is no pool; null where none is logged
funding_payment         | amount?  | USDC | + the trader paid, - the trader received; null where the logs do not tell
liquidator              | address? |      | who liquidated; null where it is no liquidation
liquidation_fee         | amount?  | USDC | what the liquidator got; null where it is no liquidation
fee_shortfall           | amount?  | USDC | part of that fee that the margin did not cover
"""),
)

# Which liquidation a row is about.
LIQUIDATION = _columns("""
chain_id             | integer  |      | EIP-155 chain id
block_number         | integer  |      | block of the liquidation
block_time           | time     | UTC  | timestamp of that block
transaction_hash     | hash     |      | transaction of the liquidation
log_index            | integer  |      | of its PositionChanged log
trader               | address  |      | whose position was liquidated
market               | address  |      | the market's AMM contract
market_name          | text     |      | as the incident file names it
""")

LIQUIDATIONS = Table(
    "liquidations",
    IDENTITY_KEY,
    LIQUIDATION
    + _columns("""
side                 | text     |      | long or short
partial              | flag     |      | true where a part of the position was left
size                 | amount   | base | signed size just before
size_after           | amount   | base | signed size just after
margin               | amount   | USDC | stored margin just before, funding not yet taken
open_notional        | amount?  | USDC | open notional just before; null where the logs do not hold it
entry_price          | amount?  | USDC per base | open_notional / size, truncated
position_notional    | amount   | USDC | what the close fetched (long) or cost (short)
realized_pnl         | amount   | USDC | profit realized by the liquidation
funding_payment      | amount   | USDC | + the trader paid, - the trader received
remaining_margin     | amount   | USDC | margin + realized_pnl - funding_payment, not below 0
bad_debt             | amount   | USDC | what the margin did not cover
spot_price           | amount   | USDC per base | the market's spot price after the liquidation: the pool's, or the oracle's where there is no pool
liquidator           | address  |      | who liquidated
liquidation_fee      | amount   | USDC | what the liquidator got
fee_shortfall        | amount   | USDC | part of that fee that the margin did not cover
era                  | integer? |      | 1: before partial liquidation, 2: from then on; null where the protocol knows no such change
era_rule             | text?    |      | the tests that told the era; null where there is none
life                 | integer  |      | of the trader in the market: 1, 2 ...; a life runs from the open to the next size 0
opened_at            | time?    | UTC  | when this life was opened; null where the logs do not hold it
leverage_at_open     | amount?  | /1   | position notional / margin of the opening trade, truncated
size_before_crash    | amount?  | base | what this life held before the crash: as the window begins, or at the block of [valuation]; 0 where it was opened later, null where the logs do not tell
margin_before_crash  | amount?  | USDC | its stored margin then
open_notional_before_crash | amount? | USDC | its open notional then
leverage_before_crash | amount? | /1   | its position notional on the curve / (margin + profit on the curve - funding owed) then, truncated; null where no rule or price asks for a replay, or nothing is left to divide by
liquidation_price_before_crash | amount? | USDC per base | its liquidation price then; null where no rule or price asks for a replay, or there is none
margin_added         | amount?  | USDC | put in between then and this liquidation
margin_removed       | amount?  | USDC | taken out between then and this liquidation
size_added           | amount?  | base | by which the position was increased between then and this liquidation
size_reduced         | amount?  | base | by which its trader reduced it between then and this liquidation
size_at_reference    | amount?  | base | signed size that is valued: by [valuation] that of the liquidation, or that of this life at one block, 0 where there was none
margin_at_reference  | amount?  | USDC | its stored margin
open_notional_at_reference | amount? | USDC | its open notional
funding_at_reference | amount?  | USDC | the funding due then: + the trader pays
reference_price      | amount?  | USDC per base | the price at which it is valued; null where the curve values it, or the market has none
notional_at_reference | amount? | USDC | what it is worth: |size| * reference_price truncated, or what closing it on the curve would move
unrealized_pnl_at_reference | amount? | USDC | notional_at_reference against open_notional_at_reference
restore_notional     | amount?  | USDC | what opening the size again moves: by [restore] on the curve, where it is compensated; else notional_at_reference
restore_fee          | amount?  | USDC | the trading fee of that; 0 without [restore]
guard_verdict        | text?    |      | what the liquidation guards of the incident file would have done (see verdicts); null where it has none
price_impact         | amount?  | /1   | change of the spot price by this liquidation, in parts of the index; null without guards or index, as the next three
slack_delta          | amount?  | /1   | its limit - price_impact: 0 or less is blocked
premium              | amount?  | /1   | distance of the spot price just before from the index, in parts of the index
slack_pd             | amount?  | /1   | its limit - premium: 0 or less is blocked
compensated_size     | amount?  | base | part of |size| that this life's liquidations are compensated for; null where not eligible
eligible             | flag     |      | whether the incident file's rules pay for this row
reason_code          | text     |      | why, in one word
reason               | text     |      | why, in a sentence
"""),
)

FLAGS = Table(
    "flags",
    IDENTITY_KEY,
    _columns("""
chain_id              | integer  |      | EIP-155 chain id
block_number          | integer  |      | block of the liquidation
block_time            | time     | UTC  | timestamp of that block
transaction_hash      | hash     |      | transaction of the liquidation
log_index             | integer  |      | of its PositionModified log
trader                | address  |      | whose position was liquidated
market                | address  |      | the market's proxy
position_id           | integer  |      | as the market counts its positions
flagger               | address? |      | who flagged the account; null where no flag is in the logs
flagged_at            | time?    | UTC  | when
flag_transaction_hash | hash?    |      | transaction of the flag
flag_price            | amount?  | USDC per base | oracle price of the flag
liquidator            | address  |      | who liquidated
price                 | amount   | USDC per base | oracle price of the liquidation
flagger_fee           | amount?  | USDC | what the flagger got; null before there were flags
liquidator_fee        | amount   | USDC | what the liquidator got; 0 where an endorsed account forced it
stakers_fee           | amount?  | USDC | the rest of the margin; null where the event does not say
trader_loss           | amount   | USDC | what was left of the margin, all of which the trader lost
debt_pool_loss        | amount   | USDC | part of the fees that the margin did not cover
skew_before           | amount?  | base | longs minus shorts just before
funding_entry         | amount   | USDC per base | the funding sequence's newest entry
funding_rate          | amount   | /1 a day | the rate then, + longs pay
skew_scale            | amount?  | base | by the last ParameterUpdated before; null where none is in the logs
max_liquidation_delta | amount?  | /1   | by the same
max_pd                | amount?  | /1   | by the same
price_impact          | amount?  | /1   | |size| / skew_scale, truncated
premium               | amount?  | /1   | |skew_before| / skew_scale, truncated
"""),
)

PAYOUTS = Table(
    "payouts",
    ("trader", "token"),
    _columns("""
trader            | address |      | who is paid
token             | text    |      | in what
formula           | text    |      | the rule that gave the entitlement
liquidations      | integer |      | compensated liquidations of the trader
entitlement       | amount  | USDC | what the rule gives this trader, all tokens together
share_of_budget   | amount? | /1   | entitlement / sum of all entitlements, truncated; null where nobody is owed anything
value             | amount  | USDC | this token's part of the entitlement
price             | amount  | USDC per token | at which the value is converted
amount            | amount  | token | what is paid
amount_base_units | digits  | base units | the same as a whole number: this is what moves
rounded_off       | amount  | USDC | value that no whole base unit could carry
reason            | text?   |      | why the amount is 0; null otherwise
"""),
)

CLAIMS = Table(
    "claims",
    ("trader", "token", "tranche"),
    _columns("""
trader            | address  |      | who may claim
token             | text     |      | what
tranche           | integer  |      | 0 is the upfront part
unlocks_at        | time     | UTC  | from when on
unlocks_at_unix   | integer  | s    | the same in unix seconds
unlocks_at_block  | integer? |      | the block that binds, where the vesting is counted in blocks
amount            | amount   | token | what this tranche unlocks
amount_base_units | digits   | base units | the same as a whole number
cumulative        | amount   | token | unlocked by this tranche and those before
"""),
)

COMPARISON = Table(
    "comparison",
    ("trader", "formula"),
    _columns("""
trader         | address  |      | eligible trader
formula        | text     |      | an installed rule
amount         | amount?  | USDC | what the rule gives; null where it reads what the logs do not hold
recovery_ratio | amount?  | /1   | amount / loss at the reference price, truncated; null where there is no loss
rank           | integer? |      | 1 is the largest amount under this rule
"""),
)

CAPACITY = Table(
    "capacity",
    ("formula", "source_of_funds"),
    _columns("""
formula         | text    |      | an installed rule
source_of_funds | text    |      | insurance fund, or the name of a budget
token           | text    |      | what it holds
available       | amount  | token | how much: the fund's balance as the window ends, or the budget
price           | amount  | USDC per token | the settlement's price of that token; 1 for USDC where none is settled in it
available_value | amount  | USDC | available * price, truncated
total           | amount  | USDC | what the rule gives in all
unknown         | integer |      | traders whose amount the logs do not tell: they are not in the total
to_cover        | amount  | USDC | of total, what is settled in this token; all of it for the insurance fund, and where nothing is settled in USDC for USDC
covered         | amount? | /1   | the part of to_cover that is available, truncated, at most 1; null where there is nothing to cover
shortfall       | amount  | USDC | to_cover - available_value, not below 0
left            | amount  | USDC | available_value - to_cover, not below 0
"""),
)

IN_KIND = Table(
    "restore-in-kind",
    IDENTITY_KEY,
    _columns("""
block_number      | integer |      | block of the life's first compensated liquidation
log_index         | integer |      | of its PositionChanged log
trader            | address |      | whose position would be opened again
market            | address |      | the market's AMM contract
market_name       | text    |      | as the incident file names it
size              | amount? | base | signed size to restore; null where the logs do not hold the open notional
open_notional     | amount? | USDC | open notional to restore
margin_to_restore | amount? | USDC | margin_at_reference - funding_at_reference, not below 0
turn              | integer? |     | place in the order of [restore]; null without it, or where each is opened alone
quote_reserve     | amount? | USDC | the pool on which it is opened; null without [restore]
base_reserve      | amount? | base | the same pool
restore_notional  | amount? | USDC | what opening the whole size there moves
restore_fee       | amount? | USDC | the trading fee of that
"""),
)

RESTORE_ORDERS = Table(
    "restore-orders",
    ("market", "order"),
    _columns("""
market           | address |      | the market's AMM contract
market_name      | text    |      | as the incident file names it
order            | text    |      | each-alone, as-liquidated, largest-first or smallest-first
chosen           | flag    |      | whether it is the one of [restore]
positions        | integer |      | positions opened again
restore_notional | amount  | USDC | what opening them moves, summed over them
restore_fee      | amount  | USDC | the trading fees of that
entitlement      | amount  | USDC | what the restore-position formula gives in all
largest_change   | amount  | USDC | how much one trader gains or loses at most, against each-alone
spot_before      | amount  | USDC per base | spot price of the pool before
spot_after       | amount  | USDC per base | and after all; where each is opened alone, as before
"""),
)

LEFT_OUT = Table(
    "left-out",
    ("trader",),
    _columns("""
trader           | address  |      | seen in the window and not paid
market           | address? |      | where the event named here happened
transaction_hash | hash?    |      | that event
log_index        | integer? |      | that event
reason_code      | text     |      | why, in one word
reason           | text     |      | why, in a sentence
"""),
)

POSITIONS = Table(
    "positions",
    ("block_number", "market", "trader"),
    _columns("""
block_number            | integer |      | the position at the end of this block
time                    | time?   | UTC  | what the TWAPs take as now: the block's timestamp, unless another was asked for
trader                  | address |      | whose position
market                  | address |      | the market's AMM contract
life                    | integer |      | of the trader in the market: 1, 2 ...; 0 before the first
size                    | amount? | base | signed size, + long, adjusted for liquidity migrations
margin                  | amount? | USDC | stored margin, funding not taken
open_notional           | amount? | USDC | what was paid for the size
latest_premium_fraction | amount? | USDC per base | the market's cumulative premium fraction
last_premium_fraction   | amount? | USDC per base | the same at the position's last settlement
funding_owed            | amount? | USDC | + the trader owes, - the trader is owed
margin_with_funding     | amount? | USDC | margin - funding_owed, not below 0
unrealized_pnl_mark     | amount? | USDC | at the mark price asked for, without slippage; null where none was
notional_curve          | amount? | USDC | what closing now would move, with slippage
unrealized_pnl_curve    | amount? | USDC | by that
notional_twap           | amount? | USDC | the average of the same over 15 minutes
unrealized_pnl_twap     | amount? | USDC | by that
margin_ratio            | amount? | /1   | (margin + the better of the two profits - funding_owed) / denominator; null without a position
liquidation_price       | amount? | USDC per base | spot price on today's k at which the ratio is maintenance once the TWAP has followed
liquidatable_when       | text?   |      | spot falls below, spot rises above (that price); never; at every price; null without a position
spot_price              | amount? | USDC per base | quote_reserve / base_reserve
quote_reserve           | amount? | USDC | the market's pool
base_reserve            | amount? | base | the market's pool
unknown                 | text?   |      | why something is null that exists; null where everything is known
"""),
)

PRICES = Table(
    "prices",
    ("block_number",),
    _columns("""
block_time   | time    | UTC  | timestamp of the block
block_number | integer |      | a block in which the market logged something
spot_price   | amount? | USDC per base | at the end of the block
twap_price   | amount? | USDC per base | average of the 15 minutes before block_time
index_price  | amount? | USDC per base | what the last funding payment took as the underlying's price; null before the first
"""),
)

VERDICTS = Table(
    "verdicts",
    IDENTITY_KEY,
    LIQUIDATION
    + _columns("""
closed_size           | amount   | base | signed size that the liquidation closed
notional              | amount   | USDC | what the close fetched (long) or cost (short)
remaining_margin      | amount   | USDC | margin + realized profit - funding, not below 0
spot_before           | amount?  | USDC per base | just before the liquidation; null where the logs do not tell the pool
index_price           | amount?  | USDC per base | the last one known; null before the first
index_age_seconds     | integer? | s    | how old the index price was
margin_ratio_at_index | amount?  | /1   | (margin + profit at the index - funding) / open notional, truncated
flaggable             | flag?    |      | whether that is below maintenance: an oracle-priced rule would have flagged it
price_impact          | amount?  | /1   | change of the spot price by this close, in parts of the index, truncated
max_liquidation_delta | amount?  | /1   | price_impact must be below it; null: no limit
slack_delta           | amount?  | /1   | the limit - price_impact: 0 or less is blocked
premium               | amount?  | /1   | distance of the spot price before from the index, in parts of the index, truncated
max_pd                | amount?  | /1   | premium must be below it; null: no limit
slack_pd              | amount?  | /1   | the limit - premium: 0 or less is blocked
verdict               | text     |      | what the guards would have done, by the flag rule of the incident file
verdict_of_limits     | text     |      | the same by the two limits alone, every historical liquidation taken as flaggable
reason                | text     |      | the verdict in a sentence
parameters_source     | text     |      | where the limits come from
"""),
)

COUNTERFACTUAL = Table(
    "counterfactual",
    ("scenario", "market", "trader", "number"),
    _columns("""
scenario                  | text     |      | the rules replayed
market                    | address  |      | the market's AMM contract
trader                    | address  |      | whose position
number                    | integer  |      | 1, 2 ... of this trader in this market and scenario
market_name               | text     |      | as the incident file names it
transaction_hash          | hash?    |      | the historical liquidation; null where history has none
block_number              | integer? |      | of it
log_index                 | integer? |      | of its PositionChanged
outcome                   | text     |      | what became of the position under these rules
flagged_at                | time?    | UTC  | when it was flagged last; null where it never was
flag_price                | amount?  | USDC per base | counterfactual spot price then
recovered_while_flagged   | flag     |      | whether it was above maintenance again while flagged
liquidated_at             | time?    | UTC  | when the counterfactual liquidated it; null where it did not
price_historical          | amount?  | USDC per base | spot price after the historical liquidation
price_counterfactual      | amount?  | USDC per base | spot price after the counterfactual one
closed_size               | amount?  | base | signed size that the counterfactual closed
remaining_historical      | amount?  | USDC | margin that the historical liquidation took
remaining_counterfactual  | amount?  | USDC | margin that the counterfactual one took
liquidation_fee           | amount?  | USDC | to the liquidator in the counterfactual
to_insurance_fund         | amount?  | USDC | the rest of the remaining margin
fee_shortfall             | amount?  | USDC | part of the fee that the margin did not cover
bad_debt                  | amount?  | USDC | loss that the margin did not cover
loss_difference           | amount   | USDC | remaining_historical - remaining_counterfactual: + the rules leave the trader more
equity_at_end             | amount?  | USDC | margin + profit on the curve - funding at the last log, not below 0; null without a position then
max_liquidation_delta     | amount?  | /1   | the limit of a liquidation's price impact under these rules; null: none
max_pd                    | amount?  | /1   | the limit of the premium; null: none
parameters_source         | text     |      | where the limits come from
"""),
)

PATHS = Table(
    "paths",
    ("scenario", "market", "block_number", "log_index"),
    _columns("""
scenario                    | text    |      | the rules replayed
market                      | address |      | the market's AMM contract
block_number                | integer |      | of the trade
log_index                   | integer |      | of its PositionChanged or LiquidityChanged
block_time                  | time    | UTC  | timestamp of that block
spot_price                  | amount  | USDC per base | in history, after it
quote_reserve               | amount  | USDC | in history
base_reserve                | amount  | base | in history
counterfactual_spot_price   | amount  | USDC per base | under these rules
counterfactual_quote_reserve | amount | USDC | under these rules
counterfactual_base_reserve | amount  | base | under these rules
"""),
)

DROPPED = Table(
    "dropped",
    ("scenario", "block_number", "log_index"),
    _columns("""
scenario         | text    |      | the rules replayed
market           | address |      | the market's AMM contract
block_number     | integer |      | of what the trader did in history
log_index        | integer |      | of its log
transaction_hash | hash    |      | of it
trader           | address |      | who did it
action           | text    |      | margin, adjust, close or trade
reason           | text    |      | why it cannot be done under these rules
"""),
)

SWEEP = Table(
    "sweep",
    ("flag_rule", "max_liquidation_delta", "max_pd", "verdict"),
    _columns("""
flag_rule             | text    |      | index, or v1: every historical liquidation taken as flaggable
max_liquidation_delta | amount  | /1   | the limit of one liquidation's price impact
max_pd                | amount  | /1   | the limit of the premium
verdict               | text    |      | what the guards would have done
liquidations          | integer |      | how many
notional              | amount  | USDC | what their closes fetched or cost
remaining_margin      | amount  | USDC | what was left of their margins
"""),
)

PRICE_SERIES = Table(
    "price series",
    ("market_name", "time"),
    _columns("""
market_name | text   |      | as the incident file names the market
time        | time   | UTC  | from when the price holds, until the next row of the market
price       | amount | USDC per base | the price
"""),
)

FINDINGS = Table(
    "findings",
    ("number",),
    _columns("""
number     | integer |  | in the order found
level      | text    |  | note, warning or error
stops      | flag    |  | true: nothing may be paid while it stands
where      | text    |  | file:row or transaction:log
what       | text    |  | what was found
what_to_do | text    |  | what to do about it
"""),
)


def check(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The frame itself, if it is exactly this table, sorted by its key; otherwise ours is the mistake: AssertionError."""
    expected, actual = table.schema, dict(frame.schema)
    if list(actual.items()) != list(expected.items()):
        wrong = [f"{n}: {actual.get(n)} instead of {expected.get(n)}" for n in {**expected, **actual} if actual.get(n) != expected.get(n)]
        raise AssertionError(f"table {table.name}: {'; '.join(sorted(wrong)) or 'columns are in another order'}")
    required = [c.name for c in table.columns if not c.optional]
    nulls = [name for name in required if frame.get_column(name).null_count()]
    if nulls:
        raise AssertionError(f"table {table.name}: null in {', '.join(nulls)}")
    if rising(frame, table.key):
        return frame
    frame = frame.sort(table.key)
    if frame.select(pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in table.key).any()).item():
        raise AssertionError(f"table {table.name}: {', '.join(table.key)} names two rows")
    return frame


def rising(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether each row's key is greater than that of the row before: sorted, and no key twice. Cheaper than a sort that changes nothing."""
    greater = pl.lit(False)
    for name in reversed(key):
        here, before = pl.col(name), pl.col(name).shift()
        greater = (here > before) | ((here == before) & greater)
    return frame.height < 2 or frame.select_seq(greater.slice(1).all(ignore_nulls=False)).item() is True


def to_csv(frame: pl.DataFrame, table: Table) -> bytes:
    """The canonical text of a table."""
    return check(frame, table).write_csv(datetime_format=CSV_TIME, quote_style="necessary").encode()


def row_hash(frame: pl.DataFrame, table: Table) -> str:
    """sha256 of the canonical text: the identity of the rows, whatever file they came from."""
    return hashlib.sha256(to_csv(frame, table)).hexdigest()


def to_parquet(frame: pl.DataFrame) -> bytes:
    """Parquet bytes that depend on the frame and the library version alone."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", row_group_size=100_000)
    return buffer.getvalue()


def read(path: Path, table: Table) -> pl.DataFrame:
    """A table from a .csv or .parquet file, every cell checked. InputError names file, row, column and what to do."""
    return _read_parquet(path, table) if path.suffix == ".parquet" else _read_csv(path, table)


def _read_parquet(path: Path, table: Table) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise refusal(path.name, f"is not a readable Parquet file ({str(error).splitlines()[0]}).", "Export it again.") from None
    _check_header(path, frame.columns, table)
    wrong = [
        Finding("error", path.name, f"column {name} is {frame.schema[name]}, not {dtype}.",
                "Export it as an exact type: an amount that was a float has lost its last digits.")
        for name, dtype in table.schema.items()
        if frame.schema[name] != dtype
    ]  # fmt: skip
    if wrong:
        raise InputError(wrong)
    in_full = CSV_TIME.replace("%S", "%S%.f")  # a fraction of a second must not vanish before the check
    text = frame.with_columns(pl.col(c.name).dt.strftime(in_full) for c in table.columns if c.kind == "time").cast(pl.String)
    _check_cells(path, text, table, first_row=1)
    return frame.select(*table.schema)


def _read_csv(path: Path, table: Table) -> pl.DataFrame:
    """Cells are read as text and matched before they are cast: a schema would take 1e5, +1 and a 19th decimal without a word."""
    try:
        frame = pl.read_csv(path, infer_schema=False, truncate_ragged_lines=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise refusal(path.name, f"is not a readable CSV file ({str(error).splitlines()[0]}).", "Export it again.") from None
    _check_header(path, frame.columns, table)
    _check_cells(path, frame, table, first_row=2)
    casts = []
    for column in table.columns:
        cell = pl.col(column.name)
        if column.kind == "time":
            casts.append(cell.str.to_datetime(CSV_TIME, time_unit="us", time_zone="UTC"))
        elif column.kind == "flag":
            casts.append(cell == "true")
        else:
            casts.append(cell.cast(KINDS[column.kind][0]))
    return frame.select(casts)


def _check_header(path: Path, names: Sequence[str], table: Table) -> None:
    missing = [name for name in table.schema if name not in names]
    unknown = [name for name in names if name not in table.schema]
    problems = [Finding("error", path.name, f"column {name} is missing.", f"The table {table.name} needs it.") for name in missing]
    problems += [Finding("error", path.name, f"column {name} is unknown.", near_miss(name, table.schema)) for name in unknown]
    if problems:
        raise InputError(problems)


def _check_cells(path: Path, text: pl.DataFrame, table: Table, first_row: int) -> None:
    """Every cell of a frame of text against its kind's pattern; the key against duplicates. All problems at once, 20 shown."""
    problems = []
    for column in table.columns:
        cell = pl.col(column.name)
        good = cell.str.contains(KINDS[column.kind][1])
        if column.kind == "time":  # 2021-02-30 has the shape of a date
            good &= (cell.str.to_datetime(CSV_TIME, strict=False).dt.strftime(CSV_TIME) == cell).fill_null(cell.is_null())
        bad = ~good.fill_null(column.optional)
        for row, value in text.with_row_index("_row").filter(bad).select("_row", column.name).head(20).iter_rows():
            shown = "empty" if value is None else f'"{value[:60]}"'
            problems.append(Finding("error", f"{path.name} row {row + first_row}", f"{column.name} is {shown}.", _wanted(column)))
    twice = text.with_row_index("_row").filter(pl.struct(table.key).is_duplicated()).head(20)
    for row, *key in twice.select("_row", *table.key).iter_rows():
        what = ", ".join(f"{name} {value}" for name, value in zip(table.key, key, strict=True)) + " stands in another row too."
        problems.append(Finding("error", f"{path.name} row {row + first_row}", what, "Remove one."))
    if problems:
        raise InputError(problems[:20])


def _wanted(column: Column) -> str:
    words = {
        "amount": "Amounts are plain decimals with at most 18 places and 20 digits before them, e.g. 100000 or -0.5.",
        "integer": "A whole number without separators is wanted.",
        "digits": "A whole number of base units is wanted.",
        "text": "A text without control characters is wanted.",
        "address": "An address is wanted: 0x and 40 lower-case hex digits.",
        "hash": "A hash is wanted: 0x and 64 lower-case hex digits.",
        "flag": "true or false is wanted.",
        "time": "A time in UTC is wanted, e.g. 2021-02-20T22:45:00Z.",
    }
    return words[column.kind]
