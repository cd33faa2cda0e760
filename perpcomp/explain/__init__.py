"""One trader or transaction, from log to claim, as arithmetic."""
