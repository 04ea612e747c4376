"""Settings of the generated scenes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline_lib.base.settings import Count, Natural, Seed, Settings

Share = Annotated[float, Field(ge=0, le=1)]


class SceneSettings(Settings):
    """Generated scenes.

    Attributes:
        train: Scenes of the train split.
        val: Scenes of the val split; its digits are other ones than those of train.
        side: Height and width of a scene, pixels.
        most_objects: Largest number of objects; each number from 1 is equally likely to be asked for.
        object_size: Smallest and largest side of an object, as a share of the scene's side.
        backgrounds: Textures that the scenes share, each showing a part of one of them; 0: one of its own for each.
            Where every scene has its own, or one of a few, the background tells scenes apart: pretraining need not
            look at objects, and ContraCAM shows the background. With 1 it finds the objects.
        overlap: Largest share of an object's pixels that objects before it may hide.
        rotation: Largest rotation either way, degrees.
        contrast: Smallest distance between an object's colour and the background under it, as a share of the distance
            of black and white.
        seed: Seed of everything drawn.
    """

    train: Count
    val: Count
    side: Annotated[int, Field(ge=32)]
    most_objects: Count
    object_size: Annotated[tuple[Share, Share], Field(strict=False)]
    backgrounds: Natural
    seed: Seed
    overlap: Share = 0.2
    rotation: Annotated[float, Field(ge=0, le=45)] = 20.0
    contrast: Annotated[float, Field(ge=0, le=0.5)] = 0.25

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        low, high = self.object_size
        if not 0 < low < high < 1:
            raise ValueError(f"object_size = {list(self.object_size)}: allowed: smallest below largest, both in (0, 1)")
        if low * self.side < 8:
            raise ValueError(
                f"object_size = {list(self.object_size)}: at least 8 pixels, {8 / self.side:g} of the side"
            )
        return self
