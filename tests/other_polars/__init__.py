"""Every row hash of three runs under another minor version of Polars: `make other-polars`."""
