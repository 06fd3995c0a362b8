"""The only way out of the house: a guarded HTTP client for links that strangers handed us."""

from archiver.egress.client import Egress, Incoming
from archiver.egress.policy import ANY_HOST, EgressPolicy

__all__ = ["ANY_HOST", "Egress", "EgressPolicy", "Incoming"]
