"""Liquidation guards of SIP-2005: its rules, a verdict on each historical liquidation, and Perp V1's history executed again under them."""
