"""Previews, made by processes of their own: a picture may harm what decodes it, and nobody else.

`pool` is the archive's side. What stands below `child` is imported by no process but that one.
"""
