"""The tables of the liquidation guards."""

from perpcomp.tables.liquidations import LIQUIDATION
from perpcomp.tables.schema import LOG_KEY, Table, columns

VERDICTS = Table(
    "verdicts",
    LOG_KEY,
    LIQUIDATION
    + columns("""
closed_size           | amount   | base | signed size that the liquidation closed
notional              | amount   | QUOTE | what the close fetched (long) or cost (short)
remaining_margin      | amount?  | QUOTE | margin + realized profit - funding, not below 0; null where the margin is unknown
spot_before           | amount?  | QUOTE per base | spot price just before the liquidation; null where the logs do not state the pool
index_price           | amount?  | QUOTE per base | the last index price known; null before the first
index_age_seconds     | integer? | s    | age of the index price
margin_ratio_at_index | amount?  | /1   | (margin + profit at the index - funding) / open notional, truncated
flaggable             | flag?    |      | whether margin_ratio_at_index is below maintenance, so a rule by the index price would have flagged it
price_impact          | amount?  | /1   | change of the spot price by this close / index price, truncated
max_liquidation_delta | amount?  | /1   | limit that price_impact must be below; null: no limit
slack_delta           | amount?  | /1   | max_liquidation_delta - price_impact; 0 or less: blocked
premium               | amount?  | /1   | distance of spot_before from the index price / index price, truncated
max_pd                | amount?  | /1   | limit that premium must be below; null: no limit
slack_pd              | amount?  | /1   | max_pd - premium; 0 or less: blocked
verdict               | text     |      | what the guards would have done, by the flag rule of the incident file
verdict_of_limits     | text     |      | the verdict by the two limits alone, with every historical liquidation taken as flaggable
reason                | text     |      | the meaning of the verdict in words
parameters_source     | text     |      | where the limits come from
"""),
)

COUNTERFACTUAL = Table(
    "counterfactual",
    ("scenario", "market", "trader", "number"),
    columns("""
scenario                  | text     |      | the rules replayed
market                    | address  |      | the market's AMM contract
trader                    | address  |      | whose position
number                    | integer  |      | 1, 2 ... of this trader in this market and scenario
market_name               | text     |      | as the incident file names it
transaction_hash          | hash?    |      | transaction of the historical liquidation; null where history has none
block_number              | integer? |      | transaction of that action
log_index                 | integer? |      | log index of its PositionChanged
outcome                   | text     |      | what became of the position under these rules
flagged_at                | time?    | UTC  | time of the last flag; null where it was never flagged
flag_price                | amount?  | QUOTE per base | counterfactual spot price at that flag
recovered_while_flagged   | flag     |      | whether it was at or above maintenance again while flagged
liquidated_at             | time?    | UTC  | time of the counterfactual liquidation; null where there was none
price_historical          | amount?  | QUOTE per base | spot price after the historical liquidation
price_counterfactual      | amount?  | QUOTE per base | spot price after the counterfactual one
closed_size               | amount?  | base | signed size that the counterfactual closed
remaining_historical      | amount?  | QUOTE | margin that the historical liquidation took
remaining_counterfactual  | amount?  | QUOTE | margin that the counterfactual one took
liquidation_fee           | amount?  | QUOTE | to the liquidator in the counterfactual
to_insurance_fund         | amount?  | QUOTE | the rest of the remaining margin
fee_shortfall             | amount?  | QUOTE | part of the fee that the margin did not cover
bad_debt                  | amount?  | QUOTE | loss that the margin did not cover in the counterfactual
loss_difference           | amount   | QUOTE | remaining_historical - remaining_counterfactual; +: these rules leave the trader more
equity_at_end             | amount?  | QUOTE | margin + profit on the curve - funding at the last log, not below 0; null without a position then
max_liquidation_delta     | amount?  | /1   | the limit of a liquidation's price impact under these rules; null: none
max_pd                    | amount?  | /1   | the limit of the premium; null: none
parameters_source         | text     |      | where the limits come from
"""),
)

PATHS = Table(
    "paths",
    ("scenario", "market", "block_number", "log_index"),
    columns("""
scenario                    | text    |      | the rules replayed
market                      | address |      | the market's AMM contract
block_number                | integer |      | of the trade
log_index                   | integer |      | of its PositionChanged or LiquidityChanged
block_time                  | time    | UTC  | timestamp of that block
spot_price                  | amount  | QUOTE per base | in history, after that log
quote_reserve               | amount  | QUOTE | in history
base_reserve                | amount  | base | in history
counterfactual_spot_price   | amount  | QUOTE per base | under these rules
counterfactual_quote_reserve | amount | QUOTE | under these rules
counterfactual_base_reserve | amount  | base | under these rules
"""),
)

DROPPED = Table(
    "dropped",
    ("scenario", "block_number", "log_index"),
    columns("""
scenario         | text    |      | the rules replayed
market           | address |      | the market's AMM contract
block_number     | integer |      | block of the trader's action in history
log_index        | integer |      | log index of that action
transaction_hash | hash    |      | transaction of that action
trader           | address |      | whose action
action           | text    |      | margin, adjust, close or trade
reason           | text    |      | why it cannot be executed under these rules
"""),
)

SWEEP = Table(
    "sweep",
    ("flag_rule", "max_liquidation_delta", "max_pd", "verdict"),
    columns("""
flag_rule             | text    |      | index: by the index price; v1: every historical liquidation taken as flaggable
max_liquidation_delta | amount  | /1   | the limit of one liquidation's price impact
max_pd                | amount  | /1   | the limit of the premium
verdict               | text    |      | what the guards would have done
liquidations          | integer |      | how many liquidations have this verdict
notional              | amount  | QUOTE | what their closes fetched or cost
remaining_margin      | amount  | QUOTE | what was left of their margins
"""),
)
