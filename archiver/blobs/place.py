"""Where a bucket is, by its URL; whoever only asks that loads no driver."""

from urllib.parse import SplitResult, unquote, urlsplit

from archiver.errors import ConfigError


def place_of(url: str) -> SplitResult:
    """A bucket's URL taken apart; raises ConfigError for one that no bucket can have."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError("bucket.url is no URL: a bracket in it has no other") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError("bucket.url takes no credentials and no parameters, only a place")
    folder = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
    if not (folder or (parts.scheme == "s3" and parts.netloc)) or "\0" in unquote(parts.path):
        raise ConfigError(
            f"bucket.url is {url!r}, but must be file:///absolute/folder or s3://name[/prefix]"
        )
    return parts
