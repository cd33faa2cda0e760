"""Benches: what speed and memory are promised, measured beside the peers in the same run. `make bench` or `python -m tests.bench`."""
