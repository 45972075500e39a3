"""Small files of answers about the first image of the pool."""

from typing import Any

SIZE = 32, 48


def coco_tree(segmentation: object, category: int = 0, **image: object) -> dict[str, Any]:
    names = ["road", "query", "void"]
    return {
        "images": [{"id": 1, "file_name": "target/train/00000.png", "height": 32, "width": 48, **image}],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        "annotations": [{"id": 5, "image_id": 1, "category_id": category, "segmentation": segmentation}],
    }


def task(**value: object) -> list[dict[str, Any]]:
    kind = next(key for key in value if key.endswith("labels"))
    region = {"id": "r1", "type": kind, "original_width": 48, "original_height": 32, "value": value}
    annotation = {"id": 9, "lead_time": 30.0, "result": [region]}
    return [{"data": {"image": "/data/upload/1/0a1b2c3d-00000.png"}, "annotations": [annotation]}]


def cvat(shape: str, name: str = "target/train/00000.png") -> str:
    image = f'<image id="0" name="{name}" width="48" height="32">{shape}</image>'
    return f"<annotations><version>1.1</version>{image}</annotations>"


def changed(tree: Any, place: str, **values: object) -> Any:
    """A tree with other values of the first entry of `place`, or of its first result if that is "result"."""
    entry = tree[0]["annotations"][0]["result"][0] if place == "result" else tree[place][0]
    entry.update(values)
    return tree
