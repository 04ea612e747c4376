"""Small settings for the tests of pretraining."""

from pipeline_lib.segins.pretraining.methods import MocoSettings, SimSiamSettings
from pipeline_lib.segins.pretraining.settings import PretrainSettings, SegInsSettings


def pretrain_settings(**changes):
    values = {
        "architecture": "resnet18",
        "global_size": 32,
        "global_scale": (0.2, 1.0),
        "local_crops": 0,
        "local_size": 32,
        "local_scale": (0.05, 0.4),
        "epochs": 2,
        "batch_size": 8,
        "accumulate": 1,
        "precision": "float32",
        "monitor_every": 1,
        "monitor_images": 16,
    }
    return PretrainSettings(**(values | changes))


def simsiam_settings(**changes):
    values = {
        "learning_rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "projector": 32,
        "predictor": 8,
        "zero_init_residual": True,
        "baseline": None,
    }
    return SimSiamSettings(**(values | changes))


def moco_settings(**changes):
    values = {
        "learning_rate": 0.03,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "dimension": 16,
        "queue": 32,
        "queue_start": "images",
        "key_momentum": 0.99,
        "temperature": 0.2,
        "splits": 2,
        "baseline": None,
    }
    return MocoSettings(**(values | changes))


def segins_settings(**changes):
    return SegInsSettings(**({"lambda": "auto", "loss": "dice", "stage": "res4"} | changes))
