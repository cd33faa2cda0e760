"""The tables for a decision before a vote: comparison, capacity, restoring, findings."""

from perpcomp.tables.schema import LOG_KEY, Table, columns

COMPARISON = Table(
    "comparison",
    ("trader", "formula"),
    columns("""
trader         | address  |      | eligible trader
formula        | text     |      | an installed formula
amount         | amount?  | QUOTE | what the formula gives: the sum of the liquidations that can be valued; null where none can
recovery_ratio | amount?  | /1   | amount / loss at the reference price, truncated; null without a loss, where a liquidation cannot be valued, or where it is 1e20 or more
rank           | integer? |      | 1 is the largest amount under this formula; null where a liquidation of the trader cannot be valued
"""),
)

CAPACITY = Table(
    "capacity",
    ("formula", "source_of_funds"),
    columns("""
formula         | text    |      | an installed formula
source_of_funds | text    |      | insurance fund, or the name of a budget
token           | text    |      | the token that it holds
available       | amount  | token | the fund's balance when the window ends, or the budget
price           | amount  | PAID per token | the settlement's price of that token; of the insurance fund's, what [quote] says; 1 for the asset of these prices
available_value | amount  | PAID | available * price, truncated
total           | amount  | PAID | what the formula gives in all: the sum of the liquidations that can be valued
unknown         | integer |      | traders with a liquidation that cannot be valued: total is incomplete
to_cover        | amount  | PAID | of total, what is settled in this token; all of it for the insurance fund, and for the asset of the prices where nothing is settled in it
covered         | amount? | /1   | the part of to_cover that is available, truncated, at most 1; null where there is nothing to cover, or where the total is incomplete and its known part is covered
shortfall       | amount  | PAID | to_cover - available_value, not below 0
left            | amount  | PAID | available_value - to_cover, not below 0
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
size              | amount? | base | signed size to restore; null where the open notional is unknown
open_notional     | amount? | QUOTE | open notional to restore
margin_to_restore | amount? | QUOTE | margin_at_reference - funding_at_reference, not below 0
turn              | integer? |     | position in the order of [restore]; null without [restore] and in the order each-alone
quote_reserve     | amount? | QUOTE | the pool before the opening; null without [restore]
base_reserve      | amount? | base | the same pool
restore_notional  | amount? | QUOTE | the notional that opening the whole size moves
restore_fee       | amount? | QUOTE | the trading fee of that
"""),
)

RESTORE_ORDERS = Table(
    "restore-orders",
    ("market", "order"),
    columns("""
market           | address |      | the market's AMM contract
market_name      | text    |      | as the incident file names it
order            | text    |      | each-alone, as-liquidated, largest-first or smallest-first
chosen           | flag    |      | whether [restore] states this order
positions        | integer |      | positions opened again
restore_notional | amount  | QUOTE | the notional that the openings move, summed
restore_fee      | amount  | QUOTE | the trading fees of that
entitlement      | amount  | QUOTE | what the restore-position formula gives in all, less what was received already
largest_change   | amount  | QUOTE | the largest gain or loss of one trader against each-alone
spot_before      | amount  | QUOTE per base | spot price of the pool before
spot_after       | amount  | QUOTE per base | spot price after all openings; in the order each-alone, spot_before
"""),
)

EXCLUSIONS = Table(
    "exclusions",
    ("address",),
    columns("""
address      | address |      | the account that the incident file excludes
reason       | text    |      | why, by the incident file
evidence     | text    |      | what shows it, by the incident file
logs         | integer |      | events of this account in the input; 0: the exclusion meets nobody
liquidations | integer |      | its liquidations in the window and in an affected market
kept_back    | amount? | QUOTE | what the formula would give it if nobody were excluded; null where that cannot be valued
"""),
)

FINDINGS = Table(
    "findings",
    ("number",),
    columns("""
number     | integer |  | in the order found
level      | text    |  | note, warning or error
code       | text    |  | the kind of finding, e.g. budget-exceeded
stops      | flag    |  | true: no payment may be made until it is resolved
where      | text    |  | file:row or transaction:log
what       | text    |  | what was found
what_to_do | text?   |  | what to do about it; null where there is nothing to say
"""),
)

DIFFERENCES = Table(
    "differences",
    ("option", "trader"),
    columns("""
option     | text    |      | a formula or rule other than the one that pays
trader     | address |      | eligible trader; who has an unknown amount under one of the two has no row
difference | amount  | QUOTE | what it gives less what the one that pays gives: exact, then truncated
exact      | text    | 1e-18 QUOTE | the same, exact: a whole number or a fraction
"""),
)

PREFERENCES = Table(
    "preferences",
    ("option", "other"),
    columns("""
option           | text    |      | a formula or rule
other            | text    |      | another one
prefer           | integer |      | traders who get more under option than under other, by exact amounts
prefer_other     | integer |      | traders who get more under other
indifferent      | integer |      | traders who get the same; traders of whom one amount is unknown are in none of the three
money_moved      | amount  | QUOTE | what those who prefer option get more under it, added up and truncated
money_moved_back | amount  | QUOTE | what those who prefer other get more under that, added up and truncated
"""),
)

ELECTIONS = Table(
    "elections",
    ("voting_type", "option"),
    columns("""
voting_type | text   |       | a voting type of Snapshot: single-choice, approval, ranked-choice, copeland or weighted
option      | text   |       | a formula or rule that may be paid
score       | amount | votes | what it would get if every trader voted for the own payout, truncated
elected     | flag   |       | whether no other option has a higher score; several where they tie
elected_in_reverse | flag | | the same where a trader ranks equal payouts in the reverse order of names: another result says that equal payouts decide
"""),
)

FAIRNESS = Table(
    "fairness",
    ("option",),
    columns("""
option                  | text     |      | a formula or rule
traders                 | integer  |      | eligible traders
total                   | amount   | QUOTE | what it gives in all, truncated
recovery_min            | text?    | /1   | the smallest amount / loss of a trader with a loss, as a fraction; null where an amount or loss is unknown
recovery_median         | text?    | /1   | the middle one; of an even number, the mean of the middle two
recovery_max            | text?    | /1   | the largest one: above 1 somebody is paid more than the loss
total_recovery          | text?    | /1   | total / the sum of all losses, as a fraction
paid_above_loss         | integer? |      | traders who are paid more than they lost
gini                    | text?    | /1   | 0 where all are paid the same, near 1 where one has it all, as a fraction; null where a total is 0, or an amount unknown or below 0
top_1                   | text?    | /1   | share of the largest amount in the total, as a fraction
top_2                   | text?    | /1   | share of the 2 largest
top_10                  | text?    | /1   | share of the 10 largest
envy_pairs              | integer? |      | pairs of traders who lost the same and get different amounts
equal_pairs             | integer? |      | pairs of traders who lost the same
envy_examples           | text?    | QUOTE | up to three of them, with the largest differences
monotonicity_violations | integer? |      | pairs of traders of whom one lost more and gets less
ordered_pairs           | integer? |      | pairs of traders of whom one lost more
monotonicity_examples   | text?    | QUOTE | up to three of them, with the largest differences
why_not                 | text?    |      | why a figure is null
"""),
)

SENSITIVITY = Table(
    "sensitivity",
    ("number",),
    columns("""
number    | integer  |      | of the row: by market, kind and price
option    | text     |      | the formula or rule that pays
market    | text     |      | the market whose reference price changes, the others staying
kind      | text     |      | class: how the option follows the price; segment: the total between two prices; jump; elasticity at the reference price; budget: prices at which the total meets it; break-even: where a trader's sum leaves 0; order-change: where two traders change their order; not-listed
price     | text?    | QUOTE per base | where it happens, or begins; a fraction
to        | text?    | QUOTE per base | where it ends; null where it does not
ends      | text?    |      | [ or ] where the price at that end belongs to it, ( or ) where not
intercept | text?    | QUOTE | of a segment: the total is intercept + slope * price, without the cut of each liquidation to 1e-18; of a jump: the value at the price; of elasticity: its figure
slope     | text?    | base | of a segment
trader    | address? |      | who is concerned
other     | address? |      | of an order-change: who gets more below the price, where trader gets more above it
text      | text?    |      | the class with its reason, the budget, or what happens
"""),
)
