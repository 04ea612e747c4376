"""The number of classes: what params.yaml gives, or chosen without labels by comparing candidates."""

from __future__ import annotations

import numpy as np

from pipeline_lib.artifacts.class_count import open_class_count, write_class_count
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.reports.ucls.class_count import write_class_count_picture
from pipeline_lib.ucls.class_count.search import score_class_counts
from stages._context import StageContext, chosen_blocks, run_stage


def choose(context: StageContext) -> None:
    """Score the candidates on the train split and write the artifact."""
    section, seen = context.params.classes, context.params.features
    features = open_features(context.artifact("features"))
    blocks = chosen_blocks(context, features.blocks, features.default_blocks)
    space = SearchSpace(features.split("train", blocks), centre=seen.centre, normalise_blocks=seen.normalise_blocks)
    found = score_class_counts(space, section, seed=context.seed)
    settings = section.model_dump() | seen.model_dump() | {"blocks": list(blocks), "seed": context.seed}
    write_class_count(
        context.artifact("classes"),
        classes=found.classes,
        candidates=found.candidates,
        scores=found.scores,
        spread=found.spread,
        made_by=context.made_by(settings | {"images": found.images}),
    )


def run(context: StageContext) -> None:
    """Take or choose the number; report the true one beside it where labels are known."""
    given = context.params.datasets[context.data].classes
    folder = context.artifact("classes")
    if given == "auto":
        choose(context)
    else:
        write_class_count(folder, classes=given, made_by=context.made_by({"classes": given}))
    count = open_class_count(folder)
    metrics: dict[str, int | float] = {"classes": count.classes, "candidates": len(count.candidates)}
    if not count.given:
        metrics["score"] = round(max(count.scores), 4)
    labels = open_dataset(context.artifact("datasets")).oracle_labels("train")
    oracle = None if labels is None else len(np.unique(labels[labels >= 0]))
    if oracle is not None:
        metrics["oracle_classes"] = oracle
    context.write_metrics(metrics)
    picture = context.root / "reports" / context.run / "classes.png"
    write_class_count_picture(picture, count.classes, count.candidates, count.scores, count.spread, oracle)
    context.report(f"{count.classes} classes, {'given' if count.given else f'of {len(count.candidates)} candidates'}")


if __name__ == "__main__":
    run_stage(run, "classes", "Take or choose the number of classes.")
