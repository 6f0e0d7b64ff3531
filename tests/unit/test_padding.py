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


def test_padding_keeps_the_kind_and_the_order_in_memory():
    """Under autocast too, where PyTorch's own would convert to float32."""
    x = torch.randn(2, 8, 5, 6).bfloat16().contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        padded = _ReplicatePad.apply(x)
    assert padded.dtype == torch.bfloat16 and padded.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(padded.float(), functional.pad(x.float(), (1, 1, 1, 1), mode="replicate"))
