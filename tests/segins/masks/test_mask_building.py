"""Sources of masks by name, built from plain inputs."""

from typing import Any

import pytest
from discs import COUNT, HEIGHT, WIDTH, image_of

from pipeline_lib.base.errors import UserError
from pipeline_lib.params.params import load_params
from pipeline_lib.segins.masks.batches import image_batches
from pipeline_lib.segins.masks.building import MaskInputs, mask_source


def inputs(repository: Any, **changes: Any) -> MaskInputs:
    """What the controls need: nothing but settings."""
    settings = load_params(repository / "params.yaml").masks.model_copy(update=changes)
    nothing: Any = None
    return MaskInputs(settings, nothing, nothing, nothing, nothing, nothing)


@pytest.mark.parametrize(("name", "low", "high"), [("centre", 0.25, 0.35), ("whole", 1.0, 1.0)])
def test_a_control_is_made_from_the_settings_alone(repository, name, low, high):
    source = mask_source(inputs(repository, source=name, centre_share=0.3))
    batches = image_batches(COUNT, image_of, source.image_input, batch_size=4, longest_side=64, seed=0, workers=0)
    made = list(source.make(batches))
    assert sorted(mask.row for mask in made) == list(range(COUNT))
    assert all(mask.mask.shape == (HEIGHT, WIDTH) and low <= mask.mask.mean() <= high for mask in made)


def test_a_source_that_is_not_there_is_refused(repository):
    with pytest.raises(UserError, match=r"masks\.source = 'center': unknown; did you mean centre\? allowed: contracam"):
        mask_source(inputs(repository, source="center"))
    with pytest.raises(UserError, match=r"masks\.source = 'center': allowed: 'contracam', 'tokencut', .* or 'oracle'"):
        load_params(repository / "params.yaml", {"masks.source": "center"})
