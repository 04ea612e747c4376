"""Combine the assignments of all heads into one clustering, on every split (thesis 5.1.2)."""

from __future__ import annotations

from typing import Any

from pipeline_lib.artifacts.assignments import open_assignments
from pipeline_lib.artifacts.consensus import write_consensus
from pipeline_lib.ucls.consensus.ensemble import build_consensus
from stages._context import StageContext, run_stage


def run(context: StageContext) -> None:
    """Run all methods on train and choose one there; the other splits have the same, or choose for themselves."""
    section = context.params.consensus
    assignments = open_assignments(context.artifact("assignments"))
    choose: str = section.choose
    splits, metrics, times = {}, dict[str, Any](), []
    # Means of heads that number their clusters each in its own way would say nothing.
    aligned = assignments.probabilities == "mean" and context.params.train_heads.alignment > 0
    for split in sorted(assignments.splits, key=lambda name: name != "train"):
        result = build_consensus(
            assignments.labels(split),
            assignments.classes,
            methods=section.methods,
            choose=choose,
            mean_probability=assignments.probability(split) if aligned else None,
            settings=section,
            seed=context.seed,
        )
        if section.choose_on == "train":
            choose = result.chosen
        splits[split] = result.for_artifact(assignments.ids(split))
        for name, method in result.methods.items():
            if method.anmi is None:
                metrics[f"{split}_{name}_skipped"] = method.skipped
            else:
                metrics[f"{split}_{name}_anmi"] = round(method.anmi, 4)
            times.append(f"{split} {name} {method.seconds:.1f} s")
        metrics[f"{split}_agreement"] = round(float(result.agreement.mean()), 4)
    write_consensus(
        context.artifact("consensus"),
        splits=splits,
        classes=assignments.classes,
        settings=result.recorded_settings,
        made_by=context.made_by(section.model_dump() | {"seed": context.seed}),
    )
    chosen = {split: content.chosen for split, content in splits.items()}
    others = {f"{split}_chosen": name for split, name in chosen.items() if name != chosen["train"]}
    context.write_metrics({"chosen": chosen["train"], **others, **metrics})
    context.report(f"chosen: {', '.join(f'{split} {name}' for split, name in chosen.items())}; {', '.join(times)}")


if __name__ == "__main__":
    run_stage(run, "consensus", "Build the consensus of the heads.")
