"""Export to mmsegmentation: ``python -m commands.export_mmseg --start moco-segins --target scenes --output DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.base.errors import UserError
from pipeline_lib.params.overrides import parsed_settings
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import load_presets
from pipeline_lib.segins.transfer.mmseg.configuration import mmseg_configuration, write_configuration
from pipeline_lib.segins.transfer.mmseg.trainer import train_with_mmseg
from pipeline_lib.segins.transfer.mmseg.voc_folder import write_voc_folder
from pipeline_lib.segins.transfer.mmseg.weights import write_weights
from stages._context import one_line_errors

EQUAL = "resnet50"


def main() -> None:
    """Write weights, data and one configuration a mode, and start mmsegmentation's trainer where asked to."""
    parser = argparse.ArgumentParser(prog="python -m commands.export_mmseg", description=__doc__)
    parser.add_argument("--data", help="data set of the pretraining (default: the first of segins_suite.data)")
    parser.add_argument("--start", required=True, help="checkpoint, for example moco-segins")
    parser.add_argument("--target", required=True, help="annotated data set with segmentation maps")
    parser.add_argument("--output", required=True, type=Path, help="folder to write into")
    parser.add_argument("--preset", default="thesis-segmentation", help="settings of the segmentation")
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="wins over it")
    parser.add_argument("--train", action="store_true", help="start mmsegmentation's trainer (needs the extra mmseg)")
    arguments = parser.parse_args()
    changes = load_presets().settings([arguments.preset]) | parsed_settings(arguments.settings)
    params = load_params(changes=changes)
    output: Path = arguments.output
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output}: a file; a folder is needed")
    data = arguments.data or params.segins_suite.data[0]
    checkpoint = open_checkpoint(Path("data/checkpoints") / data / arguments.start)
    annotated = Path("data/annotated") / arguments.target
    dataset, objects = open_dataset(annotated / "images"), open_objects(annotated / "objects")
    output.mkdir(parents=True, exist_ok=True)
    weights = output / "weights.pth"
    tensors = write_weights(weights, checkpoint)
    folder = write_voc_folder(output / "voc", dataset, objects)
    print(f"{tensors} tensors -> {weights}; {folder.counts['train']} + {folder.counts['val']} images -> {folder.root}")
    if checkpoint.architecture != EQUAL:
        print(f"{checkpoint.architecture}: mmsegmentation dilates its blocks in another way than this pipeline")
    for mode in params.segmentation.modes:
        configuration = output / f"{mode}.py"
        values = mmseg_configuration(
            checkpoint,
            params.segmentation,
            folder,
            weights,
            frozen=mode == "frozen",
            seed=params.segins_suite.seed,
            workers=params.machine.worker_count,
        )
        write_configuration(configuration, values)
        print(f"{mode}: {configuration}")
        if arguments.train:
            found = train_with_mmseg(configuration, output / mode)
            print(f"{mode}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))


if __name__ == "__main__":
    with one_line_errors():
        main()
