"""Export a checkpoint to detectron2: ``python -m commands.export_detectron2 --start moco-segins --output DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.base.errors import UserError
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import load_presets
from pipeline_lib.segins.transfer.detectron2.configuration import detectron2_configuration, write_configuration
from pipeline_lib.segins.transfer.detectron2.trainer import train_with_detectron2
from pipeline_lib.segins.transfer.detectron2.weights import detectron2_weights, layers, write_weights
from stages._context import one_line_errors


def main() -> None:
    """Write weights and configuration, list the layers, and start detectron2's trainer where asked to."""
    parser = argparse.ArgumentParser(prog="python -m commands.export_detectron2", description=__doc__)
    parser.add_argument("--data", help="data set of the pretraining (default: the first of segins_suite.sets)")
    parser.add_argument("--start", required=True, help="checkpoint, for example moco-segins")
    parser.add_argument("--output", required=True, type=Path, help="folder to write into")
    parser.add_argument("--preset", default="thesis-detection-voc", help="settings of the detector")
    parser.add_argument("--train", action="store_true", help="start detectron2's trainer (needs detectron2)")
    arguments = parser.parse_args()
    params = load_params(changes=load_presets().settings([arguments.preset]))
    data = arguments.data or params.segins_suite.sets[0]
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UserError(f"--output {arguments.output}: a file; a folder is needed")
    checkpoint = open_checkpoint(Path("data/checkpoints") / data / arguments.start)
    weights = detectron2_weights(checkpoint)
    arguments.output.mkdir(parents=True, exist_ok=True)
    model, configuration = arguments.output / "weights.pkl", arguments.output / "config.yaml"
    write_weights(model, weights)
    seed = params.segins_suite.seed
    write_configuration(
        configuration, detectron2_configuration(checkpoint, params.detection, str(model.absolute()), seed)
    )
    groups = layers(weights)
    for group in groups:
        print(f"{group.name}: {' x '.join(map(str, group.shape))}, {len(group.normalisation)} of its normalisation")
    print(f"{len(groups)} groups, {len(weights)} tensors -> {model}, {configuration}")
    if arguments.train:
        train_with_detectron2(configuration, arguments.output / "detectron2")


if __name__ == "__main__":
    with one_line_errors():
        main()
