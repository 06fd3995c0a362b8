"""The back wing: draws a picture here when the provider failed.

Nothing draws yet. Failed generations wait in the catalog as ``render`` jobs, ``held: no renderer``,
with everything a renderer will need, so none of them is lost by waiting.
"""
