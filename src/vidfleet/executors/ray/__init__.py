"""Lanes on a Ray cluster: an actor for each, that holds the worker which a lane of this machine has."""
