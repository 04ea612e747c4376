import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipeline_lib.base.errors import UserError
from pipeline_lib.images.scenes.backgrounds import shared_background, textured_background
from pipeline_lib.images.scenes.composition import MAIN_RATIO, box_of, compose_scene, place_objects
from pipeline_lib.images.scenes.settings import SceneSettings
from pipeline_lib.images.scenes.shapes import digit_shapes
from pipeline_lib.images.scenes.writing import palette_png, write_scenes
from pipeline_lib.images.sources.registry import open_source
from pipeline_lib.params.params import load_params

SETTINGS = SceneSettings(
    train=12,
    val=6,
    side=48,
    most_objects=4,
    object_size=(0.25, 0.6),
    backgrounds=0,
    overlap=0.2,
    rotation=20.0,
    contrast=0.25,
    seed=0,
)


def changed(**values: object) -> SceneSettings:
    return SceneSettings.model_validate(SETTINGS.model_dump() | values)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    write_scenes(folder, SETTINGS)
    return folder


def test_equal_settings_give_equal_bytes(written: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "again", SETTINGS)
    assert files_of(tmp_path / "again") == files_of(written)
    write_scenes(tmp_path / "other", changed(seed=1))
    image = "VOCdevkit/VOC2007/JPEGImages/000001.jpg"
    assert (tmp_path / "other" / image).read_bytes() != (written / image).read_bytes()


def test_a_scene_does_not_depend_on_how_many_there_are(written: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "fewer", changed(train=5, val=2))
    fewer, more = files_of(tmp_path / "fewer"), files_of(written)
    for ours, theirs in (("000001", "000001"), ("000005", "000005"), ("000006", "000013"), ("000007", "000014")):
        for pattern in ("JPEGImages/{}.jpg", "SegmentationObject/{}.png"):
            path = f"VOCdevkit/VOC2007/{pattern}"
            assert fewer[path.format(ours)] == more[path.format(theirs)]


def test_boxes_classes_and_maps_agree(written: Path) -> None:
    root = written / "VOCdevkit" / "VOC2007"
    for number in range(1, 19):
        regions = np.asarray(Image.open(root / "SegmentationObject" / f"{number:06d}.png"))
        classes = np.asarray(Image.open(root / "SegmentationClass" / f"{number:06d}.png"))
        objects = ElementTree.parse(root / "Annotations" / f"{number:06d}.xml").findall("object")
        assert set(np.unique(regions)) == set(range(len(objects) + 1))
        for index, thing in enumerate(objects, start=1):
            rows, columns = np.nonzero(regions == index)
            box = [int(thing.findtext(f"bndbox/{side}") or 0) for side in ("xmin", "ymin", "xmax", "ymax")]
            assert box == [columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1]
            assert set(classes[regions == index]) == {int(thing.findtext("name") or -1) + 1}
        assert not classes[regions == 0].any()


def test_the_reader_finds_both_splits_and_the_class_of_the_main_object(written: Path) -> None:
    source = open_source("voc", written)
    assert source.counts == {"train": 12, "val": 6}
    assert source.class_names == tuple("0123456789")
    for record in source.records():
        stem = Path(record.path or "").stem
        objects = ElementTree.parse(written / f"VOCdevkit/VOC2007/Annotations/{stem}.xml").findall("object")
        assert record.class_name == objects[-1].findtext("name")
        assert record.label == int(record.class_name or -1)


def test_main_object_is_larger_and_overlap_is_bounded() -> None:
    shapes = digit_shapes(0)["train"]
    counts = set()
    for seed in range(60):
        placed = place_objects(shapes, SETTINGS, np.random.default_rng(seed))
        counts.add(len(placed))
        masks = [thing.mask(SETTINGS.side) for thing in placed]
        for index, mask in enumerate(masks[:-1]):
            assert masks[-1].sum() >= MAIN_RATIO * mask.sum()
            hidden = mask & np.any(masks[index + 1 :], axis=0)
            assert hidden.sum() <= SETTINGS.overlap * mask.sum()
        for mask in masks:
            x0, y0, x1, y1 = box_of(mask)
            # Digits are narrower than their grid; turned and stretched ones a little larger.
            assert 0.2 * SETTINGS.side <= max(x1 - x0, y1 - y0) <= 0.85 * SETTINGS.side
    assert counts == {1, 2, 3, 4}


def test_objects_differ_from_the_background_around_them() -> None:
    shapes = digit_shapes(0)["val"]
    settings = changed(contrast=0.4, most_objects=1)
    for seed in range(20):
        scene = compose_scene(shapes, settings, np.random.default_rng(seed))
        mask = scene.masks[0]
        x0, y0, x1, y1 = box_of(mask)
        around = np.zeros_like(mask)
        around[y0:y1, x0:x1] = True
        pixels = scene.image / 255
        distance = np.linalg.norm(pixels[mask].mean(axis=0) - pixels[around & ~mask].mean(axis=0))
        assert distance > 0.2


def test_scenes_show_parts_of_the_textures_that_they_share() -> None:
    side = 16
    whole = textured_background(2 * side, np.random.default_rng([5, 2, 3]))
    parts = [whole[top : top + side, left : left + side] for top in range(side + 1) for left in range(side + 1)]
    seen = set()
    for seed in range(20):
        part = shared_background(side, 3, 5, np.random.default_rng(seed))
        both = (part, part[:, ::-1])
        seen.add(next(n for n, known in enumerate(parts) if any(np.array_equal(known, one) for one in both)))
    assert len(seen) > 5


def test_every_digit_belongs_to_one_split() -> None:
    splits = digit_shapes(3)
    count = {split: sum(len(digits) for digits in shapes.by_class) for split, shapes in splits.items()}
    assert count["train"] + count["val"] == len(load_digits().target)
    train = {digit.tobytes() for digits in splits["train"].by_class for digit in digits}
    val = {digit.tobytes() for digits in splits["val"].by_class for digit in digits}
    assert not train & val


def test_palette_is_voc_s(tmp_path: Path) -> None:
    # Colours that VOC's development kit documents: background, aeroplane, bicycle, cat, person, void.
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128), 255: (224, 224, 192)}
    (tmp_path / "map.png").write_bytes(palette_png(np.array([list(expected)], dtype=np.uint8)))
    image = Image.open(tmp_path / "map.png")
    assert np.asarray(image).tolist() == [list(expected)]
    assert [tuple(colour) for colour in np.asarray(image.convert("RGB"))[0].tolist()] == list(expected.values())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scenes.object_size", [0.6, 0.25], "smallest below largest"),
        ("scenes.object_size", [0.1, 0.5], "at least 8 pixels, 0.125 of the side"),
        ("scenes.side", 16, "scenes.side = 16"),
        ("scenes.contrast", 0.9, "scenes.contrast = 0.9"),
        ("scenes.rotation", 90.0, "scenes.rotation = 90.0"),
    ],
)
def test_impossible_settings_are_refused(repository: Path, key: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        load_params(repository / "params.yaml", {key: value})
    assert "\n" not in str(raised.value)
