"""Which weights Muon steps, and what a step is."""

import pytest
import torch

from segdepth.config import Training
from segdepth.learning.optimizer import hidden_weights, make_optimizer
from segdepth.networks.architectures import make_network


@pytest.mark.parametrize("variant", ["binned", "full", "space_to_depth"])
def test_every_parameter_is_stepped_once(variant):
    network = make_network(variant, 4, 11)
    groups = make_optimizer(network, Training()).param_groups
    stepped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(stepped) == sorted(map(id, network.parameters()))
    assert network.head.weight.data_ptr() not in {weight.data_ptr() for weight in hidden_weights(network)}
    assert network.encoder[0][0].weight.data_ptr() not in {weight.data_ptr() for weight in hidden_weights(network)}
    assert all(weight.ndim == 4 for weight in hidden_weights(network)) and hidden_weights(network)


def test_a_step_of_a_hidden_weight_is_near_orthogonal_with_adams_size():
    """Whatever the gradient's singular values, those of the step are near 1 (five turns of Newton-Schulz: 0.7 … 1.2)
    times 0.2 sqrt(longer side) times the learning rate."""
    network = make_network("space_to_depth", 8, 11)
    optimizer = make_optimizer(network, Training(learning_rate=0.01))
    weight = hidden_weights(network)[2]
    rows, columns = len(weight), weight[0].numel()
    left, _ = torch.linalg.qr(torch.randn(rows, rows, generator=torch.Generator().manual_seed(1)))
    right, _ = torch.linalg.qr(torch.randn(columns, rows, generator=torch.Generator().manual_seed(2)))
    weight.grad = (left * torch.logspace(0, -1.3, rows) @ right.T).reshape(weight.shape)
    before = weight.detach().clone()
    optimizer.step()
    step = (before - weight.detach()).reshape(rows, columns)
    values = torch.diagonal(left.T @ step @ right) / (0.01 * 0.2 * columns**0.5)
    assert columns > rows and values.min() > 0.6 and values.max() < 1.3


def test_adam_is_there_for_the_papers_way():
    network = make_network("binned", 4, 11)
    assert type(make_optimizer(network, Training(optimizer="adam"))) is torch.optim.Adam
    assert type(make_optimizer(network, Training(optimizer="adam", weight_decay=0.01))) is torch.optim.AdamW
