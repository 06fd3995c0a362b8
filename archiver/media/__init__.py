"""What the bytes are: type, completeness and dimensions, walked while they stream by.

No decoding: the walk is cheaper than any decoder's check and finds more cuts (a PNG without its
last byte passes Pillow's `verify` and `load`). What no walk can find is a changed byte inside the
compressed data of a JPEG, WebP or GIF; those formats carry no checksum.
"""

from archiver.media.verdict import Flaw, Media
from archiver.media.walker import Walker

__all__ = ["Flaw", "Media", "Walker"]
