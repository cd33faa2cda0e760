"""Where liquidations come from: one shelf a protocol. Each turns its events into the liquidations table."""
