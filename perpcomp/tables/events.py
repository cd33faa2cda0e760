"""The events table, and the flags table of protocols that flag before they liquidate."""

from perpcomp.tables.schema import LOG_COLUMNS, LOG_KEY, Table, columns

EVENTS = Table(
    "events",
    LOG_KEY,
    LOG_COLUMNS
    + columns("""
system                  | text     |      | protocol and version
kind                    | text     |      | open, increase, reduce, reverse, close, liquidation or partial-liquidation
trader                  | address  |      | whose position it is, not who sent the transaction
market                  | address  |      | the market's AMM contract
margin                  | amount   | QUOTE | margin AFTER the event, funding taken
position_notional       | amount   | QUOTE | quote moved by this event's swap
exchanged_position_size | amount   | base | signed change of the size
fee                     | amount   | QUOTE | trading fee, 0 in a liquidation
position_size_after     | amount   | base | signed size after
realized_pnl            | amount?  | QUOTE | profit realized by this event; null where it cannot be determined from the logs
unrealized_pnl_after    | amount?  | QUOTE | as the contract states it, not the new position's unrealized PnL; null where it states none
bad_debt                | amount?  | QUOTE | what the margin did not cover; null where it cannot be determined from the logs
liquidation_penalty     | amount?  | QUOTE | its meaning depends on the era; null where the protocol has none
spot_price              | amount?  | QUOTE per base | the market's spot price after it: the pool's, or the oracle's where there is no pool; null where none is logged
funding_payment         | amount?  | QUOTE | + the trader paid, - the trader received; null where it cannot be determined from the logs
liquidator              | address? |      | who liquidated; null where it is no liquidation
liquidation_fee         | amount?  | QUOTE | what the liquidator got; null where it is no liquidation
fee_shortfall           | amount?  | QUOTE | part of that fee that the margin did not cover
"""),
)

FLAGS = Table(
    "flags",
    LOG_KEY,
    columns("""
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
flag_price            | amount?  | QUOTE per base | oracle price of the flag
order_deposit         | amount?  | QUOTE | keeper deposit of a waiting order that the flag removed, minted to the flagger; null where no order log of the market is in the input
liquidator            | address  |      | who liquidated
price                 | amount   | QUOTE per base | oracle price of the liquidation
flagger_fee           | amount?  | QUOTE | what the flagger got; null before there were flags
liquidator_fee        | amount   | QUOTE | what the liquidator got; 0 where an endorsed account forced it
stakers_fee           | amount?  | QUOTE | the rest of the margin; null where the event does not say
trader_loss           | amount   | QUOTE | what was left of the margin, all of which the trader lost
debt_pool_loss        | amount   | QUOTE | part of the fees that the margin did not cover
skew_before           | amount?  | base | longs minus shorts just before
funding_entry         | amount   | QUOTE per base | the funding sequence's newest entry
funding_rate          | amount   | /1 a day | the rate then, + longs pay
skew_scale            | amount?  | base | by the last ParameterUpdated before; null where none is in the logs
max_liquidation_delta | amount?  | /1   | by the same
max_pd                | amount?  | /1   | by the same
price_impact          | amount?  | /1   | |size| / skew_scale, truncated
premium               | amount?  | /1   | |skew_before| / skew_scale, truncated
"""),
)
