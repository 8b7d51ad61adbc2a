"""One run: discover, plan, execute, record, report."""
