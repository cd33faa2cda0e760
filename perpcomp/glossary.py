"""The words of the field, each explained once. The guide to the results prints them, and so does whatever else needs a glossary."""

GLOSSARY = {
    "account": "An address that trades. One person can have several, and one account can hold a position in each market.",
    "bad debt": "What a liquidated position owed beyond its margin. The protocol's insurance fund bears it.",
    "base, quote": "What a market trades (base, such as BTC), and the asset in which its prices, margins and profits are counted (quote).",
    "base unit": "The smallest unit of a token, which a transfer counts: a token of 18 decimals has 10^18 of them, one of 6 decimals 10^6.",
    "block": "The step in which a chain moves. Everything in one block has one time.",
    "claim": "What an account may take out of a payout at a date or block.",
    "coverage": "From which block to which the input reaches, and what shows it.",
    "curve": "The constant product of an AMM's pool. It fixes the price of every trade: quote reserve * base reserve stays the same.",
    "entitlement": "What a formula gives a trader, in the quote asset, before it is converted into tokens.",
    "era": "Which code of the contracts ran. It decides what an event's numbers mean.",
    "finding": "Something about the input that a voter should check. An error stops or corrects a payment, a warning may change one.",
    "formula": "How much one liquidation is paid. It never says who.",
    "funding payment": "What longs pay shorts, or shorts longs, from time to time, so that the market's price follows the index.",
    "Gini": "How unequal payouts are: 0 where all get the same, near 1 where one account gets all.",
    "incident file": "The facts and policies of one crash: contracts, markets, window, formula, tokens, vesting, each with its source.",
    "index price": "The price of the underlying on other exchanges, as the protocol's oracle reports it.",
    "insurance fund": "The protocol's own money for bad debt.",
    "kink": "A price at which the line of a total bends, because an account begins or ceases to get something there.",
    "life": "A position from its opening to its end. A trader who opens again in the same market begins a second life.",
    "liquidation": "The forced closing of a position whose margin ratio is too low, in whole or in part.",
    "log": "What a contract writes into a block. Every number here comes from logs.",
    "maintenance margin": "The margin ratio below which a position may be liquidated.",
    "margin": "The money that a trader puts in and can lose.",
    "margin ratio": "Margin plus profit less funding, over the position's notional.",
    "notional": "What a position is worth in the quote asset: its size times a price, or what closing it on the curve would move.",
    "open notional": "What was paid for a position's size when it was opened and changed.",
    "payee": "Who receives the tokens: the trader, or whom the incident file names for the trader.",
    "reference price": "The one price at which all positions of a market are valued.",
    "recovery ratio": "What a formula gives a trader, over what the trader lost at the reference price.",
    "spot price": "The pool's price: quote reserve / base reserve.",
    "tranche": "The part of a payout that unlocks at one date or block.",
    "TWAP": "The average of a price over a time, here 15 minutes, each price weighted by how long it stood.",
    "UPL": "Unrealized profit or loss: what closing a position would have gained or lost.",
    "vesting": "The plan by which a payout unlocks.",
    "wei": "The smallest unit of 18 decimals. All sums are exact to it.",
    "window": "The time or blocks in which a liquidation counts. Its start is inside, its end outside.",
}


def in_markdown() -> str:
    """The glossary as a Markdown list, by alphabet."""
    return "\n".join(f"- **{word}**: {meaning}" for word, meaning in sorted(GLOSSARY.items(), key=lambda entry: entry[0].lower()))
