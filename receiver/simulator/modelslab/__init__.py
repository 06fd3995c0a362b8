"""ModelsLab: the key in the body, errors in HTTP 200, webhooks that nobody signs.

A request comes in at `api`, is read by `forms`, lives in `studio` as one of `generations`, and
leaves as one of `answers` or `errors`.
"""

from receiver.simulator.modelslab.api import ModelsLab

__all__ = ["ModelsLab"]
