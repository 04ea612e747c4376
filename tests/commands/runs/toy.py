"""Stands in for all stages in a toy repository: counts its calls, and passes on what it reads and is told."""

import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(os.environ["DVC_ROOT"])


def read_params():
    """Sections of params.yaml whose values are plain."""
    params, section = {}, {}
    for line in Path("params.yaml").read_text().splitlines():
        key, _, value = line.strip().partition(":")
        if not line.startswith(" "):
            section = params[key] = {}
        elif line.startswith("  ") and line[2] not in " -":
            section[key] = value.strip()
    return params


def write(path, content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def read(path):
    return json.loads(Path(path).read_text())


def told():
    """What the toy is told in a file of its repository."""
    return read(ROOT / "told.json") if (ROOT / "told.json").is_file() else {}


def run(stage):
    item = {key.removeprefix("--"): value for key, value in zip(sys.argv[1::2], sys.argv[2::2], strict=True)}
    data = item.pop("data", "")
    name = "-".join([stage, *(value for key, value in item.items() if key in ("method", "given", "start"))])
    with (ROOT / "calls.txt").open("a") as calls:
        calls.write(f"{name}\n")
    print(f"{name} says something", flush=True)
    if name in told().get("refused", {}):
        sys.exit(f"error: {told()['refused'][name]}")
    if name in told().get("broken", []):
        raise RuntimeError("broken")
    if name in told().get("waits", []):
        time.sleep(60)
    params = read_params()
    made = globals().get(f"make_{stage}", lambda *_: None)(params, data, item)
    if "backbone" in item:
        write(f"metrics/{data}-{item['backbone']}/{'ucls' if stage == 'evaluate' else stage}.json", made or {})
    elif made is not None:
        write(f"metrics/segins/{data}/{'-'.join([stage, *item.values()])}.json", made)


def make_classes(_, data, item):
    write(f"data/classes/{data}-{item['backbone']}/meta.json", {"kind": "classes"})


def make_knn(params, data, item):
    run = f"{data}-{item['backbone']}"
    assert Path(f"data/features/{run}/meta.json").is_file()
    threshold = params["knn"]["threshold"]
    write(f"data/neighbors/{run}/meta.json", {"threshold": 0.25 if threshold == "auto" else float(threshold)})
    return {"neighbors_mean": 10.0}


def make_similarity(_, data, item):
    threshold = read(f"data/neighbors/{data}-{item['backbone']}/meta.json")["threshold"]
    return {f"oracle_accuracy_above_{threshold}": threshold}


def make_data_set(_, data, __):
    assert Path(f"data/datasets/{data}/meta.json").is_file()
    write(f"metrics/{data}/data_set.json", {"classes": 7})


def make_train_heads(params, data, item):
    run = f"{data}-{item['backbone']}"
    threshold = read(f"data/neighbors/{run}/meta.json")["threshold"]
    write(f"data/heads/{run}/meta.json", {"acc": threshold + int(params["suite"]["seed"]) / 100})
    return {"loss": 0.0}


def _passed_on(before, after):
    def make(_, data, item):
        run = f"{data}-{item['backbone']}"
        write(f"data/{after}/{run}/meta.json", read(f"data/{before}/{run}/meta.json"))

    return make


make_assign = _passed_on("heads", "assignments")
make_consensus = _passed_on("assignments", "consensus")
make_self_train = _passed_on("consensus", "classifier")


def make_evaluate(_, data, item):
    acc = read(f"data/classifier/{data}-{item['backbone']}/meta.json")["acc"]
    return {f"best_head_{measure}": acc for measure in ("nmi", "acc", "ari")}


def make_scenes(params, *_):
    write("data/raw/scenes/0.txt", int(params["scenes"]["contrast"].replace(".", "")))


def make_annotate(_, data, __):
    assert Path(f"data/raw/{data}/0.txt").is_file()
    # As the data set's artifact does: it names the folder of its images, not what is in it.
    write(f"data/annotated/{data}/images/meta.json", {"root": f"data/raw/{data}"})
    return {"images": 1}


def _image(data):
    return read(Path(read(f"data/annotated/{data}/images/meta.json")["root"]) / "0.txt")


def make_given_checkpoint(_, data, item):
    write(f"data/checkpoints/{data}/{item['given']}/meta.json", {"top1": 0.05})


def make_pretrain_baseline(params, data, item):
    seed = int(params["segins_suite"]["seed"])
    images = _image(data)
    write(f"data/checkpoints/{data}/{item['method']}-baseline/meta.json", {"top1": 0.1 + seed / 100, "images": images})
    return {"id_loss": 1.0, "collapsed": seed == 1}


def make_masks(params, data, item):
    assert Path(f"data/checkpoints/{data}/{item['method']}-baseline/meta.json").is_file()
    write(f"data/masks/{data}/{item['method']}/meta.json", {"source": params["masks"]["source"]})
    return {"pseudo": {"iou_with_masks": 0.5}}


def make_pretrain_segins(params, data, item):
    weight = params["segins"]["lambda"]
    value = 0.2 if weight == "auto" else float(weight) / 10
    write(f"data/checkpoints/{data}/{item['method']}-segins/meta.json", {"top1": value, "images": _image(data)})
    return {"id_loss": 2.0, "collapsed": False}


def make_linear_eval(_, data, item):
    return read(f"data/checkpoints/{data}/{item['start']}/meta.json")


def make_detection(_, __, item):
    return {"ap": 0.5, "images": _image(item["target"])}
