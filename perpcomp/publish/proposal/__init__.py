"""The proposal for a vote: a text within Snapshot's limits, its choices, the typed data to sign, and the calls of a Governor."""

from perpcomp.publish.proposal.content import CONTENT, GOVERNOR, PAGE, proposal

__all__ = ["CONTENT", "GOVERNOR", "PAGE", "proposal"]
