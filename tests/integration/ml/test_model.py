"""The architecture of the network: layers and number of parameters."""

import pytest

from ml.training.model import DROPOUT, L2_STRENGTH, PARAMETERS, build_model

pytestmark = pytest.mark.xdist_group("tensorflow")


def test_the_network_has_the_specified_layers():
    from keras import layers

    model = build_model()
    assert model.input_shape == (None, 28, 28, 1)
    conv_1, pool_1, conv_2, pool_2, flatten, hidden, dropout, output = model.layers
    for conv, filters in ((conv_1, 32), (conv_2, 64)):
        assert isinstance(conv, layers.Conv2D)
        assert (conv.filters, conv.kernel_size, conv.strides, conv.padding) == (filters, (3, 3), (1, 1), "valid")
        assert conv.activation.__name__ == "relu"
    for pool in (pool_1, pool_2):
        assert isinstance(pool, layers.MaxPooling2D)
        assert (pool.pool_size, pool.strides, pool.padding) == ((2, 2), (2, 2), "valid")
    assert isinstance(flatten, layers.Flatten)
    assert isinstance(hidden, layers.Dense)
    assert (hidden.units, hidden.activation.__name__) == (128, "relu")
    assert float(hidden.kernel_regularizer.l2) == pytest.approx(L2_STRENGTH)
    assert isinstance(dropout, layers.Dropout)
    assert dropout.rate == DROPOUT == 0.5
    assert isinstance(output, layers.Dense)
    assert (output.units, output.activation.__name__) == (10, "softmax")


def test_the_network_has_225034_parameters():
    assert build_model().count_params() == PARAMETERS == 225_034


def test_the_strength_of_the_weight_penalty_is_configurable():
    hidden = build_model(l2=0.01).get_layer("hidden")
    assert float(hidden.kernel_regularizer.l2) == pytest.approx(0.01)
