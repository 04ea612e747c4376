import pytest
import torch

from pipeline_lib.base import precision
from pipeline_lib.base.precision import bfloat16_factor, computes_bfloat16, slow_bfloat16, taken_precision


def pretend(monkeypatch: pytest.MonkeyPatch, *, amx: bool, avx512: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)


@pytest.mark.parametrize(
    ("amx", "avx512", "taken"),
    [(False, False, "float32"), (True, False, "bfloat16"), (False, True, "bfloat16")],
)
def test_auto_follows_the_instructions_of_the_processor(monkeypatch, amx, avx512, taken):
    pretend(monkeypatch, amx=amx, avx512=avx512)
    assert taken_precision("auto", "cpu") == taken


def test_auto_follows_the_capability_of_a_gpu_and_not_emulation(monkeypatch):
    asked = {}

    def supported(including_emulation=True):
        asked["emulation"] = including_emulation
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert taken_precision("auto", "cuda") == "float32"
    assert asked == {"emulation": False}
    assert not computes_bfloat16("mps")


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_named_precision_is_taken_whatever_the_processor(monkeypatch, name):
    for has in (False, True):
        pretend(monkeypatch, amx=has, avx512=has)
        assert taken_precision(name, "cpu") == name


def test_the_warning_is_one_line_with_the_measured_factor(monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_factor", lambda _: 17.04)
    line = slow_bfloat16("bfloat16", "cpu")
    assert line is not None
    assert "17.0 times" in line
    assert "\n" not in line
    monkeypatch.setattr(precision, "bfloat16_factor", lambda _: precision.SLOW - 0.01)
    assert slow_bfloat16("bfloat16", "cpu") is None


@pytest.mark.parametrize("name", ["auto", "float32"])
def test_only_bfloat16_by_name_is_measured(monkeypatch, name):
    monkeypatch.setattr(precision, "bfloat16_factor", lambda _: pytest.fail("measured"))
    assert slow_bfloat16(name, "cpu") is None


def test_the_factor_is_that_of_the_fastest_products(monkeypatch):
    times = {
        torch.float32: iter([9.0, 3.0, 2.0, 4.0, 3.0, 5.0]),
        torch.bfloat16: iter([1.0, 30.0, 20.0, 25.0, 30.0, 30.0]),
    }
    monkeypatch.setattr(precision, "_seconds_of_product", lambda factor: next(times[factor.dtype]))
    assert bfloat16_factor("cpu") == pytest.approx(10.0)
