"""Which video comes next, on which lane, and when all will be through."""
