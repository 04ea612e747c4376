"""The loop that the heads are measured against is TEMI's: the whole trajectory of its own code (golden 11)."""

import json

import numpy as np
import pytest
import torch

from benchmarks.reference_heads import ReferenceHead, ReferenceTrainer

NAMES = {
    "hidden.weight": "hidden_weight",
    "hidden.bias": "hidden_bias",
    "bottleneck.weight": "bottleneck_weight",
    "bottleneck.bias": "bottleneck_bias",
    "prototypes.weight": "prototype_direction",
    "prototype_length": "prototype_length",
}


def loaded(arrays, told, head):
    module = ReferenceHead(told["features"], told["hidden"], told["bottleneck"], told["classes"]).double()
    with torch.no_grad():
        for own, other in NAMES.items():
            parameter = module.get_parameter(own)
            parameter.copy_(torch.from_numpy(arrays[f"init_{other}"][head]).view_as(parameter))
    return module


def test_losses_and_weights_are_those_of_the_references_own_training(golden, repository):
    told = json.loads((repository / "tests" / "golden" / "11_temi_trajectory.json").read_text())
    arrays = golden("11_temi_trajectory")
    heads = [loaded(arrays, told, head) for head in range(told["heads"])]
    trainer = ReferenceTrainer(
        heads,
        learning_rate=0.0,
        weight_decay=told["weight_decay"],
        beta=told["beta"],
        temperature=told["temperature"],
        teacher_momentum=told["teacher_momentum"],
    )
    # The reference starts its prior from a float32 tensor.
    trainer.priors = [prior.float().double() for prior in trainer.priors]
    features = torch.from_numpy(arrays["features"]).double()
    for step, rate in enumerate(arrays["learning_rate"]):
        for group in trainer.optimizer.param_groups:
            group["lr"] = float(rate)
        frozen = step < told["steps_per_epoch"] * told["frozen_prototype_epochs"]
        for head in heads:
            head.prototypes.requires_grad_(not frozen)
            head.prototype_length.requires_grad_(not frozen)
        pairs = (features[torch.from_numpy(arrays[name][step])] for name in ("images", "neighbors"))
        found = trainer.step(*pairs)
        assert np.abs(found.numpy() - arrays["head_loss"][step]).max() < 1e-12
        assert np.abs(torch.stack(trainer.priors).numpy() - arrays["prior"][step]).max() < 1e-12
    for modules, name in ((heads, "student"), (trainer.teacher, "teacher")):
        for head, module in enumerate(modules):
            for own, other in NAMES.items():
                value = module.get_parameter(own).detach().numpy()
                expected = arrays[f"{name}_{other}"][head]
                assert value.ravel() == pytest.approx(expected.ravel(), abs=1e-12)
