"""The tables of what became of claims: who claimed what, and what is left for those who did."""

from perpcomp.tables.schema import Table, columns

FOLLOWED = Table(
    "followed",
    ("trader", "token"),
    columns("""
trader          | address |      | who may claim: the trader, or its payee
token           | text    |      | the token that is claimed
amount          | amount  | token | the payout
claimed         | amount  | token | what was claimed by then, from all contracts
claimable       | amount  | token | what can be claimed then: unlocked and not claimed; 0 where claims have ended
unclaimed_since | time?   | UTC  | when the oldest part that waits unlocked; null where nothing waits, or where it unlocked along a line since the last date
last_claim      | time?   | UTC  | when the account claimed last
unlocked        | amount  | token | what has unlocked by then, claimed or not
unclaimed       | amount  | token | the payout less what was claimed
"""),
)

REDISTRIBUTED = Table(
    "redistributed",
    ("trader", "token"),
    columns("""
trader            | address |      | who claimed
token             | text    |      | the token
claimed           | amount  | token | what the account claimed
share             | text    | /1   | its share of all that was claimed, as a fraction of base units
amount            | amount  | token | its part of what nobody claimed: the floor, and one base unit more for the largest remainders
amount_base_units | digits  | base units | the amount as a whole number of base units
"""),
)
