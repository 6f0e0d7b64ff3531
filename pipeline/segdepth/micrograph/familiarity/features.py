"""Numbers that tell whether a frame looks like those that a network has learnt from.

All but the dose are means over windows (``windows``) full of what the network calls crystal. Shot noise is taken out of
powers and products, so that frames of every dose can be compared; at a low dose the numbers scatter more, which is why
the dose is one of them.

``dose`` : log10 of the electrons per 5.28 pm pixel in vacuum.
``brightness`` : mean over the vacuum's.
``contrast`` : rms about the mean, over the mean.
``amplitude NAME`` : Fourier amplitude over the mean, of a reflection and those that mirror it; ``amplitude finer`` :
of all sums and differences of two reflections together.
``remainder`` : rms of what the reflections and their sums and differences leave, over the mean.
``imbalance`` : root of the difference of the powers of mirrored reflections, over the mean; 0 for an untilted crystal.
``evidence`` : asinh of the power of all reflections over its standard error by shot noise; about 0 for noise.
``scale``, ``turn``, ``shear`` : how far the lattice is from where it should be, from the phases of neighbouring
windows: relative change of lengths, rotation (rad), modulus of the rest of the strain. Where the evidence is weak, they
are drawn to 0.
``triple NAME`` : cube root of the product of three components whose orders add up to 0, its real part: it does not
depend on the origin. ``skew`` : the same of the imaginary parts' moduli; 0 for an untilted crystal without coma.
``depth``, ``depth spread``, ``last class``, ``confidence`` : of the network's answer, over what it calls crystal.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from segdepth.config import PAPER_PIXEL_PM
from segdepth.crystals import Crystal
from segdepth.micrograph.familiarity.windows import (
    Order,
    Windows,
    finer_orders,
    make_windows,
    reflection_orders,
)
from segdepth.networks.card import NetworkCard

GEOMETRY = ("scale", "turn", "shear")
"""Features of a frame that is not turned and scaled as the network wants it; 0 where it is."""

LEAST_VALID = 0.9
"""Share of a window that must be valid."""

LEAST_CRYSTAL = 0.75
"""Share of a window that the network calls crystal, over that of the windows that are full of it."""

LEAST_COVERED = 0.2
"""The same share, at least, whatever the other windows say."""

ALIKE = 3.7
"""So many neighbouring windows, which overlap, count like one: the sum of the squares of their noise's correlations."""

SURE = 10.0
"""Power over its standard error at which a lattice's place is believed by half."""


def features(
    counts: np.ndarray,
    electrons_per_pixel: float,
    probabilities: np.ndarray,
    valid: np.ndarray,
    crystal: Crystal,
    card: NetworkCard,
) -> dict[str, float]:
    """Features of one upright frame by name (see the module); empty if no window is full of crystal.

    Parameters
    ----------
    counts : (row, column) electrons on the network's grid.
    electrons_per_pixel : vacuum level of a grid pixel.
    probabilities : (class, row, column) on label pixels.
    valid : (row, column) bool.
    crystal, card : the network's.
    """
    shrink = round(card.label_pixel_pm / card.input_pixel_pm)
    rows, columns = (min(n, shrink * m) // shrink * shrink for n, m in zip(counts.shape, probabilities.shape[1:]))
    image = (counts[:rows, :columns] / electrons_per_pixel).astype(np.float32)
    orders = reflection_orders(crystal) + finer_orders(crystal)
    most = max(abs(h) for h, _ in orders), max(abs(k) for _, k in orders)
    windows = make_windows(image.shape, card.input_pixel_pm, crystal.periods_pm[:2], most)
    if windows is None:
        return {}
    answer = _answer_maps(probabilities[:, : rows // shrink, : columns // shrink], shrink)
    covered = windows.means(answer["covered"])
    full = windows.means(valid[:rows, :columns].astype(np.float32)) >= LEAST_VALID
    if full.any():
        full &= covered >= max(LEAST_CRYSTAL * np.quantile(covered[full], 0.9), LEAST_COVERED)
    if not full.any():
        return {}
    found = {"dose": math.log10(electrons_per_pixel * (PAPER_PIXEL_PM / card.input_pixel_pm) ** 2)}
    found |= _of_image(windows, full, image, electrons_per_pixel, crystal)
    of_crystal = {name: windows.means(values)[full] / covered[full] for name, values in answer.items()}
    found |= {name: float(of_crystal[name].mean()) for name in ("depth", "last class", "confidence")}
    return found | {"depth spread": float(of_crystal["depth"].std())}


def _answer_maps(probabilities: np.ndarray, shrink: int) -> dict[str, np.ndarray]:
    """What the network says, (row, column) on its input's pixels; vacuum counts as 0 throughout."""
    crystal = 1 - probabilities[0]
    maps = {
        "covered": crystal,
        "depth": np.tensordot(np.arange(len(probabilities), dtype=np.float32), probabilities, axes=1),
        "last class": probabilities[-1],
        "confidence": crystal * probabilities.max(axis=0),
    }
    if shrink == 1:
        return maps
    return {name: values.repeat(shrink, axis=0).repeat(shrink, axis=1) for name, values in maps.items()}


def _of_image(
    windows: Windows, full: np.ndarray, image: np.ndarray, electrons: float, crystal: Crystal
) -> dict[str, float]:
    """Features of the image (row, column), vacuum = 1, in the windows ``full``."""
    primary, finer = reflection_orders(crystal), finer_orders(crystal)
    mean = windows.means(image)[full]
    square = float(np.mean(mean**2))
    noise = windows.noise(image)[full] / electrons
    everywhere = windows.components(
        image - mean.mean(), (*primary, *finer)
    )  # what leaks of the mean would count as power
    parts = everywhere[:, full]
    power = dict(zip((*primary, *finer), (np.abs(parts) ** 2 - noise).mean(axis=1) / square))
    variance = float((windows.means(image**2)[full] - mean**2 - mean / electrons).mean()) / square
    found = {"brightness": float(mean.mean()), "contrast": _root(variance)}
    names = {order: reflection.name for order, reflection in zip(primary, crystal.reflections)}
    uneven = 0.0
    for family in _families(primary):
        own = [power[order] for order in family]
        found[f"amplitude {names[family[0]]}"] = _root(float(np.mean(own)))
        uneven += max(own) - min(own)
    found["amplitude finer"] = _root(float(sum(power[order] for order in finer)))
    found["remainder"] = _root(variance - 2 * float(sum(power.values())))
    found["imbalance"] = _root(uneven)
    error = math.sqrt(len(primary) * float(np.mean(noise**2)) / max(1.0, noise.size / ALIKE))
    sure = float(sum(power[order] for order in primary)) * square / error
    found["evidence"] = math.asinh(sure)
    strain = _strain(dict(zip(primary, everywhere)), full, windows.step_pm, crystal)
    found |= {name: value * max(sure, 0) ** 2 / (sure**2 + SURE**2) for name, value in strain.items()}
    return found | _of_triples(dict(zip(primary, parts)), noise, square, names)


def _families(orders: tuple[Order, ...]) -> list[list[Order]]:
    """Orders that mirrors along x or y make of each other."""
    families: dict[Order, list[Order]] = {}
    for h, k in orders:
        families.setdefault((abs(h), abs(k)), []).append((h, k))
    return list(families.values())


def _strain(parts: dict[Order, np.ndarray], full: np.ndarray, step_pm: float, crystal: Crystal) -> dict[str, float]:
    """``scale``, ``turn`` and ``shear``: the strain E of the least squares sum of w |q - E g|², q being the change of a
    reflection's frequency g that its phase from window to window tells, w its strength."""
    frequencies, changes, weights = [], [], []
    for (h, k), values in parts.items():
        beside = full[:, 1:] & full[:, :-1], full[1:] & full[:-1]
        products = (values[:, 1:] * values[:, :-1].conj())[beside[0]], (values[1:] * values[:-1].conj())[beside[1]]
        sums = [complex(each.sum()) for each in products]
        frequencies.append((h / crystal.periods_pm[0], k / crystal.periods_pm[1]))
        changes.append([np.angle(one) / (2 * np.pi * step_pm) for one in sums])
        weights.append(abs(sums[0]) + abs(sums[1]))
    g, q, w = np.array(frequencies), np.array(changes), np.array(weights)[:, None]
    if not w.sum() > 0:
        return {"scale": 0.0, "turn": 0.0, "shear": 0.0}
    strain = np.linalg.lstsq(np.sqrt(w) * g, np.sqrt(w) * q, rcond=None)[0].T
    (a, b), (c, d) = strain
    return {"scale": (a + d) / 2, "turn": (c - b) / 2, "shear": math.hypot(a - d, b + c) / 2}


def _of_triples(
    parts: dict[Order, np.ndarray], noise: np.ndarray, square: float, names: dict[Order, str]
) -> dict[str, float]:
    """``triple`` of each three reflections whose orders add up to 0, and ``skew`` of all of them."""
    both = parts | {(-h, -k): values.conj() for (h, k), values in parts.items()}
    found, skew = {}, []
    for a, b in combinations(both, 2):
        c = (-a[0] - b[0], -a[1] - b[1])
        three = {names[o if o in parts else (-o[0], -o[1])] for o in (a, b, c)} if c in both else set()
        key = f"triple {' '.join(sorted(three))}"
        if len(three) < 3 or key in found:
            continue
        bias = noise * sum(np.abs(both[order]) ** 2 for order in (a, b, c)) - 2 * noise**2
        value = complex((both[a] * both[b] * both[c] - bias).mean()) / square**1.5
        found[key] = float(np.cbrt(value.real))
        skew.append(abs(value.imag))
    return found | ({"skew": float(np.cbrt(np.mean(skew)))} if skew else {})


def _root(value: float) -> float:
    """Square root that keeps the sign: a power less its noise can be below 0."""
    return math.copysign(math.sqrt(abs(value)), value)
