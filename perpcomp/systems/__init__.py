"""One folder a protocol, and the interface that each gives (system.py)."""
