"""The targets, one in each file: `TARGET`."""
