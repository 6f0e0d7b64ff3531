"""Our padding is PyTorch's, forwards and backwards."""

import torch
from torch.nn import functional

from segdepth.networks.padding import ReplicateConv2d, _ReplicatePad


def test_padding_is_replication_with_its_exact_gradient():
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.equal(_ReplicatePad.apply(x), functional.pad(x, (1, 1, 1, 1), mode="replicate"))
    assert torch.autograd.gradcheck(_ReplicatePad.apply, x)


def test_convolution_under_autocast_agrees_with_float32():
    torch.manual_seed(0)
    layer, x = ReplicateConv2d(3, 4), torch.randn(1, 3, 6, 7)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = layer(x)
    assert coarse.dtype == torch.bfloat16
    assert torch.allclose(coarse.float(), layer(x), atol=0.05)
    reference = torch.nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate")
    reference.load_state_dict(layer.state_dict())
    assert torch.equal(reference(x), layer(x))
