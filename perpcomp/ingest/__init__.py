"""From files (and, when a puller stands beside this, from the chain) to raw logs to decoded events.

`logs.py` reads eth_getLogs rows into a raw frame, `decode.py` turns the raw rows of one event into typed columns. Which events there
are is said by the protocol in `systems/`.
"""
