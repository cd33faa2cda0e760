"""Liquidation guards: which liquidations SIP-2005 (Synthetix Perps V2) lets through, exactly as its text or the deployed contracts have it."""
