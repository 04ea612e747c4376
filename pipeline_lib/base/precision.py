"""Which type products are computed in: what ``auto`` takes on a device, and what bfloat16 costs where it is slow."""

from __future__ import annotations

import time

import torch

from pipeline_lib.base.runtime import DeviceType
from pipeline_lib.base.settings import Precision, PrecisionName

SLOW = 1.25
"""Factor from which bfloat16 is called slow; below it is what other load on the machine does to a short measurement."""
_SIDE = 256
_REPETITIONS = 5


def computes_bfloat16(device: DeviceType) -> bool:
    """Whether a device multiplies in bfloat16 natively, which takes about half of float32's time.

    Of a CPU the instruction set decides (AMX or AVX512_BF16): torch also takes bfloat16 where it has to be computed by
    other instructions, which is many times slower. Of CUDA it is compute capability 8.0 or above.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        # Every processor with AMX tiles has products of bfloat16 in them.
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return False


def taken_precision(precision: PrecisionName, device: DeviceType) -> Precision:
    """The precision itself; for ``auto`` bfloat16 where the device computes it natively, else float32."""
    if precision == "auto":
        return "bfloat16" if computes_bfloat16(device) else "float32"
    return precision


def bfloat16_factor(device: DeviceType) -> float:
    """Time of a matrix product in bfloat16 over that in float32, measured in some hundredths of a second."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(_SIDE, _SIDE, generator=generator).to(device)
    half = matrix.bfloat16()
    seconds = {matrix.dtype: float("inf"), half.dtype: float("inf")}
    for factor in (matrix, half):
        _seconds_of_product(factor)  # the first one sets up libraries
    # In turn, so that other load on the machine meets both alike.
    for _ in range(_REPETITIONS):
        for factor in (matrix, half):
            seconds[factor.dtype] = min(seconds[factor.dtype], _seconds_of_product(factor))
    return seconds[half.dtype] / seconds[matrix.dtype]


def slow_bfloat16(precision: PrecisionName, device: DeviceType) -> str | None:
    """What to warn of where bfloat16 is asked for by name and slower than float32; None: nothing.

    Args:
        precision: The setting; ``auto`` and ``float32`` are not measured.
        device: Where it is computed.

    Returns:
        One line with the measured factor.
    """
    if precision != "bfloat16":
        return None
    factor = bfloat16_factor(device)
    if factor < SLOW:
        return None
    return (
        f"precision = bfloat16: a matrix product takes {factor:.1f} times as long as in float32 on this {device}; "
        "use float32 or auto"
    )


def _seconds_of_product(factor: torch.Tensor) -> float:
    started = time.perf_counter()
    float((factor @ factor)[0, 0])  # waits for the device
    return time.perf_counter() - started
