"""Cutting out of any text what would open a door: the query of a URL, and userinfo."""

import re

# Greedy up to white space or a quote: too much cut is a nuisance, too little a leak. No \b before
# the scheme, for in a script without spaces the word before it would hide the URL; and slashes may
# be escaped, as in JSON within a message.
_URL = re.compile(r"""(?i)(https?|s3)(:\\?/\\?/)([^\s"'<>?#]*)([?#][^\s"'<>]*)?""")
_USERINFO = re.compile(r"^[^/]*@")


def redact(text: str) -> str:
    """`text` with every URL in it cut down to scheme, host and path."""
    return _URL.sub(_cut, text)


def _cut(match: re.Match[str]) -> str:
    scheme, slashes, place, query = match.groups()
    return f"{scheme}{slashes}{_USERINFO.sub('', place)}{'?…' if query else ''}"
