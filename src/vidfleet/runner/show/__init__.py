"""What people see of runs: the display while one goes on, the plan before it, the report behind it."""
