"""The tables of liquidations, positions and prices, and of those left out."""

from perpcomp.tables.schema import LOG_KEY, Table, columns

# Which liquidation a row is about.
LIQUIDATION = columns("""
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
    LOG_KEY,
    LIQUIDATION
    + columns("""
side                 | text     |      | long or short
partial              | flag     |      | true where a part of the position was left
size                 | amount   | base | signed size just before
size_after           | amount   | base | signed size just after
margin               | amount?  | QUOTE | stored margin just before, funding not yet taken; null where it cannot be determined which of its two meanings the event has
open_notional        | amount?  | QUOTE | open notional just before; null where it cannot be determined from the logs
entry_price          | amount?  | QUOTE per base | open_notional / size, truncated; as stored where the contracts store it
position_notional    | amount   | QUOTE | what the close fetched (long) or cost (short)
realized_pnl         | amount   | QUOTE | profit realized by the liquidation
funding_payment      | amount   | QUOTE | + the trader paid, - the trader received
remaining_margin     | amount?  | QUOTE | margin + realized_pnl - funding_payment, not below 0
bad_debt             | amount   | QUOTE | loss that the margin did not cover
spot_price           | amount   | QUOTE per base | the market's spot price after the liquidation: the pool's, or the oracle's where there is no pool
liquidator           | address  |      | who liquidated
liquidation_fee      | amount   | QUOTE | fee paid to the liquidator
fee_shortfall        | amount   | QUOTE | part of that fee that the margin did not cover
era                  | integer? |      | 1: before partial liquidation, 2: from then on; null where it cannot be determined, or the protocol knows no such change
era_rule             | text?    |      | the tests that determined the era; null where there is no era
life                 | integer  |      | of the trader in the market: 1, 2 ...; a life runs from the open to the next size 0
opened_at            | time?    | UTC  | when this life was opened; null where it cannot be determined from the logs
leverage_at_open     | amount?  | /1   | position notional / margin of the opening trade, truncated
size_before_crash    | amount?  | base | what this life held before the crash: as the window begins, or at the block of [valuation]; 0 where it was opened later, null where it cannot be determined from the logs
margin_before_crash  | amount?  | QUOTE | its stored margin then
open_notional_before_crash | amount? | QUOTE | its open notional then
leverage_before_crash | amount? | /1   | its position notional on the curve / (margin + profit on the curve - funding owed) then, truncated; null where no rule or price asks for a replay, or nothing is left to divide by
liquidation_price_before_crash | amount? | QUOTE per base | its liquidation price then; null where no rule or price asks for a replay, or there is none
margin_added         | amount?  | QUOTE | margin added between then and this liquidation
margin_removed       | amount?  | QUOTE | margin removed between then and this liquidation
size_added           | amount?  | base | by which the position was increased between then and this liquidation
size_reduced         | amount?  | base | by which its trader reduced it between then and this liquidation
size_at_reference    | amount?  | base | signed size that is valued: by [valuation] that of the liquidation, or that of this life at one block, 0 where there was none
margin_at_reference  | amount?  | QUOTE | its stored margin
open_notional_at_reference | amount? | QUOTE | its open notional
funding_at_reference | amount?  | QUOTE | the funding due then: + the trader pays
reference_price      | amount?  | QUOTE per base | the price at which it is valued; null where the curve values it, or the market has none
notional_at_reference | amount? | QUOTE | what it is worth: |size| * reference_price truncated, or what closing it on the curve would move
unrealized_pnl_at_reference | amount? | QUOTE | notional_at_reference against open_notional_at_reference
restore_notional     | amount?  | QUOTE | what opening the size again moves: by [restore] on the curve, where it is compensated; else notional_at_reference
restore_fee          | amount?  | QUOTE | the trading fee of that; 0 without [restore]
guard_verdict        | text?    |      | what the liquidation guards of the incident file would have done (see verdicts); null where it has none
price_impact         | amount?  | /1   | change of the spot price by this liquidation, in parts of the index; null without guards or index, as the next three
slack_delta          | amount?  | /1   | its limit - price_impact: 0 or less is blocked
premium              | amount?  | /1   | distance of the spot price just before from the index, in parts of the index
slack_pd             | amount?  | /1   | its limit - premium: 0 or less is blocked
compensated_size     | amount?  | base | part of |size| that this life's liquidations are compensated for; null where not eligible
eligible             | flag     |      | whether the incident file's rules pay for this row
reason_code          | text     |      | the reason as a code
reason               | text     |      | the reason as a sentence
"""),
)

# The columns that a formula may read. A new column of the table is no term until it is listed here.
TERMS = (
    *("chain_id", "block_number", "log_index", "market_name", "side", "partial"),
    *("size", "size_after", "margin", "open_notional", "entry_price", "position_notional"),
    *("realized_pnl", "funding_payment", "remaining_margin", "bad_debt", "spot_price", "liquidation_fee", "fee_shortfall"),
    *("era", "life", "leverage_at_open"),
    *("size_before_crash", "margin_before_crash", "open_notional_before_crash", "leverage_before_crash", "liquidation_price_before_crash"),
    *("margin_added", "margin_removed", "size_added", "size_reduced"),
    *("size_at_reference", "margin_at_reference", "open_notional_at_reference", "funding_at_reference"),
    *("reference_price", "notional_at_reference", "unrealized_pnl_at_reference", "restore_notional", "restore_fee"),
    *("guard_verdict", "price_impact", "slack_delta", "premium", "slack_pd"),
)

LEFT_OUT = Table(
    "left-out",
    ("trader",),
    columns("""
trader           | address  |      | seen in the window and not paid
market           | address? |      | where the event named here happened
transaction_hash | hash?    |      | that event
log_index        | integer? |      | that event
reason_code      | text     |      | the reason as a code
reason           | text     |      | the reason as a sentence
"""),
)

POSITIONS = Table(
    "positions",
    ("block_number", "market", "trader"),
    columns("""
block_number            | integer |      | the position at the end of this block
time                    | time?   | UTC  | what the TWAPs take as now: the block's timestamp, unless another was asked for
trader                  | address |      | whose position
market                  | address |      | the market's AMM contract
life                    | integer |      | of the trader in the market: 1, 2 ...; 0 before the first
size                    | amount? | base | signed size, + long, adjusted for liquidity migrations
margin                  | amount? | QUOTE | stored margin, funding not taken
open_notional           | amount? | QUOTE | what was paid for the size
latest_premium_fraction | amount? | QUOTE per base | the market's cumulative premium fraction
last_premium_fraction   | amount? | QUOTE per base | the same at the position's last settlement
funding_owed            | amount? | QUOTE | + the trader owes, - the trader is owed
margin_with_funding     | amount? | QUOTE | margin - funding_owed, not below 0
unrealized_pnl_mark     | amount? | QUOTE | at the mark price asked for, without slippage; null where none was
notional_curve          | amount? | QUOTE | what closing now would move, with slippage
unrealized_pnl_curve    | amount? | QUOTE | by that
notional_twap           | amount? | QUOTE | the average of the same over 15 minutes
unrealized_pnl_twap     | amount? | QUOTE | by that
margin_ratio            | amount? | /1   | (margin + the better of the two profits - funding_owed) / denominator; null without a position
liquidation_price       | amount? | QUOTE per base | spot price on today's k at which the ratio is maintenance once the TWAP has followed
liquidatable_when       | text?   |      | spot falls below, spot rises above (that price); never; at every price; null without a position
spot_price              | amount? | QUOTE per base | quote_reserve / base_reserve
quote_reserve           | amount? | QUOTE | the market's pool
base_reserve            | amount? | base | the market's pool
unknown                 | text?   |      | why something is null that exists; null where everything is known
"""),
)

PRICES = Table(
    "prices",
    ("block_number",),
    columns("""
block_time   | time    | UTC  | timestamp of the block
block_number | integer |      | a block in which the market logged something
spot_price   | amount? | QUOTE per base | at the end of the block
twap_price   | amount? | QUOTE per base | average of the 15 minutes before block_time
index_price  | amount? | QUOTE per base | what the last funding payment took as the underlying's price; null before the first
"""),
)

PRICE_SERIES = Table(
    "price series",
    ("market_name", "time"),
    columns("""
market_name | text   |      | as the incident file names the market
time        | time   | UTC  | from when the price holds, until the next row of the market
price       | amount | QUOTE per base | the price
"""),
)
