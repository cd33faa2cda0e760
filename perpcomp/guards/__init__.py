"""Liquidation guards: SIP-2005's rules exactly as its text or the deployed contracts have them; crash/ asks them of Perp V1's history."""
