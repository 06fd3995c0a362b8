"""The front wing: is it real, what does it say, and who runs where."""
