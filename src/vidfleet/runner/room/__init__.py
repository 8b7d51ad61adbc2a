"""How many attempts have room at a time: on a GPU, and in the memory of the machine."""
