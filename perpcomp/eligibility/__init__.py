"""Who is in; and for each one left out, why."""
