"""Submitting: rows of a batch, each sent once, journalled before and after, within limits.

`batch` reads rows; `entries` says how each stands by the `journal`; `limits` when the next may go,
by what `past` knows was done; `outcome` what an answer means. `posting` sends and records,
`sending` a row; `desk` does it row after row, `doubt` settles what was never answered, `lookout`
follows what was submitted through the catalog, and `board` has how it is shown.
"""
