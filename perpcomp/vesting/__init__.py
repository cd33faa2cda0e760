"""From payouts to tranches."""
