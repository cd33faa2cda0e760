"""Every published table, by subject."""
