"""Networks: any leading batch dimensions, each example by itself, one clear line for a misfit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyro_vae.networks import MLP, ConvDecoder, ConvEncoder
from pyro_vae.networks.shapes import as_shape

BATCHES = [(), (1,), (5,), (3, 5), (2, 1, 4)]

#: A network, the event that it takes, and the event that it gives.
NETWORKS = {
    "mlp": lambda: (MLP(6, 4, hidden=[7]), (6,), (4,)),
    "mlp-affine": lambda: (MLP(6, 4, hidden=[]), (6,), (4,)),
    "mlp-deep": lambda: (MLP((2, 3), (4, 1, 2), hidden=[5, 6, 7]), (2, 3), (4, 1, 2)),
    "mlp-event-of-1": lambda: (MLP(1, 1, hidden=[3]), (1,), (1,)),
    "encoder": lambda: (ConvEncoder((8, 8), 4, channels=[2, 3]), (8, 8), (4,)),
    "encoder-odd": lambda: (ConvEncoder((3, 7, 5), (2, 2), channels=[2]), (3, 7, 5), (2, 2)),
    "encoder-of-1-pixel": lambda: (ConvEncoder((1, 1, 1), 2, channels=[2, 2]), (1, 1, 1), (2,)),
    "encoder-no-layers": lambda: (ConvEncoder((4, 4), 2, channels=[]), (4, 4), (2,)),
    "decoder": lambda: (ConvDecoder(4, (8, 8), channels=[3, 2]), (4,), (8, 8)),
    "decoder-odd": lambda: (ConvDecoder((2, 2), (3, 7, 5), channels=[2]), (2, 2), (3, 7, 5)),
    "decoder-of-1-pixel": lambda: (ConvDecoder(2, (1, 1, 1), channels=[2, 2]), (2,), (1, 1, 1)),
    "decoder-no-layers": lambda: (ConvDecoder(2, (4, 4), channels=[]), (2,), (4, 4)),
}


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_leading_batch_dimensions_pass_through(name, batch):
    network, inputs, outputs = NETWORKS[name]()
    assert network(torch.randn(*batch, *inputs)).shape == (*batch, *outputs)
    assert (network.inputs, network.outputs) == (inputs, outputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_is_its_examples_one_by_one(name):
    network, inputs, _ = NETWORKS[name]()
    network.double()
    x = torch.randn(2, 3, *inputs, dtype=torch.float64)
    alone = torch.stack([torch.stack([network(example) for example in row]) for row in x])
    # The order of summation is all that may differ: a few hundred terms of size 1.
    torch.testing.assert_close(network(x), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", range(1, 18))
def test_a_decoder_makes_images_of_any_size_that_an_encoder_takes(size):
    image = (1, size, size + 1)
    pixels = ConvDecoder(3, image, channels=[4, 3, 2])(torch.randn(2, 3))
    assert pixels.shape == (2, *image)
    assert ConvEncoder(image, 3, channels=[2, 3, 4])(pixels).shape == (2, 3)


def test_every_pixel_of_an_odd_image_depends_on_the_latent():
    decoder = ConvDecoder(2, (7, 5), channels=[3, 3])
    difference = (decoder(torch.zeros(2)) - decoder(torch.full((2,), 3.0))).abs()
    assert (difference > 0).all()


def test_an_affine_mlp_is_one_linear_layer():
    network = MLP(3, 2, hidden=[])
    (layer,) = network.layers
    x = torch.randn(4, 3)
    torch.testing.assert_close(network(x), x @ layer.weight.T + layer.bias)


def test_a_hidden_layer_is_followed_by_the_activation_and_the_last_by_none():
    network = MLP(3, 2, hidden=[4, 5], activation="tanh")
    kinds = [type(layer) for layer in network.layers]
    assert kinds == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]


@pytest.mark.parametrize("name", NETWORKS)
def test_an_input_of_another_shape_is_one_line_that_names_both_shapes(name):
    network, inputs, _ = NETWORKS[name]()
    wrong = (5, *inputs[:-1], inputs[-1] + 1)
    kind = type(network).__name__
    with pytest.raises(ValueError, match=rf"^{kind} takes events of shape") as caught:
        network(torch.zeros(wrong))
    message = str(caught.value)
    assert str(inputs) in message and str(wrong) in message and "\n" not in message


def test_too_few_dimensions_are_not_taken_for_a_batch():
    with pytest.raises(ValueError, match=r"MLP takes events of shape \(2, 3\) .* shape \(3,\)"):
        MLP((2, 3), 1)(torch.zeros(3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MLP(0, 2), "positive whole numbers, not 0"),
        (lambda: MLP(2, (3, -1)), r"positive whole numbers, not \(3, -1\)"),
        (lambda: MLP((2.5,), 2), "positive whole numbers"),
        (lambda: MLP(2, 2, hidden=[4, 0]), r"positive whole numbers, not \[4, 0\]"),
        (lambda: MLP(2, 2, activation="swish"), "unknown activation 'swish'; choose from relu"),
        (lambda: ConvEncoder(64, 2), r"a convolution needs images .* not events of shape \(64,\)"),
        (lambda: ConvDecoder(2, (1, 1, 8, 8)), "a convolution needs images"),
        (lambda: ConvDecoder(2, (8, 8), channels=[0]), "positive whole numbers"),
    ],
)
def test_bad_sizes_are_told_in_one_line(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_a_shape_is_a_tuple_however_it_is_written():
    assert as_shape(3) == as_shape([3]) == as_shape(torch.Size([3])) == (3,)
