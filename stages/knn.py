"""Nearest neighbours of every training image, with the adaptive similarity threshold (thesis 5.2.5)."""

from __future__ import annotations

from pipeline_lib.artifacts.class_count import open_class_count
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.artifacts.neighbors import open_neighbors
from pipeline_lib.base import runtime
from pipeline_lib.features.principal_components import fitted_components
from pipeline_lib.features.search_space import ReducedSpace, SearchSpace
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule, fitted_k_max, fitted_k_min
from pipeline_lib.ucls.neighbors.auto_threshold import choose_threshold
from pipeline_lib.ucls.neighbors.engines import SearchMachine
from pipeline_lib.ucls.neighbors.finding import find_neighbors
from pipeline_lib.ucls.neighbors.statistics import oracle_neighbor_accuracy
from stages._context import StageContext, chosen_blocks, run_stage


def run(context: StageContext) -> None:
    """Search, write the lists, report their lengths and, where labels are known, how often they are right."""
    section, seen, machine = context.params.knn, context.params.features, context.params.machine
    fabric = runtime.start(machine.device)
    features = open_features(context.artifact("features"))
    blocks = chosen_blocks(context, features.blocks, features.default_blocks)
    train = features.split("train", blocks)
    space = SearchSpace(train, centre=seen.centre, normalise_blocks=seen.normalise_blocks)
    classes = open_class_count(context.artifact("classes")).classes
    components = fitted_components(section.components, space.dimension, space.count, classes)
    if components is not None:
        space = ReducedSpace(space, components)
    k_min = fitted_k_min(train.count, classes) if section.k_min == "auto" else section.k_min
    k_max = fitted_k_max(train.count, classes, k_min) if section.k_max == "auto" else section.k_max
    threshold = section.threshold
    if not section.adaptive:
        threshold = 1.0
    elif threshold == "auto":
        threshold = choose_threshold(space, classes, shared=section.shared_neighbors, seed=context.seed).threshold
    settings = section.model_dump() | seen.model_dump() | {"blocks": list(blocks), "seed": context.seed}
    settings |= {"k_min": k_min, "k_max": k_max, "threshold": threshold, "components": components}
    metrics = find_neighbors(
        space,
        context.artifact("neighbors"),
        AdaptiveRule(threshold, k_min, k_max, section.adaptive),
        index=section.index,
        machine=SearchMachine(machine.thread_count, machine.device, machine.memory_bytes, engine=section.engine),
        size_limit=int(section.artifact_gb * 2**30),
        seed=context.seed,
        made_by=context.made_by(settings),
    )
    if not fabric.is_global_zero:
        return
    labels = open_dataset(context.artifact("datasets")).oracle_labels("train")
    if labels is not None:
        metrics |= oracle_neighbor_accuracy(open_neighbors(context.artifact("neighbors")), labels)
    context.write_metrics({"threshold": threshold, "components": space.dimension, **metrics})
    context.report(f"{train.count} images, threshold {threshold}, {metrics['neighbors_mean']:.1f} neighbours an image")


if __name__ == "__main__":
    run_stage(run, "knn", "Find the neighbours of every training image.")
