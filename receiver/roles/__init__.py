"""The processes of one service, a file each; each is started as `python -m receiver.roles.NAME`.

A role imports only what it needs, so that the one which must never wait starts first and stays
small. `process` is what they share, `supervisor` keeps them running.
"""
