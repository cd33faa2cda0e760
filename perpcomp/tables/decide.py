"""The tables to look at before a vote: comparison, capacity, restoring, findings."""

from perpcomp.tables.schema import LOG_KEY, Table, columns

COMPARISON = Table(
    "comparison",
    ("trader", "formula"),
    columns("""
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
    columns("""
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
    LOG_KEY,
    columns("""
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
    columns("""
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

FINDINGS = Table(
    "findings",
    ("number",),
    columns("""
number     | integer |  | in the order found
level      | text    |  | note, warning or error
code       | text    |  | the kind of finding, e.g. budget-exceeded
stops      | flag    |  | true: nothing may be paid while it stands
where      | text    |  | file:row or transaction:log
what       | text    |  | what was found
what_to_do | text    |  | what to do about it
"""),
)
