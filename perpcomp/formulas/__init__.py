"""How much: one small file a formula. Its docstring quotes the text it implements; pyproject.toml names it as an entry point."""
