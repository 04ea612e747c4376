import pytest
import torch

from pipeline_lib.artifacts.heads import open_heads, write_heads
from pipeline_lib.base.errors import MissingFileError, UserError

SHAPE = {"features": 4, "classes": 3, "heads": 3, "hidden": 5, "bottleneck": 2, "input": "batch_norm"}
HISTORY = [
    {"epoch": 1, "learning_rate": 1e-3, "loss": 1.23456789, "head_loss": [1.0, 2.0, 0.5]},
    {"epoch": 2, "learning_rate": 0.0, "loss": 0.25, "head_loss": [0.5, 0.25, 0.75]},
]


def state(seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, 4, 5, generator=generator)
    return {
        "weight": weight,
        "transposed": weight.transpose(1, 2),
        "batches": torch.tensor(7),
        "trained": torch.nn.Parameter(torch.randn(2, generator=generator)),
    }


def write(folder, **changes):
    arguments = {
        "student": state(0),
        "teacher": state(1),
        "shape": SHAPE,
        "blocks": ["cls_-2", "cls"],
        "temperature": 0.1,
        "head_loss": [0.5, 0.25, 0.75],
        "history": HISTORY,
        "made_by": {"stage": "train_heads"},
    }
    write_heads(folder, **(arguments | changes))
    return open_heads(folder)


def test_what_is_written_is_read(tmp_path):
    heads = write(tmp_path / "heads")
    assert heads.shape == SHAPE
    assert heads.blocks == ("cls_-2", "cls")
    assert heads.temperature == 0.1
    assert heads.head_loss == [0.5, 0.25, 0.75]
    assert heads.history() == HISTORY
    for read, written in ((heads.student(), state(0)), (heads.teacher(), state(1))):
        assert read.keys() == written.keys()
        for name, tensor in written.items():
            assert read[name].dtype == tensor.dtype
            assert torch.equal(read[name], tensor.detach())


@pytest.mark.parametrize(("losses", "best"), [([0.5, 0.25, 0.75], 1), ([-3.0, -2.0, -1.0], 0), ([1.0, 0.5, 0.5], 1)])
def test_the_best_head_has_the_lowest_loss_the_first_among_equals(tmp_path, losses, best):
    assert write(tmp_path / "heads", head_loss=losses).best_head == best


def test_the_table_of_the_history_has_one_row_an_epoch(tmp_path):
    write(tmp_path / "heads")
    lines = (tmp_path / "heads" / "history.tsv").read_text().splitlines()
    assert [line.split("\t") for line in lines] == [
        ["epoch", "learning_rate", "loss"],
        ["1", "0.001", "1.23457"],
        ["2", "0", "0.25"],
    ]


def test_written_again_the_files_are_byte_equal(tmp_path):
    write(tmp_path / "first")
    write(tmp_path / "second")
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["history.json", "history.tsv", "meta.json", "student.safetensors", "teacher.safetensors"]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_an_artifact_cut_short_or_absent_is_refused(tmp_path):
    write(tmp_path / "heads")
    path = tmp_path / "heads" / "teacher.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"teacher\.safetensors: expected"):
        open_heads(tmp_path / "heads")
    with pytest.raises(MissingFileError, match="no heads artifact"):
        open_heads(tmp_path / "absent")


def test_a_failure_while_writing_leaves_the_old_heads(tmp_path):
    write(tmp_path / "heads")
    before = (tmp_path / "heads" / "student.safetensors").read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path / "heads", student=state(2), history=[{"epoch": 1, "loss": float("nan")}])
    assert (tmp_path / "heads" / "student.safetensors").read_bytes() == before
    assert open_heads(tmp_path / "heads").history() == HISTORY
