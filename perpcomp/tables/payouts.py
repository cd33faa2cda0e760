"""The tables of payouts, payees, claims and what is unlocked. In payouts and claims `trader` is who is paid: the payee, where the incident names one."""

from perpcomp.tables.schema import Table, columns

PAYOUTS = Table(
    "payouts",
    ("trader", "token"),
    columns("""
trader            | address |      | who is paid: the trader, or the payee that the incident names for traders
token             | text    |      | the token that is paid
formula           | text    |      | the formula that gave the entitlement
liquidations      | integer |      | compensated liquidations of the trader, or of all traders whose payee this is
entitlement       | amount  | QUOTE | what the formula gives this trader, or the payee for its traders, all tokens together: the sum of the liquidations that can be valued
share_of_budget   | amount? | /1   | share of all entitlements: entitlement / sum of entitlements, truncated; null where the sum is 0. No budget is involved, whatever the name says
value             | amount  | PAID | this token's part of the entitlement, at the price of [quote] where there is one
price             | amount  | PAID per token | price at which the value is converted
amount            | amount  | token | what is paid
amount_base_units | digits  | base units | the amount as a whole number of base units: this is what is transferred
rounded_off       | amount  | PAID | the part of value that is less than one base unit, below 0 where largest remainder added one; 0 where the address cannot be paid
reason            | text?   |      | why the amount is 0; null otherwise
"""),
)

PAYEES = Table(
    "payees",
    ("payee", "token"),
    columns("""
payee             | address |      | who receives the tokens: a trader, or whom the incident names for traders
token             | text    |      | the token that is paid
traders           | integer |      | traders whose entitlements this payee receives, in whole or in part
account_kind      | text    |      | what stands at the address on the chain that pays: externally-owned, delegated-eoa (EIP-7702), safe, contract; not-checked where nobody looked
payable           | flag    |      | whether the address can be paid at all
value             | amount  | PAID | this token's part of what is owed: amount * price + unpayable + rounded_off, up to the cut of that product
amount            | amount  | token | what is transferred
amount_base_units | digits  | base units | the amount as a whole number of base units: this is what is transferred
unpayable         | amount  | PAID | the value that cannot be paid to this address; the vote must say who receives it
rounded_off       | amount  | PAID | the part of value that is less than one base unit, below 0 where largest remainder added one
reason            | text?   |      | why the amount is 0; null otherwise
"""),
)

REDIRECTED = Table(
    "redirected",
    ("trader", "payee"),
    columns("""
trader      | address |      | whose entitlement it is
payee       | address |      | who is paid for it
share       | text    | /1   | the payee's share of the trader's entitlement, as a fraction
entitlement | amount  | QUOTE | that share of the entitlement, all tokens together
reason      | text    |      | why this payee is paid
evidence    | text?   |      | what shows the reason
source      | text    |      | keys of [sources] of the incident file
"""),
)

ADJUSTED = Table(
    "adjusted",
    ("number",),
    columns("""
number      | integer |      | 1, 2 …: adjustments are applied in this order
trader      | address |      | whose entitlement is corrected
kind        | text    |      | add, deduct, set or scale
stated      | amount? | QUOTE | the amount that is added, deducted or set
factor      | text?   | /1   | the share of the entitlement that stays, where it is scaled
before      | amount  | QUOTE | the entitlement before, all tokens together
change      | amount  | QUOTE | after - before
after       | amount  | QUOTE | the entitlement after
reason      | text    |      | why
evidence    | text    |      | what shows the reason
author      | text    |      | who asked for it
ruling      | text    |      | who decided it, and where that is written
date        | time    | UTC  | when it was decided
place       | text    |      | where it is written: the entry of the incident file, or the row of the ledger
source      | text    |      | keys of [sources] of the incident file
"""),
)

_TRANCHE = """
tranche           | integer  |      | 0 is the upfront part
unlocks_at        | time     | UTC  | when the tranche unlocks; where unlocks_at_block is given, an estimate from the stated seconds a block
unlocks_at_unix   | integer  | s    | unlocks_at in unix seconds
unlocks_at_block  | integer? |      | the block that binds, where the vesting is counted in blocks
amount            | amount   | token | what this tranche unlocks
amount_base_units | digits   | base units | the amount as a whole number of base units
cumulative        | amount   | token | unlocked by this tranche and all before it
"""

CLAIMS = Table(
    "claims",
    ("trader", "token", "tranche"),
    columns(
        """
trader            | address  |      | who may claim: the trader, or its payee
token             | text     |      | the token that is claimed
"""
        + _TRANCHE.lstrip()
    ),
)

SCHEDULE = Table("schedule", ("tranche",), columns(_TRANCHE))

UNLOCKED = Table(
    "unlocked",
    ("trader", "token"),
    columns("""
trader              | address |      | who may claim: the trader, or its payee
token               | text    |      | the token that is claimed
unlocked            | amount  | token | what has unlocked by then, claimed or not
unlocked_base_units | digits  | base units | the same as a whole number of base units
locked              | amount  | token | what unlocks later
transferable        | amount  | token | what can be transferred by then at best: claimed as soon as it unlocked, into the shortest lock where claims are locked
"""),
)

RULE_STEPS = Table(
    "rule-steps",
    ("rule", "step", "trader"),
    columns("""
rule        | text    |      | the rule that pays, or that pays one token
step        | integer |      | 0 is the rule's base; then its steps in order
trader      | address |      | the trader; the payee from address-remap on
kind        | text    |      | base, or the kind of the step
before      | amount? | QUOTE | the amount before the step, cut down; null for the base, and for a payee who had none
after       | amount  | QUOTE | the amount after the step, cut down
after_exact | text    | 1e-18 QUOTE | the same, exact: a whole number or a fraction
reason      | text?   |      | why the step changed this amount, where it did not change all alike
"""),
)
