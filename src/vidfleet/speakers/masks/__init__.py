"""Faces followed by their pixels: where boxes cross, break off or jump, masks tell who is who."""
