"""Cutting out of any text what would open a door: the query of a URL, and userinfo."""

import re

# No sentence of ours is longer, and nobody's is worth more of a search for secrets.
MAX_CHARACTERS = 2000

# Greedy up to white space or a quote: too much cut is a nuisance, too little a leak. No \b before
# the scheme, for in a script without spaces the word before it would hide the URL; and slashes may
# be escaped, as in JSON within a message.
_URL = re.compile(r"""(?i)([a-z][a-z0-9+.-]{0,15})(:\\?/\\?/)([^\s"?#]*)([?#][^\s"]*)?""")
_USERINFO = re.compile(r"^[^/]*@")

# Half a URL, an escaped one, or one with a space in its path still shows its signature.
_SIGNED = re.compile(
    r"""(?i)(\?|&|%3f|%26|\\u003f|\\u0026)[^\s"]*?"""
    r"""(?:signature|x-(?:amz|goog|oss|tos)-|sig=|token=|expires=|accesskeyid)[^\s"]*"""
)


# Most texts hold nothing that either pattern could begin with.
_SUSPECT = re.compile(r"[:?&%\\]")


def redact(text: str) -> str:
    """At most `MAX_CHARACTERS` of `text`, with every URL cut down to scheme, host and path."""
    text = text[:MAX_CHARACTERS]
    if _SUSPECT.search(text) is None:
        return text
    return _SIGNED.sub(r"\1…", _URL.sub(_cut, text))


def _cut(match: re.Match[str]) -> str:
    scheme, slashes, place, query = match.groups()
    return f"{scheme}{slashes}{_USERINFO.sub('', place)}{'?…' if query else ''}"
