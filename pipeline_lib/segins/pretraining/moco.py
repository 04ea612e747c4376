"""MoCo-V2 (He et al., 2020; Chen et al., 2020): a momentum encoder's keys and a queue of negatives."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, assert_never

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.gathering import gathered_shares
from pipeline_lib.base.runtime import block_of_rank, is_distributed
from pipeline_lib.segins.pretraining.batch_norm import average_statistics, split_norm, synchronised
from pipeline_lib.segins.pretraining.losses import info_nce
from pipeline_lib.segins.pretraining.method import Forward, Losses, Method, Setup
from pipeline_lib.segins.pretraining.methods import MocoSettings
from pipeline_lib.segins.pretraining.network import PretrainedNetwork, SegmentationBranch
from pipeline_lib.segins.pretraining.views import Views
from pipeline_lib.segins.resnet.build import build_resnet, stage_channels


class KeyQueue:
    """Keys of the last batches, one a column.

    Attributes:
        keys: Unit vectors, float32 (D, K).
        pointer: Column that the next batch is written to.
    """

    def __init__(self, keys: Tensor, pointer: int = 0) -> None:
        """Start with the columns of ``keys``, (D, K)."""
        self.keys = keys
        self.pointer = pointer

    @classmethod
    def random(cls, dimension: int, length: int, seed: int) -> KeyQueue:
        """A queue of random unit vectors."""
        drawn = torch.randn(dimension, length, generator=torch.Generator().manual_seed(seed))
        return cls(F.normalize(drawn, dim=0))

    def enqueue(self, keys: Tensor) -> None:
        """Overwrite the oldest columns by keys (B, D); B divides the queue's length."""
        self.keys[:, self.pointer : self.pointer + len(keys)] = keys.T
        self.pointer = (self.pointer + len(keys)) % self.keys.shape[1]


@torch.no_grad()
def follow_parameters(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """Key ← m·key + (1 - m)·query for parameters; buffers, such as batch statistics, are left alone."""
    for name, parameter in key.named_parameters():
        parameter.mul_(momentum).add_(query.get_parameter(name), alpha=1 - momentum)


def _own_rows(count: int) -> slice:
    """Rows of a global batch of ``count`` that belong to this process."""
    if not is_distributed():
        return slice(0, count)
    rows = block_of_rank(count, dist.get_rank(), dist.get_world_size())
    return slice(rows.start, rows.stop)


class MoCo(Method[MocoSettings]):
    """MoCo-V2 with an optional segmentation branch.

    Images go to the key encoder in another order than to the query encoder (shuffled over all processes), and both
    normalise parts of the batch apart, so that batch statistics do not tell which key belongs to a query.
    """

    def __init__(self, setup: Setup, settings: MocoSettings) -> None:
        """Build both encoders and the queue."""
        super().__init__(setup, settings)
        channels = stage_channels(setup.architecture)
        norm = split_norm(max(1, settings.splits // setup.processes))
        projector = nn.Sequential(
            nn.Linear(channels["res5"], channels["res5"]),
            nn.ReLU(inplace=True),
            nn.Linear(channels["res5"], settings.dimension),
        )
        branch = None if setup.segmentation is None else SegmentationBranch(channels[setup.stage])
        if branch is not None:
            # No key is told by the branch: its statistics may be those of the whole batch.
            synchronised(branch, setup.device)
        backbone = build_resnet(setup.architecture, norm_layer=norm)
        self.network = PretrainedNetwork(backbone, projector, None, branch, setup.stage)
        self.key_network = copy.deepcopy(self.network)
        self.key_network.branch = None
        self.key_network.requires_grad_(False)
        self.queue = KeyQueue.random(settings.dimension, settings.queue, setup.seed)
        self._waiting: list[Tensor] = []

    @staticmethod
    def check(setup: Setup, settings: MocoSettings) -> None:
        """Refuse sizes that MoCo cannot work with.

        Raises:
            UserError: The queue's length is no multiple of the batch size, or a part of a batch cannot be split.
        """
        if settings.queue % setup.batch_size:
            raise UserError(f"moco.queue = {settings.queue}: must be a multiple of the batch of {setup.batch_size}")
        share = setup.batch_size // setup.accumulate // setup.processes
        groups = max(1, settings.splits // setup.processes)
        if share % groups or share // groups < 2:
            raise UserError(
                f"moco.splits = {settings.splits}: the {share} images that a process works on at a time must fall "
                f"into {groups} equal groups of 2 or more"
            )

    def to(self, device: torch.device) -> None:
        """Move key encoder and queue."""
        self.key_network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.queue.keys = self.queue.keys.to(device)

    @torch.no_grad()
    def _keys(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Keys in the order of the queries, the stage's map in the order that it was made in, and that order.

        Args:
            images: This process' share of the second view, (n, 3, S, S).
            generator: The same in every process.

        Returns:
            Unit keys (n, D); map (n, C, h, w) of the images ``order`` of the global batch; ``order`` (n,).
        """
        everything = gathered_shares(images)  # (N, 3, S, S)
        permutation = torch.randperm(len(everything), generator=generator)
        own = _own_rows(len(everything))
        order = permutation[own].to(images.device)
        shuffled = everything[order].contiguous(memory_format=torch.channels_last)
        with self.setup.autocast():
            embeddings, _, stage_map = self.key_network.encode(shuffled)
        keys = F.normalize(embeddings.float(), dim=1)
        back = permutation.argsort().to(images.device)
        return gathered_shares(keys)[back][own], stage_map, order

    def before_training(self, views: Iterable[Views]) -> None:
        """Fill the queue with keys of training images, where ``queue_start`` asks for it."""
        match self.settings.queue_start:
            case "random":
                pass
            case "images":
                self._fill_queue(views)
            case _:
                assert_never(self.settings.queue_start)

    def _fill_queue(self, views: Iterable[Views]) -> None:
        length, filled = self.queue.keys.shape[1], 0
        for number, part in enumerate(views):
            keys, _, _ = self._keys(part.images[1], torch.Generator().manual_seed(number))
            everyone = gathered_shares(keys)
            self.queue.enqueue(everyone)
            filled += len(everyone)
            if filled >= length:
                return
        # Fewer images than the queue holds: their keys are repeated.
        self.queue.keys = self.queue.keys[:, torch.arange(length, device=self.queue.keys.device) % filled]

    def losses(self, forward: Forward, views: Views, first: bool, generator: torch.Generator) -> Losses:
        """Eq. 3.3 with the second global view as key and all others as queries, and the segmentation loss.

        The branch reads the key encoder's map of the second view, which has no gradient, so that no view is encoded
        twice: of that view's loss only the branch learns.
        """
        query_view, key_view, *local_views = views.images
        if first:
            follow_parameters(self.key_network, self.network, self.settings.key_momentum)
        # Nothing that the queries depend on is changed by the keys: it does not matter which come first.
        keys, key_map, order = self._keys(key_view, generator)
        others = [key_map] if self.setup.segmentation is not None else []
        embeddings, _, logits = forward([query_view, *local_views], 1, others)
        queries = [F.normalize(embedding, dim=1) for embedding in embeddings]
        each = [info_nce(query, keys, self.queue.keys, self.settings.temperature) for query in queries]
        self._waiting.append(gathered_shares(keys))
        masks = list(views.masks)
        if masks:
            masks[1] = gathered_shares(masks[1])[order]
        return self.combined(torch.stack(each).mean(), embeddings[0], logits, masks)

    def after_part(self) -> None:
        """Both encoders' batch statistics are those of the parts of all processes."""
        average_statistics([self.network, self.key_network])

    def after_batch(self) -> None:
        """Put the batch's keys into the queue."""
        self.queue.enqueue(torch.cat(self._waiting))
        self._waiting = []

    def state(self) -> dict[str, Any]:
        """Key encoder and queue."""
        return {
            "key_network": self.key_network.state_dict(),
            "queue": self.queue.keys,
            "pointer": self.queue.pointer,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up key encoder and queue."""
        self.key_network.load_state_dict(state["key_network"])
        self.queue = KeyQueue(state["queue"].to(self.queue.keys.device), int(state["pointer"]))
