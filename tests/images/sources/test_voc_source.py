import zipfile
from pathlib import Path

import numpy as np
import pytest
from voc_kit import add_image, add_list, add_map

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.objects import prepare_objects
from pipeline_lib.images.preparation import prepare_dataset
from pipeline_lib.images.sources.registry import open_annotated_source, open_source
from pipeline_lib.images.sources.voc_boxes import VOC_CLASSES
from pipeline_lib.images.sources.voc_masks import object_masks
from pipeline_lib.images.sources.voc_splits import VocOptions

DOG, CAT = ("dog", (3, 2, 6, 8), 0), ("cat", (1, 1, 16, 12), 1)
PREPARE = {"unreadable": "stop", "val_fraction": 0.2, "limit_per_split": None, "seed": 0, "workers": 1, "made_by": {}}


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """VOC2007 with train, val and test, VOC2012 with train and val."""
    for year, names in ((2007, ("a", "b", "c", "d")), (2012, ("e", "f"))):
        for name in names:
            add_image(tmp_path, year, name, [DOG])
    for purpose in ("Main", "Segmentation"):
        for year, name, stems in (
            (2007, "train", ["a"]),
            (2007, "val", ["b"]),
            (2007, "trainval", ["a", "b"]),
            (2007, "test", ["c", "d"]),
            (2012, "train", ["e"]),
            (2012, "val", ["f"]),
            (2012, "trainval", ["e", "f"]),
        ):
            add_list(tmp_path, year, f"{purpose}/{name}", stems)
    return tmp_path


def stems(root: Path, options: VocOptions | None = None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"train": [], "val": []}
    for record in open_source("voc", root, voc=options).records():
        found[record.split].append(Path(record.path or "").stem)
    return found


def test_detection_follows_the_protocol_of_voc_07_12(kit: Path) -> None:
    assert stems(kit) == {"train": ["a", "b", "e", "f"], "val": ["c", "d"]}
    assert stems(kit, VocOptions(years=(2007,))) == {"train": ["a", "b"], "val": ["c", "d"]}
    assert stems(kit, VocOptions(evaluate_on="val")) == {"train": ["a", "e"], "val": ["b", "f"]}
    assert stems(kit, VocOptions(years=(2012,))) == {"train": ["e"], "val": ["f"]}
    assert stems(kit / "VOCdevkit", VocOptions(years=(2012,))) == {"train": ["e"], "val": ["f"]}


def test_a_test_list_counts_only_with_annotations(kit: Path) -> None:
    add_list(kit, 2012, "Main/test", ["g"])
    assert stems(kit, VocOptions(years=(2012,))) == {"train": ["e"], "val": ["f"]}
    with pytest.raises(MissingFileError, match=r"VOC2012/ImageSets/Main/test.txt: no test list whose images have"):
        stems(kit, VocOptions(years=(2012,), evaluate_on="test"))


def test_segmentation_trains_on_the_augmented_set_where_it_is_there(kit: Path) -> None:
    options = VocOptions(years=(2012,), task="segmentation")
    add_image(kit, 2012, "h", [DOG])
    add_list(kit, 2012, "Segmentation/trainaug", ["/JPEGImages/e.jpg /SegmentationClassAug/e.png", "h"])
    assert stems(kit, options) == {"train": ["e"], "val": ["f"]}
    ours, augmented = np.full((12, 16), 12), np.full((12, 16), 8)
    add_map(kit, 2012, "SegmentationClass", "e", ours)
    for stem in ("e", "f", "h"):
        add_map(kit, 2012, "SegmentationClassAug", stem, augmented)
    assert stems(kit, options) == {"train": ["e", "h"], "val": ["f"]}
    read = open_annotated_source("voc", kit, voc=options).annotation
    assert read is not None
    maps = [read(id).segmentation for id in range(3)]
    assert maps[0] is not None
    assert maps[1] is not None
    assert (maps[0] == ours).all()
    assert (maps[1] == augmented).all()
    assert maps[2] is None


def test_boxes_become_half_open_from_0_and_difficult_ones_give_no_label(tmp_path: Path) -> None:
    add_image(tmp_path, 2007, "a", [CAT, DOG, ("bird", (1.5, 1, 2, 2.25), 0)])
    add_image(tmp_path, 2007, "b", [CAT])
    add_list(tmp_path, 2007, "Main/train", ["a"])
    add_list(tmp_path, 2007, "Main/val", ["b"])
    annotated = open_annotated_source("voc", tmp_path)
    assert annotated.class_names == VOC_CLASSES
    assert annotated.annotation is not None
    objects = annotated.annotation(0).objects
    assert [thing.box for thing in objects] == [(0, 0, 16, 12), (2, 1, 6, 8), (0.5, 0, 2, 2.25)]
    assert [thing.difficult for thing in objects] == [True, False, False]
    assert [record.class_name for record in annotated.source.records()] == ["dog", None]


def test_class_names_are_those_with_lists_else_those_found(tmp_path: Path) -> None:
    add_image(tmp_path, 2007, "a", [("zebra", (1, 1, 2, 2), 0)])
    for split in ("train", "val"):
        add_list(tmp_path, 2007, f"Main/{split}", ["a"])
    assert open_source("voc", tmp_path).class_names == ("zebra",)
    add_list(tmp_path, 2007, "Main/zebra_train", ["a  1"])
    add_list(tmp_path, 2007, "Main/big_ant_val", ["a -1"])
    assert open_source("voc", tmp_path).class_names == ("big_ant", "zebra")
    add_image(tmp_path, 2007, "a", [DOG])
    with pytest.raises(UserError, match=r"ImageSets/Main: no list of class 'dog'.*found big_ant, zebra"):
        open_source("voc", tmp_path)


def test_problems_are_named_in_one_line(kit: Path, tmp_path: Path) -> None:
    folder = kit / "VOCdevkit" / "VOC2007"

    def message(options: VocOptions | None = None) -> str:
        with pytest.raises(UserError) as raised:
            open_source("voc", kit, voc=options)
        assert "\n" not in str(raised.value)
        return str(raised.value).replace(f"{tmp_path}/", "")

    assert message(VocOptions(years=(2008,))) == (
        "VOCdevkit/VOC2008: not found; unpack PASCAL VOC there or change years"
    )
    assert "with task 'segmentation', allowed is 'auto'" in message(VocOptions(task="segmentation", evaluate_on="test"))
    xml = folder / "Annotations" / "b.xml"
    good = xml.read_text()
    for content, complaint in (
        (good[:60], "b.xml: broken XML ("),
        (good.replace("<xmax>6</xmax>", ""), "b.xml: object 1 (dog) needs numbers in bndbox"),
        (good.replace("<name>dog</name>", ""), "b.xml: object 1 has no name"),
    ):
        xml.write_text(content)
        assert complaint in message()
    xml.unlink()
    assert message().startswith("VOCdevkit/VOC2007/Annotations/b.xml: not found; every image of ")
    add_list(kit, 2007, "Main/trainval", [])
    add_list(kit, 2012, "Main/trainval", [])
    assert "no image of the train split in it" in message()
    (folder / "ImageSets" / "Main" / "trainval.txt").unlink()
    assert "Main/trainval.txt: not found; it lists the images of the train split" in message()
    with pytest.raises(MissingFileError, match=r"no folder VOCdevkit/VOC<year> in it"):
        open_source("voc", tmp_path / "nowhere")
    with pytest.raises(UserError, match="allowed with 'voc' only"):
        open_source("digits", tmp_path, voc=VocOptions(years=(2007,)))


def test_damaged_maps_are_named(kit: Path) -> None:
    read = open_annotated_source("voc", kit).annotation
    assert read is not None
    add_map(kit, 2007, "SegmentationClass", "a", np.full((12, 16), 21))
    with pytest.raises(UserError, match=r"a.png: index 21 at a pixel, allowed are 0 to 20 and 255"):
        read(0)
    path = add_map(kit, 2007, "SegmentationClass", "a", np.zeros((5, 6)))
    with pytest.raises(UserError, match=r"a.png: expected one index a pixel in 16 x 12, found L \(5, 6\)"):
        read(0)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"a.png: cannot be decoded"):
        read(0)


def test_regions_go_to_the_objects_whose_box_and_class_they_fit() -> None:
    boxes = [(0.0, 0.0, 4.0, 4.0), (4.0, 4.0, 8.0, 8.0), (0.0, 4.0, 4.0, 8.0)]
    regions, classes = np.zeros((8, 8), dtype=np.uint8), np.zeros((8, 8), dtype=np.uint8)
    regions[:4, :4], classes[:4, :4] = 1, 6
    regions[4:, 4:], classes[4:, 4:] = 3, 7
    in_order = object_masks(np.where(regions == 3, 2, regions), classes, boxes, [5, 6, 5])
    assert [mask is None for mask in in_order] == [False, False, True]
    # The second object's region bears the third one's number, and no region is the third object's.
    found = object_masks(regions, classes, boxes, [5, 6, 5])
    assert found[0] is not None
    assert found[1] is not None
    assert (found[0] == (regions == 1)).all()
    assert (found[1] == (regions == 3)).all()
    assert found[2] is None
    assert object_masks(regions, classes, boxes, [6, 5, 5]) == [None, None, None]


def test_objects_follow_the_images_that_a_limit_keeps(kit: Path, tmp_path: Path) -> None:
    for number, stem in enumerate(("a", "b", "c", "d"), start=1):
        add_image(kit, 2007, stem, [("dog", (number, 1, 30, 9), 0), ("cat", (17, 1, 19, 9), 0)])
    annotated = open_annotated_source("voc", kit, voc=VocOptions(years=(2007,)))
    prepare_dataset(annotated.source, tmp_path / "images", **{**PREPARE, "limit_per_split": 1})
    dataset = open_dataset(tmp_path / "images")
    metrics = prepare_objects(annotated, dataset, tmp_path / "objects", workers=2, made_by={})
    assert (metrics["objects"], metrics["empty_boxes"], metrics["images_with_objects"]) == (2, 2, 2)
    objects = open_objects(tmp_path / "objects")
    shares = []
    for split in ("train", "val"):
        [id] = dataset.ids(split)
        stem = Path(dataset.name(split, 0)).stem
        x0 = "abcd".index(stem)
        assert objects.of(int(id)).boxes.tolist() == [[x0, 0, 16, 9]]
        shares.append((16 - x0) * 9 / (12 * 16))
    assert metrics["mean_box_share"] == pytest.approx(np.mean(shares))


def test_real_voc(real_data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_data_dir / "voc-small" / "voc2007-small.zip") as archive:
        archive.extractall(tmp_path / "raw")
    annotated = open_annotated_source("voc", tmp_path / "raw")
    assert annotated.class_names == VOC_CLASSES
    metrics = prepare_dataset(annotated.source, tmp_path / "images", **PREPARE)
    assert (metrics["images_train"], metrics["images_val"]) == (54, 66)
    counts = prepare_objects(annotated, open_dataset(tmp_path / "images"), tmp_path / "objects", workers=2, made_by={})
    assert (counts["objects"], counts["images_with_segmentation"], counts["empty_boxes"]) == (334, 44, 0)
    # Every image with a map has a mask for each of its objects.
    objects = open_objects(tmp_path / "objects")
    mapped = objects.with_segmentation(range(120))
    masks = 0
    for id in mapped:
        found, class_map = objects.of(id), objects.segmentation(id)
        assert found.masks is not None
        assert class_map is not None
        masks += len(found.masks)
        for mask, box, label in zip(found.masks, found.boxes, found.labels, strict=True):
            x0, y0, x1, y1 = box.astype(int)
            assert mask[y0:y1, x0:x1].sum() >= 0.7 * mask.sum()
            assert (class_map[mask] == label + 1).all()
    assert masks == counts["objects_with_mask"] == 115


@pytest.mark.slow
def test_real_images_in_voc_s_layout(real_data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_data_dir / "voclike-coco" / "voclike-coco-dev.zip") as archive:
        archive.extractall(tmp_path / "raw")
    for task in ("detection", "segmentation"):
        annotated = open_annotated_source("voc", tmp_path / "raw", voc=VocOptions((2012,), task))
        assert annotated.source.counts == {"train": 40, "val": 37}
        assert annotated.annotation is not None
        for id in range(77):
            image = annotated.annotation(id)
            assert image.segmentation is not None
            assert all(thing.mask is not None for thing in image.objects)
