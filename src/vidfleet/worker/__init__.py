"""One lane: a process that is bound to one device and runs one attempt at a time."""
