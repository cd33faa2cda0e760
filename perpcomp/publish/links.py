"""Where a transaction can be looked at: one public explorer a chain."""

EXPLORERS = {
    1: "https://etherscan.io",
    10: "https://optimistic.etherscan.io",
    100: "https://gnosisscan.io",
    8453: "https://basescan.org",
    42161: "https://arbiscan.io",
}


def of_transaction(chain: int, transaction: str) -> str:
    """The address of a transaction's page; "" where no explorer of the chain is known."""
    return f"{EXPLORERS[chain]}/tx/{transaction}" if chain in EXPLORERS else ""
