"""Liquidation guards: SIP-2005's rules exactly as its text or the deployed contracts have them, and what they would have done on Perp V1."""
