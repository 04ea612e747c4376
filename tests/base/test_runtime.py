from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.runtime import (
    all_reduce,
    as_float64,
    block_of_rank,
    fixed_shapes,
    is_distributed,
    mean_over_processes,
    start,
    sum_dtype,
)


@pytest.mark.parametrize(("count", "world_size"), [(10, 1), (10, 3), (2, 4), (0, 2), (1_000_003, 7)])
def test_blocks_of_all_processes_partition_the_rows_evenly(count, world_size):
    blocks = [block_of_rank(count, rank, world_size) for rank in range(world_size)]
    assert blocks[0].start == 0
    assert blocks[-1].stop == count
    assert all(before.stop == after.start for before, after in pairwise(blocks))
    sizes = [len(block) for block in blocks]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"^device = cuda: .*; use auto or cpu$"):
        start("cuda")


def test_auto_takes_the_cpu_where_there_is_no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    fabric = start("auto")
    assert fabric.device == torch.device("cpu")
    assert fabric.world_size == 1
    assert fabric.is_global_zero


@pytest.mark.cuda
@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_auto_takes_cuda_where_there_is_one(precision, dtype):
    fabric = start("auto", precision)
    assert fabric.device.type == "cuda"
    layer = fabric.setup_module(torch.nn.Linear(3, 2))
    with fabric.autocast():
        product = torch.nn.functional.linear(torch.ones(1, 3, device=fabric.device), layer.weight)
    assert (product.device.type, product.dtype) == ("cuda", dtype)
    assert sum_dtype(fabric.device) == torch.float64


def test_start_seeds_torch_and_numpy():
    drawn = []
    for seed in (5, 5, 6):
        start("cpu", seed=seed)
        drawn.append((torch.rand(4).tolist(), np.random.random(4).tolist()))
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[2][0]
    assert drawn[0][1] != drawn[2][1]


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_precision_is_that_of_the_products_not_of_the_parameters(precision, dtype):
    fabric = start("cpu", precision)
    layer = fabric.setup_module(torch.nn.Linear(3, 2))
    with fabric.autocast():
        assert torch.nn.functional.linear(torch.ones(1, 3), layer.weight).dtype == dtype
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize("operation", ["sum", "max"])
def test_all_reduce_of_one_process_is_the_tensor_itself(operation):
    assert not is_distributed()
    tensor = torch.tensor([1.0, -2.0], requires_grad=True)
    assert all_reduce(tensor, operation) is tensor


def test_mean_over_one_process_keeps_value_and_gradient():
    tensor = torch.tensor([1.0, -2.0], requires_grad=True)
    mean = mean_over_processes(tensor)
    assert torch.equal(mean, tensor)
    (mean**2).sum().backward()
    assert torch.equal(tensor.grad, 2 * tensor.detach())


def two_processes(rank, meeting, results):
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    weight = torch.tensor([0.5, 2.0], requires_grad=True)
    shares = torch.tensor([[1.0, 2.0, 3.0], [5.0, 8.0, 13.0]])  # one row a process
    mean = mean_over_processes((weight[:, None] * shares[rank]).mean(dim=-1))
    mean.pow(3).sum().backward()
    gradient = all_reduce(weight.grad) / 2  # as DDP averages
    largest = all_reduce(torch.tensor([float(rank), -float(rank)]), "max")
    torch.save({"mean": mean.detach(), "gradient": gradient, "largest": largest}, f"{results}.{rank}")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_value_and_gradient_of_the_whole_batch(tmp_path):
    multiprocessing.spawn(two_processes, (tmp_path / "meeting", tmp_path / "result"), nprocs=2)
    weight = torch.tensor([0.5, 2.0], requires_grad=True)
    mean = (weight[:, None] * torch.tensor([1.0, 2.0, 3.0, 5.0, 8.0, 13.0])).mean(dim=-1)
    mean.pow(3).sum().backward()
    for rank in range(2):
        result = torch.load(tmp_path / f"result.{rank}")
        torch.testing.assert_close(result["mean"], mean.detach())
        torch.testing.assert_close(result["gradient"], weight.grad)
        assert result["largest"].tolist() == [1.0, 0.0]


def test_sums_are_of_64_bits_where_the_device_has_them():
    assert (sum_dtype(torch.device("cpu")), sum_dtype(torch.device("mps"))) == (torch.float64, torch.float32)
    assert as_float64(torch.ones(2)).dtype == torch.float64


def test_cudnn_measures_only_where_shapes_are_fixed():
    before = torch.backends.cudnn.benchmark
    with fixed_shapes():
        assert torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark == before
