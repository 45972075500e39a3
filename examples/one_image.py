"""One image scored by hand: from the logits of any network to the centres of the windows that are worth a label."""

import numpy as np

import ripu_ray as ripu

if __name__ == "__main__":
    logits_CHW = np.random.default_rng(0).normal(size=(19, 64, 128)).astype(np.float32)
    score_HW = ripu.score_image(logits_CHW, size=(256, 512), acquisition="ripu", mode="region", window=33)
    centres_N2 = ripu.select(score_HW, budget=5, mode="region", window=33)
    print(f"{len(centres_N2)} windows of 33 x 33 pixels, the best at row and column {centres_N2[0]}")
    more_N2 = ripu.select(score_HW, budget=10, mode="region", window=33, before=centres_N2)
    print(f"{len(more_N2)} more with the budget of 10 %")
