"""Command line for a trained classifier: ``python -m pipeline_lib predict | export | names``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline_lib.base.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; what the user can mend ends it with one line and exit code 1, Ctrl-C with 130."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; no output file was written", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of standard output has gone, as `head` does; Python would complain again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _predict(options: argparse.Namespace) -> None:
    # Heavy imports stay inside the commands, so that --help answers at once.
    from pipeline_lib.artifacts.classifier import open_classifier
    from pipeline_lib.base import runtime
    from pipeline_lib.base.precision import slow_bfloat16, taken_precision
    from pipeline_lib.ucls.prediction.images import find_images
    from pipeline_lib.ucls.prediction.model import load_model
    from pipeline_lib.ucls.prediction.names import cluster_names
    from pipeline_lib.ucls.prediction.output import FORMATS, check_output, open_table
    from pipeline_lib.ucls.prediction.predict import predict_images

    if options.output is not None:
        check_output(options.output, FORMATS, options.model)
    artifact = open_classifier(options.model)
    names = cluster_names(artifact, options.names)
    found = find_images(options.images)
    for path in found.empty:
        _say(f"warning: {path}: no image in it")
    model = load_model(artifact, options.weights)
    device, precision = runtime.device_type(options.device), options.precision or model.precision
    slow = slow_bfloat16(precision, device)
    if slow:
        _say(f"warning: {slow}")
    fabric = runtime.start(options.device, taken_precision(precision, device))
    with open_table(options.output, names) as table:
        summary = predict_images(
            fabric,
            model,
            found,
            table,
            batch_size=options.batch_size,
            workers=options.workers,
            unreadable=options.unreadable,
            warn=lambda text: _say(f"warning: {text}; left out"),
        )
    where = "" if options.output is None else f"; written to {options.output}"
    _say(
        f"{summary.predicted} images predicted, {summary.skipped} left out, "
        f"{summary.images_per_second:.1f} images/s on {fabric.device}{where}"
    )


def _export(options: argparse.Namespace) -> None:
    from pipeline_lib.artifacts.classifier import open_classifier
    from pipeline_lib.ucls.prediction import export
    from pipeline_lib.ucls.prediction.model import load_model
    from pipeline_lib.ucls.prediction.names import cluster_names
    from pipeline_lib.ucls.prediction.output import check_output

    check_output(options.output, (".onnx",), options.model)
    export.check_packages()
    artifact = open_classifier(options.model)
    names = cluster_names(artifact, options.names)
    if options.without_backbone:
        exportable = export.without_backbone(artifact, names)
    else:
        exportable = export.with_backbone(load_model(artifact, options.weights), names)
    difference = export.export_onnx(exportable, options.output, options.opset)
    _say(
        f"written to {options.output}, described in {options.output.with_suffix('.json')}; "
        f"onnxruntime gives torch's probabilities up to {difference:.1g}"
    )


def _names(options: argparse.Namespace) -> None:
    from pipeline_lib.artifacts.classifier import open_classifier
    from pipeline_lib.artifacts.dataset import open_dataset
    from pipeline_lib.artifacts.folder import META, write_atomically
    from pipeline_lib.ucls.prediction.names import names_template
    from pipeline_lib.ucls.prediction.output import check_output

    artifact = open_classifier(options.model)
    if options.output is not None:
        check_output(options.output, (".yaml", ".yml"), options.model)
        if options.output.exists() and not options.overwrite:
            raise UserError(f"--output {options.output}: exists and may hold your names; --overwrite replaces it")
    folder = options.dataset or artifact.folder.parent.parent / "datasets" / str(artifact.made_by.get("data"))
    known = options.dataset is not None or (folder / META).is_file()
    if not known:
        _say(f"no examples in the comments: {folder} is not there; --dataset names the data set's folder")
    text = names_template(artifact, open_dataset(folder) if known else None)
    if options.output is None:
        sys.stdout.write(text)
    else:
        write_atomically(options.output, text)
        _say(f"written to {options.output}; fill it in and give it to predict or export with --names")


def _say(text: str) -> None:
    """Print a line on standard error, above a progress bar where there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: must be at least 1")
    return value


def _count_or_zero(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value}: must be at least 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline_lib", description="Use a trained classifier.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_predict(commands)
    _add_export(commands)
    _add_names(commands)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text[0].lower() + text[1:].rstrip("."), description=text)
    command.add_argument(
        "--model", type=Path, required=True, metavar="FOLDER", help="classifier, such as data/classifier/digits-pixels"
    )
    return command


def _add_predict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(commands, "predict", "Predict the clusters of new images.")
    command.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGES",
        help="image files, folders (with all below them), or .parquet files with a column 'image' of encoded images",
    )
    command.add_argument(
        "--output", type=Path, metavar="FILE", help=".csv or .parquet (default: CSV on standard output)"
    )
    command.add_argument(
        "--names", type=Path, metavar="FILE", help="YAML file with names of clusters: {0: cat, 3: dog}"
    )
    command.add_argument("--batch-size", type=_count, default=64, metavar="N", help="images a batch (default: 64)")
    command.add_argument(
        "--workers", type=_count_or_zero, default=2, metavar="N", help="processes that decode images (default: 2)"
    )
    command.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="default: cuda where there is one"
    )
    command.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        help="auto: bfloat16 where it is fast (default: that in which the training features were made)",
    )
    command.add_argument(
        "--unreadable", choices=("skip", "stop"), default="skip", help="images that cannot be used (default: skip)"
    )
    _add_weights(command)
    command.set_defaults(run=_predict)


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(commands, "export", "Write an ONNX file, and beside it a JSON file that describes its use.")
    command.add_argument("--output", type=Path, required=True, metavar="FILE", help="name of the file, *.onnx")
    command.add_argument(
        "--without-backbone", action="store_true", help="the classifier alone, which takes features instead of images"
    )
    command.add_argument("--opset", type=int, default=18, metavar="N", help="ONNX operator set, 18 to 25 (default: 18)")
    command.add_argument("--names", type=Path, metavar="FILE", help="YAML file with names of clusters, to be included")
    _add_weights(command)
    command.set_defaults(run=_export)


def _add_names(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(commands, "names", "Write a YAML file in which clusters can be given names.")
    command.add_argument("--output", type=Path, metavar="FILE", help="*.yaml (default: standard output)")
    command.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    command.add_argument(
        "--dataset", type=Path, metavar="FOLDER", help="data set that was trained on (default: ../../datasets/NAME)"
    )
    command.set_defaults(run=_names)


def _add_weights(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights of the backbone where they are not where they were"
    )


if __name__ == "__main__":
    main()
