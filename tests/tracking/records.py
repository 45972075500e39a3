"""Records of a small trial."""

from dataclasses import replace

from ripu_ray.runs.record import RoundRecord

RECORD = RoundRecord(
    round=0,
    step=20,
    budget_pixels=100,
    spent_pixels=45,
    void_pixels=2,
    clipped_pixels=0,
    clicks=5,
    spent_share=0.009,
    miou=0.5,
    accuracy=0.75,
    iou={"road": 0.75, "pole": 0.25, "train": None},
    losses={"total": 1.5},
    purchase_sha256="",
    weights_sha256="",
    boundary_pixels=0,
    annotation_s=0.0,
    bought={},
)
WARMUP = replace(RECORD, round=-1, step=10, spent_pixels=0, spent_share=0.0, miou=0.25)
ROUNDS = [RECORD, replace(RECORD, round=1, step=40, spent_pixels=90, spent_share=0.018, miou=0.625)]
