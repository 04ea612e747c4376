from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from pipeline_lib.reports.ucls.run_facts import OracleLabels, RunFacts


@dataclass(frozen=True)
class Rows:
    """Features in memory."""

    values: np.ndarray

    @property
    def count(self):
        return self.values.shape[0]

    @property
    def dimension(self):
        return self.values.shape[1]

    def rows(self, indices):
        return self.values[indices].astype(np.float32)


def labelled_measures():
    measures = {}
    for name in ("kmeans", "umap_kmeans", "turtle", "best_head", "heads_mean", "ensemble", "self_trained"):
        measures |= {f"{name}_acc": 0.5, f"{name}_nmi": 0.4, f"{name}_ari": 0.3}
    return {**measures, "heads_sd_acc": 0.05, "upper_bound_linear_probe_acc": 0.9, "upper_bound_knn_acc": 0.8}


LABEL_FREE = {"ensemble_anmi": 0.81, "ensemble_agreement": 0.82, "self_trained_empty_clusters": 1}


def noise(row: int, side: int = 20) -> Image.Image:
    return Image.fromarray(np.random.default_rng(row).integers(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.fixture(scope="session")
def make_facts():
    """Makes a run of ``images`` images in ``count`` clusters, the last one empty where ``empty``."""

    def make(images=60, count=4, labels=True, empty=False, side=20, names=None, **changed):
        rng = np.random.default_rng(0)
        clusters = (np.arange(images) % (count - empty)).astype(np.int32)
        features = np.eye(count)[clusters] * 8 + rng.normal(size=(images, count))
        true = ((clusters + (rng.random(images) < 0.2)) % count).astype(np.int32)
        history = [
            {"epoch": epoch, "head_loss": [-epoch / 3, -epoch / 4, -epoch / 5], "prior_entropy": np.log(count)}
            for epoch in (1, 2, 3)
        ]
        bins = {"from": [bin_ / 10 for bin_ in range(10)], "pairs": [1] * 10}
        bins |= {"oracle_accuracy": [None, *[0.5] * 9], "oracle_accuracy_above": [0.5] * 9 + [None]}
        values = {
            "data": "things",
            "backbone": "pixels",
            "split": "val",
            "measures": (labelled_measures() if labels else {}) | LABEL_FREE,
            "clusters": clusters,
            "probability": rng.random(images).astype(np.float32),
            "agreement": (rng.integers(2, 5, images) / 4).astype(np.float32),
            "count": count,
            "cluster_names": None,
            "history": history,
            "best_head": 0,
            "list_lengths": rng.integers(3, 30, images),
            "threshold": 0.3,
            "oracle_neighbor_accuracy": bins if labels else None,
            "features": Rows(features),
            "image_name": lambda row: f"image {row}",
            "read": lambda row: noise(row, side),
            "oracle": OracleLabels(true, names or tuple(f"class {c}" for c in range(count))) if labels else None,
            "origins": {
                "heads": {
                    "stage": "train_heads",
                    "settings": {"heads": 3, "warm": {"share": 0.25}},
                    "packages": {"numpy": "2.0", "torch": "2.6"},
                }
            },
        }
        return RunFacts(**(values | changed))

    return make
