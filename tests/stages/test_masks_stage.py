"""The stage that makes pseudo-masks, for every source, on a small data set."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from objects_kit import write_objects
from PIL import Image

from pipeline_lib.artifacts.checkpoint import write_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.masks import open_masks
from pipeline_lib.artifacts.objects import encoded_png, open_objects
from pipeline_lib.base.errors import UserError
from pipeline_lib.params.params import load_params
from pipeline_lib.segins.resnet.build import build_resnet
from stages import masks
from stages._context import SegInsContext

COUNT, HEIGHT, WIDTH = 9, 40, 56
TINY_VIT = {"backbones.tiny.model": "vit_tiny_patch16_224", "backbones.tiny.weights.source": "none"}


def write_data(folder: Path) -> None:
    objects = []
    with DatasetWriter(folder / "images", ["square"], None, {}) as writer:
        for row in range(COUNT):
            mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
            mask[5 + row : 20 + row, 8 + 2 * row : 26 + 2 * row] = True
            pixels = np.random.default_rng(row).integers(0, 120, size=(HEIGHT, WIDTH, 3)).astype(np.uint8)
            pixels[mask] = (240, 60, 60)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, format="PNG")
            writer.add(row, "train", image=buffer.getvalue())
            box = dict(zip(("x0", "y0", "x1", "y1"), (8 + 2 * row, 5 + row, 26 + 2 * row, 20 + row), strict=True))
            facts = {"id": row, "split": "train", "label": 0, "difficult": False, "crowd": False}
            objects.append(facts | box | {"mask": encoded_png(mask) if row < 6 else None})
    write_objects(folder / "objects", objects, [], ["square"], {})


def write_baseline(folder: Path, with_projector: bool) -> None:
    torch.manual_seed(0)
    projector = {"0.weight": torch.randn(8, 512), "0.bias": torch.zeros(8), "2.weight": torch.randn(4, 8)}
    write_checkpoint(
        folder,
        architecture="resnet18",
        method="moco",
        origin="baseline",
        backbone=build_resnet("resnet18").state_dict(),
        projector=projector if with_projector else None,
        history=[],
        made_by={},
    )


def run(root: Path, repository: Path, **changes: Any) -> tuple[dict[str, Any], SegInsContext]:
    machine = {"machine.workers": 0, "machine.device": "cpu"}
    settings = {"batch_size": 4, "image_size": 64} | machine | changes
    dotted = {key if "." in key else f"masks.{key}": value for key, value in settings.items()}
    context = SegInsContext("masks", load_params(repository / "params.yaml", dotted), "scenes", "", method="moco")
    context = dataclasses.replace(context, root=root)
    masks.run(context)
    return json.loads((root / "metrics/segins/scenes/masks-moco.json").read_text()), context


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_data(tmp_path / "data/annotated/scenes")
    write_baseline(tmp_path / "data/checkpoints/scenes/moco-baseline", with_projector=True)
    return tmp_path


def written(root: Path) -> dict[str, bytes]:
    files = [path for name in ("data/masks", "metrics", "reports") for path in (root / name).rglob("*.*")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_contracam_writes_masks_metrics_and_picture(workspace: Path, repository: Path, capsys: Any) -> None:
    measures, context = run(workspace, repository, iterations=2, threshold="auto")
    made = open_masks(context.masks())
    made.check_belongs_to(open_dataset(context.images()))
    assert len(made) == COUNT
    assert made.mask(3).shape == (HEIGHT, WIDTH)
    assert (made.source, made.threshold) == ("contracam", "auto")
    assert measures["embedding"] == "projector"
    assert (measures["images"], measures["images_with_masks"], measures["images_with_boxes"]) == (COUNT, 6, COUNT)
    shares = [float(made.mask(row).mean()) for row in range(COUNT)]
    assert measures["foreground_share"] == pytest.approx(np.mean(shares), abs=1e-4)
    truth = 15 * 18 / (HEIGHT * WIDTH)
    assert measures["control_whole"] == {
        "corloc": 0.0,
        "foreground_share": 1.0,
        "iou_with_boxes": round(truth, 4),
        "iou_with_masks": round(truth, 4),
    }
    with Image.open(workspace / "reports/segins-scenes/masks-moco.png") as picture:
        assert picture.width == 1132
    assert "masks@scenes-moco: 9 images" in capsys.readouterr().out


@pytest.mark.slow
def test_equal_settings_give_equal_bytes_with_and_without_workers(workspace: Path, repository: Path) -> None:
    run(workspace, repository)
    first = written(workspace)
    run(workspace, repository, **{"machine.workers": 2})
    assert written(workspace) == first


@pytest.mark.slow
def test_without_a_projector_the_metrics_say_so(workspace: Path, repository: Path) -> None:
    write_baseline(workspace / "data/checkpoints/scenes/moco-baseline", with_projector=False)
    assert run(workspace, repository)[0]["embedding"] == "pooled_features"


@pytest.mark.slow
def test_tokencut_takes_a_vision_transformer(workspace: Path, repository: Path) -> None:
    measures, context = run(workspace, repository, source="tokencut", backbone="tiny", longest_side=28, **TINY_VIT)
    assert (measures["backbone"], measures["projection"]) == ("tiny", "value")
    made = open_masks(context.masks())
    assert made.threshold is None
    assert made.mask(0).shape == (20, 28)


@pytest.mark.slow
def test_colours_need_no_network_and_find_an_object_that_stands_out(workspace: Path, repository: Path) -> None:
    measures, _ = run(workspace, repository, source="colours")
    assert measures["similarity"] == 0.9
    assert measures["pseudo"]["iou_with_masks"] > 0.5
    assert measures["pseudo"]["corloc"] == 1
    other, _ = run(workspace, repository, source="colours", similarity=0.5)
    assert other["similarity"] == 0.5


@pytest.mark.parametrize(("source", "control"), [("centre", "control_centre"), ("whole", "control_whole")])
def test_controls_are_masks_like_others(workspace: Path, repository: Path, source: str, control: str) -> None:
    measures, _ = run(workspace, repository, source=source)
    assert measures["pseudo"] == measures[control]
    assert "embedding" not in measures


def test_true_masks_are_an_upper_bound(workspace: Path, repository: Path) -> None:
    measures, context = run(workspace, repository, source="oracle")
    assert (measures["pseudo"]["iou_with_masks"], measures["pseudo"]["iou_with_boxes"]) == (1.0, 1.0)
    assert measures["pseudo"]["corloc"] == 1.0
    objects, ids = open_objects(context.objects()), open_dataset(context.images()).ids("train")
    true = objects.of(int(ids[1])).masks
    assert true is not None
    np.testing.assert_array_equal(open_masks(context.masks()).mask(1), true.any(axis=0))


def test_true_masks_need_objects(workspace: Path, repository: Path) -> None:
    write_objects(workspace / "data/annotated/scenes/objects", [], [], ["thing"], {})
    with pytest.raises(UserError, match=r"no boxes, which masks\.source = oracle needs"):
        run(workspace, repository, source="oracle")


def test_a_backbone_that_is_none_or_no_transformer_is_refused(workspace: Path, repository: Path) -> None:
    with pytest.raises(UserError, match=r"masks\.backbone = vit9: not one of pixels, "):
        run(workspace, repository, source="tokencut", backbone="vit9")
    with pytest.raises(UserError, match=r"backbones\.pixels\.model = pixels_grey: TokenCut needs a plain vision"):
        run(workspace, repository, source="tokencut", backbone="pixels", **{"backbones.pixels.image_size": 32})
