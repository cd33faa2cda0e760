"""The sections of the report, one module each: from a run to words, figures and tables."""
