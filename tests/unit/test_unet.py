"""The network: parameters of Table I, shapes, the medians; weights on disk."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from segdepth.errors import StoreError
from segdepth.networks.architectures import make_network
from segdepth.networks.bundled import bundled_folder
from segdepth.networks.card import NetworkCard, read_card
from segdepth.networks.files import load_network, save_network
from segdepth.networks.unet import UNet, count_parameters, median_downsample, median_filter

CLASSES = 11
FULL = {16: 1_175_563, 32: 4_691_979, 64: 18_747_403, 96: 42_166_283, 130: 77_308_411}
BINNED = {16: 1_105_339, 32: 4_413_291, 64: 17_637_067, 96: 39_671_339, 130: 72_736_441}


@pytest.mark.parametrize(
    ("variant", "channels", "expected"),
    [("full", *item) for item in FULL.items()] + [("binned", *item) for item in BINNED.items()],
)
def test_parameters(variant, channels, expected):
    with torch.device("meta"):
        assert count_parameters(UNet(channels, variant, CLASSES)) == expected


@pytest.mark.parametrize(("variant", "factor"), [("binned", 1), ("full", 4)])
def test_shapes(variant, factor):
    network = UNet(4, variant, CLASSES).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, 128, 192)).shape == (2, CLASSES, 128 // factor, 192 // factor)
    with pytest.raises(ValueError, match="divisible by 64"):
        network(torch.rand(1, 1, 128, 96))
    with pytest.raises(ValueError, match="allowed: binned, full"):
        UNet(4, "half", CLASSES)


def test_constant_frame_sees_no_edge():
    """Replication padding: a constant frame gives constant logits; zero padding would show its frame."""
    torch.manual_seed(0)
    network = UNet(4, "binned", CLASSES).eval()
    with torch.no_grad():
        logits = network(torch.full((1, 1, 128, 128), 1.3))
    assert (logits.amax((2, 3)) - logits.amin((2, 3))).max() < 1e-5 and logits.std() > 0


def test_median_downsample_is_numpys():
    x = torch.rand(2, 3, 8, 12)
    expected = np.median(x.numpy().reshape(2, 3, 4, 2, 6, 2).transpose(0, 1, 2, 4, 3, 5).reshape(2, 3, 4, 6, 4), -1)
    assert np.allclose(median_downsample(x).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("size", [2, 4])
def test_median_filter_is_numpys(size):
    """The window begins (size - 1)//2 before the pixel; edges are repeated."""
    x = torch.rand(2, 3, 7, 9)
    before = (size - 1) // 2
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), *[(before, size - 1 - before)] * 2), mode="edge")
    expected = np.empty(x.shape)
    for i in range(7):
        for j in range(9):
            expected[..., i, j] = np.median(padded[..., i : i + size, j : j + size], axis=(-2, -1))
    assert np.allclose(median_filter(x, size).numpy(), expected, atol=1e-6)


def test_every_parameter_learns():
    network = UNet(4, "full", CLASSES)
    network(torch.rand(2, 1, 128, 128)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


CARD = NetworkCard(
    variant="binned", base_channels=4, classes=CLASSES, input_pixel_pm=21.1, label_pixel_pm=21.1, field_pm=5411.0,
    dose_lambda=2.5, labels={},
)  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = UNet(4, "binned", CLASSES)
    network(torch.rand(2, 1, 64, 64))  # batch norm has seen something
    save_network(network, CARD, tmp_path)
    return network.eval(), tmp_path


def test_round_trip(saved):
    network, folder = saved
    again, card = load_network(folder)
    x = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(again(x), network(x), atol=1e-6)
    assert card == CARD and not again.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def damage_weights(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change_weights(**changes):
    """Replace tensors, or take out those that are None."""

    def change(folder):
        weights = load_file(folder / "weights.safetensors") | changes
        kept = {name: tensor for name, tensor in weights.items() if tensor is not None}
        save_file(kept, folder / "weights.safetensors")

    return change


def change_card(**changes):
    def change(folder):
        (folder / "network.json").write_text(json.dumps(dataclasses.asdict(dataclasses.replace(CARD, **changes))))

    return change


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damage_weights, "does not fit its card"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b""), "does not fit its card"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"\x80\x04pickle"), "does not fit its card"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "does not fit its card"),
        (lambda folder: (folder / "network.json").unlink(), "is not the card"),
        (lambda folder: (folder / "network.json").write_text("{"), "is not the card"),
        (lambda folder: (folder / "network.json").write_text("[1]"), "is not the card"),
        (lambda folder: (folder / "network.json").write_text('{"a": 1}'), "is not the card"),
        (change_card(base_channels=8), r"the tensor \S+weight has the shape \[\d.*\], not \[\d.*\]\).*train again"),
        (change_weights(**{"head.bias": None}), r"\(lacks the tensor head.bias\); restore weights and card together"),
        (change_weights(**{"head.bias": torch.zeros(9)}), r"the tensor head.bias has the shape \[9\], not \[11\]"),
        (change_weights(tail=torch.zeros(2)), r"\(the network has no tensor tail\); restore"),
        (change_card(base_channels="4"), "does not fit its card|is not the card"),
        (change_card(base_channels=0), "does not fit its card|is not the card"),
        (change_card(variant="full"), "does not fit its card"),
        (change_card(variant="other"), "is not the card .*variant: got 'other'"),
        (change_card(classes=9), r"the tensor head.weight has the shape \[11, .*\], not \[9, .*train again"),
        (change_card(classes=0), "is not the card .*classes: got 0"),
        (change_card(input_pixel_pm=-1.0), "is not the card .*input_pixel_pm: got -1"),
        (change_card(training_record="all"), "is not the card .*training_record"),
    ],
)
def test_spoilt_files_are_told_in_one_line(saved, spoil, says):
    folder = saved[1]
    spoil(folder)
    with pytest.raises(StoreError, match=says) as told:
        load_network(folder)
    assert "\n" not in str(told.value) and str(folder) in str(told.value)


@pytest.mark.parametrize("variant", ["binned", "full", "space_to_depth"])
@pytest.mark.parametrize("classes", [5, 24])
def test_a_network_has_as_many_classes_as_it_is_asked_for(variant, classes, tmp_path):
    network = make_network(variant, 4, classes).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 1, 64, 128)).shape[1] == classes
    save_network(network, dataclasses.replace(CARD, variant=variant, classes=classes), tmp_path)
    assert load_network(tmp_path)[1].classes == classes


LABELS = {"most_atoms": CLASSES - 1, "core_radius_pm": {"Ce": 60.0}, "outer_radius_pm": {"Ce": 90.0}}


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"base_channels": 10**9}, "base_channels"),
        ({"variant": "deep"}, "variant"),
        ({"classes": CLASSES + 1, "labels": LABELS}, "classes"),
        ({"labels": {"core_radius_pm": {"Ce": "wide"}}}, "labels"),
        ({"labels": [1]}, "labels"),
        ({"crystal": {"name": "x"}}, "crystal"),
        ({"crystal": "CeO2"}, "crystal"),
        ({"crystal": {"columns": [3], "reflections": []}}, "crystal"),
        ({"temperature": float("inf")}, "temperature"),
        ({"dose_lambda_range": [1.0, "2"]}, "doses"),
        ({"dose_lambda_range": 3}, "network"),
        ({"flip_average": "no"}, "flip_average"),
    ],
)
def test_an_edited_card_is_refused_in_one_line(saved, changes, said):
    path = saved[1] / "network.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": LABELS} | changes))
    with pytest.raises(StoreError, match=said) as told:
        read_card(saved[1])
    assert str(path) in str(told.value) and "\n" not in str(told.value)


def test_a_card_is_read_without_pytorch(saved):
    program = (
        "import sys; from segdepth.networks.card import read_card; import segdepth.networks.bundled; "
        f"import segdepth.networks.compatibility; print(read_card({str(saved[1])!r}).variant, 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["binned", "False"]


def test_weights_are_loaded_without_lightning():
    program = (
        "import sys, segdepth.networks.files; print('lightning' in sys.modules, 'pytorch_optimizer' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "False"]


def test_without_a_folder_the_bundled_network_is_loaded():
    network, card = load_network()
    assert card == read_card(bundled_folder()) and not network.training
