"""Settings of what neighbours and heads see of the features."""

from __future__ import annotations

from typing import Literal

from pipeline_lib.base.settings import Names, Settings


class FeatureSettings(Settings):
    """Which features are compared, and how (thesis 5.2.6).

    Attributes:
        blocks: Feature blocks that neighbours and heads see, such as ``[cls]``; ``default``: all of the backbone's
            default blocks; ``first``: the first of them, of a vision transformer the class token (TEMI).
        centre: Subtract the mean feature before normalising for cosine similarity.
        normalise_blocks: Bring every block to length one, so that each weighs the same.
    """

    blocks: Literal["default", "first"] | Names
    centre: bool
    normalise_blocks: bool
