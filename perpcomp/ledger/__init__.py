"""The ledger of adjustments: lines that are only appended, each sealed by the hash of the line before."""
