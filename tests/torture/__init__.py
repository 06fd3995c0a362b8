"""A service that is killed and started again while it works, by numbers of your choice.

`python -m tests.torture` runs it long; the acceptance suite runs the same code short.
"""
