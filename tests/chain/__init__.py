"""A chain of the real contracts, run on this machine, and a proxy that makes its node lie.

`node.py` installs node and contracts, `anvil.py` runs a chain, `rpc.py` speaks to it, `blocks.py` mines it block by block. Perpetual
Protocol V1: `world.py` deploys it, `crash.py` trades on it, `traded.py` is what that leaves. Synthetix Perps V2: `perps_v2.py` deploys
it, `perps_v2_crash.py` trades on it, `perps_v2_rules.py` follows its calls by perpcomp's rules. `faults.py`, `refusals.py` and `fork.py`
are what can go wrong with a node, `proxy.py` puts them between a client and the chain.
"""
