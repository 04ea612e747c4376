import numpy as np
import torch
from head_settings import SETTINGS
from torch import nn

from pipeline_lib.ucls.heads.objective import Objective, TermWeights
from pipeline_lib.ucls.heads.settings import HeadSettings

HEADS, CLASSES, COLUMNS = 3, 5, 8


class Logits(nn.Module):
    """Linear heads in float64."""

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(HEADS, CLASSES, COLUMNS, generator=generator, dtype=torch.float64)
        self.weight = nn.Parameter(0.1 * weight)

    def forward(self, features):
        return torch.einsum("hkd,bd->hbk", self.weight, features)


def softmax(logits):
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def objective(**changes):
    uniform = torch.full((HEADS, CLASSES), 1 / CLASSES, dtype=torch.float64)
    return Objective(HeadSettings(**(SETTINGS | changes)), prior=uniform, class_shares=uniform)


def test_scan_between_student_and_teacher_is_that_of_temis_code():
    """Its SCAN loss written out: both directions averaged, no weights, entropy of the student's mean on both views."""
    rng = np.random.default_rng(0)
    images, neighbors = rng.standard_normal((2, 40, COLUMNS))
    student, teacher = Logits(0), Logits(1)
    settings = {"loss": "scan", "instance_weights": False, "symmetric": True, "sinkhorn_iterations": 0}
    found = objective(**settings, neighbors_per_image=1, scan_entropy_weight=4.0).head_losses(
        student, teacher, torch.from_numpy(images), torch.from_numpy(neighbors)[:, None], TermWeights()
    )
    for head in range(HEADS):
        weights = [module.weight[head].detach().numpy() for module in (student, teacher)]
        s1, s2, t1, t2 = (softmax(view @ w.T / 0.1) for w in weights for view in (images, neighbors))
        pairs = -np.log((t2 * s1).sum(axis=1)).mean() - np.log((t1 * s2).sum(axis=1)).mean()
        entropy = sum(-(mean * np.log(mean)).sum() for mean in (s1.mean(axis=0), s2.mean(axis=0)))
        assert abs(float(found[head].detach()) - (pairs / 2 - 4 * entropy / 2)) < 1e-9


def test_instance_weights_change_the_scan_loss():
    rng = np.random.default_rng(0)
    images, neighbors = torch.from_numpy(rng.standard_normal((2, 40, COLUMNS)))
    plain, weighted = (
        objective(loss="scan", instance_weights=switch).head_losses(
            Logits(0), Logits(1), images, neighbors[:, None], TermWeights()
        )
        for switch in (False, True)
    )
    assert (weighted < plain).all()
