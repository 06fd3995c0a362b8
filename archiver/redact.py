"""Cutting out of any text what would open a door: a URL's query and user, keys, tokens, signatures.

Too much cut is a nuisance, too little a leak. What is found here has the shape of a secret, or
stands behind the name of one; a secret that is known can also be cut out by its value (`log`).
"""

import re

# No sentence of ours is longer, and nobody's is worth more of a search for secrets.
MAX_CHARACTERS = 2000

# Greedy up to white space or a quote. No \b before the scheme, for in a script without spaces the
# word before it would hide the URL; and slashes may be escaped, as in JSON within a message.
_URL = re.compile(r"""(?i)([a-z][a-z0-9+.-]{0,15})(:\\?/\\?/)([^\s"?#]*)([?#][^\s"]*)?""")
_USERINFO = re.compile(r"^[^/]*@")

# Half a URL, an escaped one, or one with a space in its path still shows its signature.
_RUN = re.compile(r"""[^\s"]+""")
_OPENING = re.compile(r"(?i)\?|&|%3f|%26|\\u003f|\\u0026")
_SIGNING = re.compile(r"(?i)signature|x-(?:amz|goog|oss|tos)-|sig=|token=|expires=|accesskeyid")

# How a header is called whose value is a secret, and how a field or a setting. Of `key` alone, a
# word of many meanings, only a field of JSON.
_HEADER = r"authorization|cookie|(?:[a-z0-9]+-)+(?:key|token|secret|signature)"
_FIELD = (
    r"secret|passw(?:or)?d|token|signature|credentials?"
    r"|(?:api|access|private|signing)[_ ]?key(?:_?id|_?secret)?"
)
SECRET_NAME = re.compile(rf"(?i)[a-z0-9_-]*(?:{_HEADER}|{_FIELD})s?|keys?")

# A value ends with its quote, or else with white space, but for a scheme's name before it. In a
# sentence, "the token: add one", a value without quotes has a digit or it is just the next word.
_QUOTE = r"""\\{0,8}["']"""
_NAMED = re.compile(
    rf"""(?ix)
    (   (?<![a-z0-9_-]) [a-z0-9_-]{{0,40}}
        (?: (?:{_HEADER}) \s*[:=]\s*
        |   (?:{_FIELD}) (?: \s*=\s* | :(?=\S) | :\s+ (?= {_QUOTE} | [^\s/\[({{]\S*\d) )
        |   (?:{_HEADER}|{_FIELD}) {_QUOTE}\s*[:=,]\s*
        )
    |   {_QUOTE}key{_QUOTE}\s*:\s*
    )
    (?: (b?)({_QUOTE}).+?(?=\3|$) | (?:(?:bearer|basic|digest)\s+)?[^\s"',;&}}\\)\]…]+ )
    """
)
_COOKIES = re.compile(r"""(?i)(cookie\\{0,8}["']?\s*:\s*)[^"'\r\n]+""")
_BEARER = re.compile(r"(?i)\b(bearer )[a-z0-9._~+/=-]{8,}")

# Secrets that are known by how they begin: providers' keys, signatures, cloud keys, JWTs.
_SHAPED = re.compile(
    r"(?<![A-Za-z0-9])(sk-|whsec_|sha256=(?=[0-9a-fA-F]{64})|AKIA|ASIA|LTAI|eyJ)"
    r"[A-Za-z0-9+/=._-]{8,}"
)
# The unguessable ends of our own paths.
_PATH = re.compile(r"""(/webhooks/[a-z]+/|/gateway/(?=[^/\s"']{16}))[^/\s"'?]+""")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END[A-Z -]*|\Z)", re.DOTALL)

# Most texts hold nothing that any of these could begin with.
_SUSPECT = re.compile(
    r"""[:=?&%\\]|["'],|(?i:bearer )|sk-|whsec_|AKIA|ASIA|LTAI|eyJ|/webhooks/|/gateway/"""
)


def redact(text: str) -> str:
    """At most `MAX_CHARACTERS` of `text`, each secret in it cut down to an ellipsis.

    Of a URL scheme, host and path stay; of whatever else has a name, the name.
    """
    text = _PEM.sub("…", text)[:MAX_CHARACTERS]
    if _SUSPECT.search(text) is None:
        return text
    text = _RUN.sub(_unsigned, _URL.sub(_cut, text))
    text = _NAMED.sub(r"\1\2\3…", _COOKIES.sub(r"\1…", text))
    return _PATH.sub(r"\1…", _SHAPED.sub(r"\1…", _BEARER.sub(r"\1…", text)))


def redact_lines(text: str) -> str:
    """A text of any length, such as a traceback, each line of it as `redact` has it."""
    return "\n".join(map(redact, _PEM.sub("…", text).split("\n")))


def _cut(match: re.Match[str]) -> str:
    scheme, slashes, place, query = match.groups()
    return f"{scheme}{slashes}{_USERINFO.sub('', place)}{'?…' if query else ''}"


def _unsigned(match: re.Match[str]) -> str:
    run = match[0]
    opening = _OPENING.search(run)
    if opening is None or _SIGNING.search(run, opening.end()) is None:
        return run
    return f"{run[: opening.end()]}…"
