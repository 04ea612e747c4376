"""Base of all typed settings: unknown keys, wrong types and impossible values are refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Immutable settings; a section of ``params.yaml`` is one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
