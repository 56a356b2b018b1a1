"""The data set that is always there: 1,797 real handwritten digits, 8x8 pixels."""

from __future__ import annotations

import numpy as np
import torch

from pyro_vae.data.dataset import Dataset

DIGITS_ABOUT = "8x8 handwritten digits of UCI (Alpaydin and Kaynak, 1998), kept in scikit-learn"
DIGITS_LICENCE = "CC BY 4.0"
DIGITS_SIZES = (1297, 200, 300)


def digits() -> Dataset:
    """scikit-learn's digits as grey images, pixels / 16, with events of shape (1, 8, 8).

    The 1,797 images are put into one fixed random order, then 1,297 train, 200 validate and 300
    test. Needs no network.

    >>> digits().flatten()
    Dataset('digits', grey, train=(1297, 64), valid=(200, 64), test=(300, 64), labels)
    """
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    # The legacy generator: numpy promises that its stream never changes, so nor does the split.
    order = np.random.RandomState(0).permutation(len(pixels))
    x = torch.from_numpy(pixels[order].astype(np.float32) / 16).reshape(-1, 1, 8, 8)
    y = torch.from_numpy(classes[order].astype(np.int64))
    train, valid, test = x.split(DIGITS_SIZES)
    return Dataset(
        name="digits",
        train=train,
        valid=valid,
        test=test,
        labels=dict(zip(("train", "valid", "test"), y.split(DIGITS_SIZES), strict=True)),
        values="grey",
        source=f"{DIGITS_ABOUT}. Licence: {DIGITS_LICENCE}",
    )
