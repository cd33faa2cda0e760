"""The tables of payouts and claims."""

from perpcomp.tables.schema import Table, columns

PAYOUTS = Table(
    "payouts",
    ("trader", "token"),
    columns("""
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
    columns("""
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
