"""What pretraining does in several processes, in one that torchrun started: process group, DDP, batch norm over it.

A stage makes no process group where it is alone, so this one is made by hand. It tells whether backend, wrapper and
collectives work on a device; whether results are right with several processes is what the tests with gloo say.
"""

from __future__ import annotations

import sys
import time

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import nn

from pipeline_lib.segins.resnet.build import build_resnet


def main() -> None:
    """Print ``smoke_NAME=VALUE`` lines; any failure is an exception.

    Raises:
        RuntimeError: A collective gave something else than one process has to.
    """
    device = sys.argv[1]
    fabric = Fabric(accelerator=device, devices=1, strategy="ddp", precision="bf16-mixed")
    fabric.launch()
    print(f"smoke_backend={dist.get_backend()}")
    own = torch.arange(6.0, device=fabric.device).view(2, 3)
    total = own.clone()
    dist.all_reduce(total)
    parts = [torch.empty_like(own)]
    dist.all_gather(parts, own)
    dist.broadcast(total, src=0)
    dist.barrier()
    if not (torch.equal(total, own) and torch.equal(parts[0], own)):
        raise RuntimeError(f"collectives of one process changed {own.tolist()}")
    print("smoke_collectives=right")
    network: nn.Module = build_resnet("resnet18")
    if device == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    model, optimizer = fabric.setup(network, torch.optim.SGD(network.parameters(), lr=0.01))
    images = torch.randn(8, 3, 64, 64, device=fabric.device)
    started = time.perf_counter()
    for _ in range(3):
        loss = model(images).float().pow(2).mean()
        fabric.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    if not bool(loss.isfinite()):
        raise RuntimeError(f"loss {float(loss)} after three steps")
    print(f"smoke_normalisation={'SyncBatchNorm' if device == 'cuda' else 'BatchNorm2d'}")
    print(f"smoke_three_steps_seconds={time.perf_counter() - started:.2f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
