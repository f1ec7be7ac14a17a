"""The three config headers as pydantic models (X-Features, X-Policy, X-Config), and bodies.

Owns what a header or a body of a utility route may say (names, types, ranges). Refuses
to know what a missing field means: that is the business of presets and the merge (`headers`).
"""

from interlock.surfaces.control.schemas.base import HeaderModel
from interlock.surfaces.control.schemas.config import ConfigHeader
from interlock.surfaces.control.schemas.features import FeaturesHeader
from interlock.surfaces.control.schemas.policy import PolicyHeader

__all__ = ["ConfigHeader", "FeaturesHeader", "HeaderModel", "PolicyHeader"]
