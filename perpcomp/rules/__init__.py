"""Named rules as data: a base, ordered steps, at most one allocation; applied to whole columns, printed as one sentence."""
