"""A network of one's own: a class with `forward` and `head`, registered with a builder."""

from torch import nn

import ripu_ray as ripu

SMALL = {"data.size": [48, 64], "data.num_pool": 8, "strategy.rounds": 2}
SMALL |= {"training.warmup_steps": 20, "training.round_steps": 5}


class Plain(ripu.Network):
    """Two convolutions; logits at a quarter of the image's size."""

    def __init__(self, num_classes, width):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, width, 7, stride=4, padding=3), nn.ReLU())
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images_B3HW):
        """(B, 3, h, w) -> (B, C, h / 4, w / 4)."""
        return self.head(self.features(images_B3HW))


@ripu.network("plain")
def plain(model, num_classes):
    """Build the network from the section `model` of the configuration."""
    return Plain(num_classes, model.width)


if __name__ == "__main__":
    results = ripu.run(name="own-network", settings=SMALL | {"model.name": "plain", "cluster.scorers": 0})
    assert not results.failures
    print(results.frame[["round", "miou"]])
