"""The what-if on Perp V1's history: its actions executed again under other liquidation rules."""
