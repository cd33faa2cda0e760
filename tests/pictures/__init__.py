"""Pictures of what a run publishes, for people to look at; `python -m tests.pictures` takes them again."""
