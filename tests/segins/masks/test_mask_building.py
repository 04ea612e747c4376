"""Sources of masks by name, built from plain inputs."""

from typing import Any

import pytest
from discs import COUNT, HEIGHT, WIDTH, image_of

from pipeline_lib.backbones.build import Backbone, build_backbone
from pipeline_lib.base import runtime
from pipeline_lib.base.errors import UserError
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import load_presets
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


@pytest.mark.slow
def test_tokencut_of_the_thesis_preset_cuts_the_keys_of_dino_patches(repository):
    settings = load_presets(repository / "conf/presets.yaml").settings(["thesis-table-4.8"])
    params = load_params(repository / "params.yaml", settings | {"backbones.dino_vits16.weights.source": "none"})
    nothing: Any = None

    def backbone(key: str) -> Backbone:
        return build_backbone(params.backbones[key])

    source = mask_source(MaskInputs(params.masks, runtime.start("cpu"), nothing, nothing, nothing, backbone))
    assert source.facts == {"backbone": "dino_vits16", "projection": "key", "similarity": 0.2}
    assert (source.image_input.height, source.image_input.width) == (432, 432)
    batches = image_batches(2, image_of, source.image_input, batch_size=2, longest_side=64, seed=0, workers=0)
    made = list(source.make(batches))
    assert [mask.mask.shape for mask in made] == [(HEIGHT, WIDTH)] * 2
    assert all(0 < mask.mask.mean() < 1 for mask in made)


def test_a_source_that_is_not_there_is_refused(repository):
    with pytest.raises(UserError, match=r"masks\.source = 'center': unknown; did you mean centre\? allowed: contracam"):
        mask_source(inputs(repository, source="center"))
    with pytest.raises(UserError, match=r"masks\.source = 'center': allowed: 'contracam', 'tokencut', .* or 'oracle'"):
        load_params(repository / "params.yaml", {"masks.source": "center"})
