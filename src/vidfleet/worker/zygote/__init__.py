"""A Python that stops just before its script, loads what the script will load, and goes on in forks of itself.

Standard library only: any Python 3.8 runs it. The interpreter finds ``sitecustomize`` through PYTHONPATH while it
starts, the one moment at which everything is set up and the script has not begun; what returns from there is a fork,
and the interpreter itself runs the script in it, as it would have without us. Not imported by vidfleet itself.
"""
