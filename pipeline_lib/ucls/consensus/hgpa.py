"""Hypergraph partitioning (Strehl & Ghosh 2002, section 3.3): cut few clusters of the heads into balanced parts."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module, metadata
from typing import Any, assert_never

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pipeline_lib.base.contingency import Integers
from pipeline_lib.ucls.consensus.hypergraph import Hyperedges, incidence
from pipeline_lib.ucls.consensus.mcla import Labelling
from pipeline_lib.ucls.consensus.metis import metis_version, partition_graph
from pipeline_lib.ucls.consensus.settings import ConsensusSettings, MethodSkippedError

_STAR_SCALE = 1 << 16
# Mt-KaHyPar leaves larger hyperedges out without a word.
_MTKAHYPAR_LARGEST_NET = 50_000


def star_expansion(members: Any) -> Any:
    """Graph with one vertex more for each hyperedge, joined to its images.

    An edge weighs 1 / size of its hyperedge (as an integer: × 2¹⁶, at least 1), so that all hyperedges weigh the same.
    Cutting hyperedge e then costs the share of its images that its vertex is not with; the hypergraph's cut costs 1
    whatever the share: an approximation, which METIS can minimise, and on noisy heads a far better objective than the
    one it stands for. With edges of equal weight it would be HBGF (Fern & Brodley 2004).

    Args:
        members: Incidence matrix, CSR (M, n).

    Returns:
        CSR matrix (n + M, n + M) of int64 weights, one direction of each edge; images come first.
    """
    edges, images = members.shape
    size = np.diff(members.indptr)
    weights = np.maximum(_STAR_SCALE // np.maximum(size, 1), 1)
    indptr = np.concatenate([np.zeros(images, dtype=np.int64), members.indptr])
    return sp.csr_matrix((np.repeat(weights, size), members.indices, indptr), shape=(images + edges, images + edges))


def _with_metis(members: Any, classes: int, imbalance: float, seed: int) -> NDArray[np.int32]:
    edges, images = members.shape
    # Only images count for the balance.
    load = np.concatenate([np.ones(images, dtype=np.int64), np.zeros(edges, dtype=np.int64)])
    graph = star_expansion(members)
    return partition_graph(graph, classes, seed=seed, imbalance=imbalance, vertex_weights=load)[:images]


@lru_cache(maxsize=1)
def _mtkahypar() -> tuple[Any, Any]:
    """The optional package and its engine with one thread; it can be started once in a process."""
    try:
        package: Any = import_module("mtkahypar")
    except ImportError:
        raise MethodSkippedError(
            "hgpa_tool = mtkahypar: the package is not installed (pip install mtkahypar)"
        ) from None
    return package, package.initialize(1)


def _with_mtkahypar(members: Any, classes: int, imbalance: float, seed: int) -> NDArray[np.int32]:
    mtkahypar, engine = _mtkahypar()
    largest = int(np.diff(members.indptr).max())
    if largest > _MTKAHYPAR_LARGEST_NET:
        raise MethodSkippedError(
            f"a cluster has {largest} images; Mt-KaHyPar ignores those above {_MTKAHYPAR_LARGEST_NET}; use metis"
        )
    mtkahypar.set_seed(seed)
    context = engine.context_from_preset(mtkahypar.PresetType.DETERMINISTIC)
    context.set_partitioning_parameters(classes, imbalance, mtkahypar.Objective.CUT)
    nets = np.split(members.indices, members.indptr[1:-1])
    graph = engine.create_hypergraph(context, members.shape[1], members.shape[0], nets)
    return np.asarray(graph.partition(context).get_partition(), dtype=np.int32)


def hgpa(assignments: Integers, edges: Hyperedges, classes: int, settings: ConsensusSettings, seed: int) -> Labelling:
    """Hypergraph partitioning: all hyperedges and all images weigh the same, parts are balanced.

    With ``hgpa_tool`` ``metis`` an approximation (:func:`star_expansion`); with ``mtkahypar`` the cut itself.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        classes: Number of classes k.
        settings: ``hgpa_…`` and ``imbalance`` are used.
        seed: Seed of the partitioner.

    Returns:
        Labels; the note names the tool.

    Raises:
        MethodSkippedError: The ensemble is larger than ``hgpa_pin_limit``, or the tool cannot take it.
    """
    heads, images = assignments.shape
    if heads * images > settings.hgpa_pin_limit:
        raise MethodSkippedError(
            f"{heads} heads of {images} images are {heads * images} pins, above hgpa_pin_limit = "
            f"{settings.hgpa_pin_limit}"
        )
    if images <= classes:
        labels = np.arange(images, dtype=np.int32)
        return Labelling(labels, None, f"{images} images for {classes} classes: each is a cluster of its own")
    members = incidence(assignments, edges)
    match settings.hgpa_tool:
        case "metis":
            labels = _with_metis(members, classes, settings.imbalance, seed)
            return Labelling(labels, None, f"{metis_version()} on the star expansion")
        case "mtkahypar":
            labels = _with_mtkahypar(members, classes, settings.imbalance, seed)
            return Labelling(labels, None, f"mtkahypar {metadata.version('mtkahypar')}, deterministic preset")
        case _:
            assert_never(settings.hgpa_tool)
