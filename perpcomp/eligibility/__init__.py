"""Who is compensated, and the reason for everybody who is not."""
