"""Networks whose graphs are built here, from weights that others published."""
