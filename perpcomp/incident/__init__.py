"""The incident file: one module per table of it, with its keys, its Struct and its reading."""
