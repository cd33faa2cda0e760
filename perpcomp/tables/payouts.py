"""The tables of payouts and claims."""

from perpcomp.tables.schema import Table, columns

PAYOUTS = Table(
    "payouts",
    ("trader", "token"),
    columns("""
trader            | address |      | who is paid
token             | text    |      | the token that is paid
formula           | text    |      | the formula that gave the entitlement
liquidations      | integer |      | compensated liquidations of the trader
entitlement       | amount  | USDC | what the formula gives this trader, all tokens together: the sum of the liquidations that can be valued
share_of_budget   | amount? | /1   | share of all entitlements: entitlement / sum of entitlements, truncated; null where the sum is 0. No budget is involved, whatever the name says
value             | amount  | PAID | this token's part of the entitlement, at the price of [quote] where there is one
price             | amount  | PAID per token | price at which the value is converted
amount            | amount  | token | what is paid
amount_base_units | digits  | base units | the amount as a whole number of base units: this is what is transferred
rounded_off       | amount  | PAID | the part of value that is less than one base unit
reason            | text?   |      | why the amount is 0; null otherwise
"""),
)

CLAIMS = Table(
    "claims",
    ("trader", "token", "tranche"),
    columns("""
trader            | address  |      | who may claim
token             | text     |      | the token that is claimed
tranche           | integer  |      | 0 is the upfront part
unlocks_at        | time     | UTC  | when the tranche unlocks; where unlocks_at_block is given, an estimate from the stated seconds a block
unlocks_at_unix   | integer  | s    | unlocks_at in unix seconds
unlocks_at_block  | integer? |      | the block that binds, where the vesting is counted in blocks
amount            | amount   | token | what this tranche unlocks
amount_base_units | digits   | base units | the amount as a whole number of base units
cumulative        | amount   | token | unlocked by this tranche and all before it
"""),
)
