import subprocess
import sys

import pytest

PROGRAM = """
import pipeline_lib.base.torchvision_import
import torch
import torchvision
from torchvision.transforms import v2

resized = v2.Compose([v2.Resize(4), v2.CenterCrop(2), v2.ToDtype(torch.float32, scale=True)])
print(tuple(resized(torch.full((3, 8, 10), 255, dtype=torch.uint8)).shape))
"""


def output_of(program):
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.slow
def test_in_a_fresh_interpreter_the_transforms_can_be_used():
    assert output_of(PROGRAM) == "(3, 2, 2)"


@pytest.mark.slow
def test_in_a_fresh_interpreter_timm_can_be_imported_after_it():
    program = "import pipeline_lib.base.torchvision_import, timm; print('resnet18' in timm.list_models('resnet18'))"
    assert output_of(program) == "True"


@pytest.mark.slow
def test_without_the_compiled_operators_the_import_passes_by_declaring_them(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    # As torchvision does where its operator library did not load: register an operator that nobody has declared.
    (package / "__init__.py").write_text(
        "import torch\n"
        "from torchvision import imported\n"
        "torch.library.register_fake('torchvision::nms')(lambda dets, scores, iou_threshold: dets)\n"
        "torch.library.register_fake('torchvision::qnms')(lambda dets, scores, iou_threshold: dets)\n"
    )
    (package / "imported.py").write_text("print('imported')\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport pipeline_lib.base.torchvision_import, torchvision"
    )
    # Twice: the failed attempt leaves no half-imported module behind.
    assert output_of(program).splitlines() == ["imported", "imported"]


@pytest.mark.slow
def test_another_failure_of_the_import_is_not_hidden():
    program = """
import importlib

def fails(name):
    raise RuntimeError("the disk is gone")

importlib.import_module = fails
try:
    import pipeline_lib.base.torchvision_import
except RuntimeError as error:
    print(error)
"""
    assert output_of(program) == "the disk is gone"
