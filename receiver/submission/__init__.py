"""Submitting: rows of a batch, each sent once, journalled before and after, within limits.

`batch` reads rows; `entries` says how each stands by the `journal`; `limits` when the next may go;
`outcome` what an answer means. `exchange` sends and records; `desk` does it row after row, `doubt`
settles what was never answered, and `watch` follows what was submitted through the catalog.
"""
