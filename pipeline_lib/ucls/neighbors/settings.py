"""Settings of the neighbour search."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.settings import Count, Fraction, Settings

EngineName = Literal["auto", "faiss", "torch"]


class NeighborSettings(Settings):
    """Neighbour search with the adaptive rule (thesis 5.2.5).

    Attributes:
        threshold: Cosine similarity from which an image is a neighbour (0.3 in the thesis, with DINOv2); 1.0 keeps the
            ``k_min`` nearest only; ``auto``: the lowest at which images still share enough neighbours.
        shared_neighbors: For ``auto``: share of common nearest neighbours down to which the threshold goes.
        components: Principal components that are compared; ``auto``: four a class, at least 64; null: the features as
            they are (thesis).
        adaptive: Whether the threshold counts; false: every list has the ``k_min`` nearest.
        k_min: Neighbours that every image gets (50 in the thesis); ``auto``: a tenth of the expected class size, 10 to
            50.
        k_max: Longest list; ``auto``: the expected class size.
        index: ``Flat`` (exact), or another FAISS factory string such as ``IVF1024,Flat``, which is searched on the CPU.
        engine: What searches on a GPU: ``torch``, or ``faiss`` where it is built for GPUs; ``auto``: the faster one,
            which is torch. On a CPU it is always FAISS.
        artifact_gb: Largest size of the lists, GiB; a search that would pass it stops before it begins.
    """

    threshold: Literal["auto"] | Annotated[float, Field(ge=-1, le=1)]
    shared_neighbors: Fraction
    components: Literal["auto"] | Count | None
    adaptive: bool
    k_min: Literal["auto"] | Count
    k_max: Literal["auto"] | Count
    index: str
    engine: EngineName = "auto"
    artifact_gb: Annotated[float, Field(gt=0)] = 64.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if isinstance(self.k_min, int) and isinstance(self.k_max, int) and self.k_min > self.k_max:
            raise ValueError(f"k_max must be at least k_min = {self.k_min}")
        return self
