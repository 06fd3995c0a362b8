"""Knowing that nothing is being lost, and getting everything back when something was."""
