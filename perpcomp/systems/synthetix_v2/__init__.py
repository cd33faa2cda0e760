"""Synthetix Perps V2."""
