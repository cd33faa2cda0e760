"""The tables of the liquidation guards."""

from perpcomp.tables.liquidations import LIQUIDATION
from perpcomp.tables.schema import LOG_KEY, Table, columns

VERDICTS = Table(
    "verdicts",
    LOG_KEY,
    LIQUIDATION
    + columns("""
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
    columns("""
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
    columns("""
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
    columns("""
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
    columns("""
flag_rule             | text    |      | index, or v1: every historical liquidation taken as flaggable
max_liquidation_delta | amount  | /1   | the limit of one liquidation's price impact
max_pd                | amount  | /1   | the limit of the premium
verdict               | text    |      | what the guards would have done
liquidations          | integer |      | how many
notional              | amount  | USDC | what their closes fetched or cost
remaining_margin      | amount  | USDC | what was left of their margins
"""),
)
