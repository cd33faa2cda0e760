"""Guards like SIP-2005's on the history of Perp V1: each liquidation judged where it stood, and the crash executed again under them."""
