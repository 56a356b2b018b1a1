"""What a Dataset promises: checked shapes, repeatable binarisation, a readable repr."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pyro_vae.data import Dataset, digits, dynamic_binarization, linear_gaussian


def grey(n: int = 6, **changes) -> Dataset:
    x = torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    y = torch.arange(n)
    fields = {
        "name": "grey",
        "train": x,
        "valid": x[:2],
        "test": x[2:5],
        "labels": {"train": y, "valid": y[:2], "test": y[2:5]},
        "values": "grey",
    }
    return Dataset(**(fields | changes))


def test_flatten_and_subset_keep_examples_and_labels_together():
    whole = grey().flatten()
    data = whole.subset(3)
    assert data.event_shape == (4,)
    assert [len(x) for x in (data.train, data.valid, data.test)] == [3, 2, 3]
    assert data.labels is not None and whole.labels is not None
    # In `grey` a training label is its example's number.
    assert torch.equal(data.train, whole.train[data.labels["train"]])
    assert data.labels["test"].tolist() == [2, 3, 4]
    assert data.labels["valid"].tolist() == [0, 1]


def test_subset_of_sorted_data_is_no_beginning():
    # 1,000 of 10 classes: the first 100 hold one class, a random 100 miss a given class with
    # probability 0.9^100 < 3e-5, so one of ten with < 3e-4; the seed is fixed.
    labels = torch.arange(10).repeat_interleave(100)
    x = torch.rand(1000, 2)
    each = {"train": labels, "valid": labels, "test": labels}
    data = Dataset("sorted", x, x, x, labels=each).subset(100)
    assert data.labels is not None
    assert data.labels["test"].unique().tolist() == list(range(10))
    again = Dataset("sorted", x, x, x).subset(100)
    assert torch.equal(again.test, data.test)
    assert not torch.equal(Dataset("sorted", x, x, x).subset(100, seed=1).test, data.test)


def test_binarized_draws_valid_and_test_once_and_train_never():
    data = grey(200)
    first, again, other = data.binarized(), data.binarized(), data.binarized(seed=1)
    assert first.values == "binary" and first.transform is dynamic_binarization
    assert torch.equal(first.train, data.train)
    for split in ("valid", "test"):
        x = getattr(first, split)
        assert set(x.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(x, getattr(again, split))
    assert not torch.equal(first.test, other.test)
    assert first.binarized(seed=1) is first


def test_binarized_has_the_grey_values_as_its_probabilities():
    p = torch.tensor([0.0, 0.1, 0.5, 1.0])
    n = 20_000
    x = p.expand(n, 4)
    drawn = Dataset("p", x, x, x, values="grey").binarized(seed=3)
    error = (p * (1 - p) / n).sqrt()
    for draws in (drawn.test, dynamic_binarization(x)):
        assert ((draws.mean(0) - p).abs() <= 4 * error).all()
    assert not torch.equal(dynamic_binarization(x), dynamic_binarization(x))


def test_binarized_does_not_touch_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    grey().binarized()
    assert torch.equal(torch.rand(3), expected)


def test_to_moves_splits_labels_and_truth():
    data = linear_gaussian(20).to("meta")
    assert {data.train.device.type, data.test.device.type} == {"meta"}
    assert data.truth.W.device.type == "meta"
    assert grey().to("meta").labels["valid"].device.type == "meta"


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        grey().name = "other"


def test_repr_shows_shapes_and_no_numbers_of_the_data():
    expected = "train=(6, 1, 2, 2), valid=(2, 1, 2, 2), test=(3, 1, 2, 2), labels)"
    assert repr(grey()) == f"Dataset('grey', grey, {expected}"


BAD = {
    "kind of values": ({"values": "gray"}, ValueError, "values='gray'; choose from binary, grey"),
    "not a tensor": ({"test": [1.0]}, TypeError, "test is list; give a floating-point tensor"),
    "bytes": (
        {"valid": torch.zeros(2, 1, 2, 2, dtype=torch.uint8)},
        TypeError,
        "valid is torch.uint8; give a floating-point tensor",
    ),
    "no event": ({"train": torch.zeros(3)}, ValueError, r"train has shape \(3,\)"),
    "empty": ({"test": torch.zeros(0, 1, 2, 2)}, ValueError, r"test has shape \(0, 1, 2, 2\)"),
    "other event": (
        {"valid": torch.zeros(2, 4)},
        ValueError,
        r"valid has events of shape \(4,\) and train of shape \(1, 2, 2\)",
    ),
    "labels of one split": (
        {"labels": {"train": torch.arange(6)}},
        ValueError,
        "labels of 'valid' are missing",
    ),
    "labels too few": (
        {"labels": {"train": torch.arange(5)}},
        ValueError,
        r"6 examples in 'train', labels of shape \(5,\)",
    ),
    "float labels": (
        {"labels": {"train": torch.zeros(6)}},
        TypeError,
        "labels of 'train' are torch.float32; int64 is needed",
    ),
}


@pytest.mark.parametrize(("changes", "kind", "message"), BAD.values(), ids=BAD)
def test_bad_fields(changes, kind, message):
    with pytest.raises(kind, match=message) as caught:
        grey(**changes)
    assert str(caught.value).startswith("grey: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", ["real", "counts"])
def test_only_grey_values_can_be_binarised(values):
    with pytest.raises(ValueError, match=f"{values} values cannot be binarised"):
        grey(values=values).binarized()


def test_subset_of_nothing():
    with pytest.raises(ValueError, match=r"subset\(0\); at least one"):
        grey().subset(0)


def test_digits_are_the_1797_images_in_a_split_that_never_changes():
    from sklearn.datasets import load_digits

    data = digits()
    assert data.values == "grey" and data.event_shape == (1, 8, 8)
    assert data.labels is not None
    x = torch.cat([data.train, data.valid, data.test]).flatten(1)
    y = torch.cat([data.labels[split] for split in ("train", "valid", "test")])
    pixels, classes = load_digits(return_X_y=True)
    key = sorted((tuple(row), int(c)) for row, c in zip(pixels / 16, classes, strict=True))
    assert sorted((tuple(r.tolist()), int(c)) for r, c in zip(x, y, strict=True)) == key
    assert data.labels["test"][:12].tolist() == [8, 8, 2, 2, 2, 9, 8, 8, 3, 6, 0, 4]
