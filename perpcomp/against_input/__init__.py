"""The incident file against its input: names that meet nothing, and statements that the logs contradict."""
