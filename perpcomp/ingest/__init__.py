"""From files, exports and nodes to raw logs, and from raw logs to decoded events.

`raw_frame.py` is the one form of raw logs: `log_file.py` reads it from a file, `exports/` from other tools' exports, `node/` from a
chain. `consistency.py` checks an input as a whole, `proof/` proves that no log is missing, `decode.py` makes typed columns of the rows
of one event. The protocols in `systems/` say which events there are.
"""
