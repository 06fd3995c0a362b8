"""Cutting out of any text what would open a door: the query of a URL, and userinfo."""

import re

# Greedy up to white space or a quote: too much cut is a nuisance, too little a leak.
_URL = re.compile(r"""(?i)\b(https?|s3)://([^\s"'<>?#]*)([?#][^\s"'<>]*)?""")
_USERINFO = re.compile(r"^[^/@]*@")


def redact(text: str) -> str:
    """`text` with every URL in it cut down to scheme, host and path."""
    return _URL.sub(_cut, text) if "://" in text else text


def _cut(match: re.Match[str]) -> str:
    scheme, place, query = match.groups()
    return f"{scheme}://{_USERINFO.sub('', place)}{'?…' if query else ''}"
