"""The consensus methods by name, in the order in which equally good ones are preferred."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline_lib.base.registry import Registry

ConsensusMethod = Callable[..., Any]
"""From an :class:`~pipeline_lib.ucls.consensus.ensemble_methods.Ensemble` to a ``Labelling``, see ``mcla.py``."""

METHODS: Registry[ConsensusMethod] = Registry(
    "consensus.methods",
    {
        "cspa": "pipeline_lib.ucls.consensus.ensemble_methods:cspa_labelling",
        "hgpa": "pipeline_lib.ucls.consensus.ensemble_methods:hgpa_labelling",
        "mcla": "pipeline_lib.ucls.consensus.ensemble_methods:mcla_labelling",
        "vote": "pipeline_lib.ucls.consensus.ensemble_methods:vote_labelling",
        "soft_vote": "pipeline_lib.ucls.consensus.ensemble_methods:soft_vote_labelling",
    },
)

DEFAULT_METHODS = tuple(name for name in METHODS if name != "soft_vote")
"""All that work on any heads; ``soft_vote`` needs heads that number their clusters alike."""

AUTO = "auto"
"""Choice of the method with the highest average NMI with the heads."""
