"""Where lanes are: on this machine, or elsewhere."""
