"""Who speaks in a film: one video in, the folders pyavi, pyframes, pywork and pycrop out."""
