"""A chain of the real contracts, run on this machine, and a proxy that makes its node lie.

`node.py` installs node and contracts, `anvil.py` runs a chain, `rpc.py` and `world.py` speak to it, `crash.py` and `later.py` trade on
it. `faults.py`, `refusals.py` and `fork.py` are what can go wrong with a node, `proxy.py` puts them between a client and the chain.
"""
