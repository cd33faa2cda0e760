"""Liquidation guards (SIP-2005): which liquidations they would have held back."""
