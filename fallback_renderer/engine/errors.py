"""Why nothing was drawn, whose trouble that is, and whether trying again helps."""

from archiver.errors import HoldfastError


class EngineError(HoldfastError):
    """Nothing was drawn. What else drawing raises is a bug of ours, or of the caller's making."""


class CheckpointError(EngineError):
    """The checkpoint cannot be loaded: the operator's to mend, trying again is useless."""


class PictureError(EngineError):
    """The picture to begin with, or its mask, cannot be read: trying again is useless."""


class OutOfMemoryError(EngineError):
    """Memory ran out, so every loaded checkpoint was let go: trying again once may help."""
