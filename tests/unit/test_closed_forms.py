"""What must hold from atoms to image whatever the code: closed forms, symmetries, and averages done one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from conftest import SMALL_BEAM, small_slab
from hypothesis import given
from hypothesis import strategies as st

from segdepth.config import Beam
from segdepth.simulation.detector import add_shot_noise, add_shot_noise_batch
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.exit_wave import exit_wave
from segdepth.simulation.optics import ImageFormer, Lens

WAVELENGTH = wavelength_pm(300)
WAVENUMBER = 2 * math.pi / WAVELENGTH
SIDE, HEIGHT = 12.0, 8.0  # Å
PIXELS = 60
STILL = {"Ce": 6.6, "O": 8.5}
BLURRED = {"Ce": 50.0, "O": 50.0}
"""Vibrating so much that an oxygen atom shifts the wave's phase by a few hundredths."""


def lens(c1=3000.0, c3=-9e6, c5=5e9, spread=4000.0, convergence=0.2e-3, image_spread=20.0) -> Lens:
    names = ("c1_pm", "c3_pm", "c5_pm", "focal_spread_pm", "convergence_rad", "image_spread_pm")
    values = (c1, c3, c5, spread, convergence, image_spread)
    return Lens.from_values({name: [value] for name, value in zip(names, values)})


def form(wave, values: Lens, *, cell=100 * SIDE, pixels=PIXELS, margin=0.0, aperture=0.04, samples=17) -> np.ndarray:
    """The image [y, x] of a stored wave."""
    which = ImageFormer(
        cell_pm=cell, margin_pm=margin, pixel_pm=cell / pixels, orders=wave.shape[0] // 2, wavelength_pm=WAVELENGTH,
        aperture_rad=aperture, focal_steps=samples, dtype=torch.float64,
    )  # fmt: skip
    return which.form(torch.as_tensor(wave)[None], values)[0].numpy()


def solid(symbols: str, places, *, height=HEIGHT) -> Atoms:
    return Atoms(symbols, positions=places, cell=(SIDE, SIDE, height), pbc=True)


def crooked(height=HEIGHT) -> Atoms:
    """No symmetry in any direction."""
    return solid("Ce2O2", [(3.1, 4.7, 1.0), (7.3, 5.9, 3.0), (5.2, 8.8, 3.0), (3.7, 7.1, 5.0)], height=height)


def thick(symbols: str, layer, layers: int) -> Atoms:
    """The same plane of atoms again and again, 1.9 Å apart."""
    places = [(x, y, 0.5 + 1.9 * n) for n in range(layers) for x, y in layer]
    return solid(symbols * layers, places, height=1.9 * layers + 1)


def orders_of(wave: np.ndarray) -> np.ndarray:
    return np.r_[0 : wave.shape[0] // 2 + 1, -(wave.shape[0] // 2) : 0]


def turned(wave: np.ndarray) -> np.ndarray:
    """F(-k) for F(k), FFT order."""
    back = -np.arange(wave.shape[0]) % wave.shape[0]
    return wave[np.ix_(back, back)]


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Norm of the difference of two waves over the norm of what was scattered."""
    scattered = expected.copy()
    scattered[0, 0] -= 1
    return np.linalg.norm(found - expected) / np.linalg.norm(scattered)


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """Rms difference of two images over the rms contrast."""
    return float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())


def chi(theta_x, theta_y, c1: float, c3: float, c5: float):
    square = theta_x**2 + theta_y**2
    return WAVENUMBER * square * (c1 / 2 + c3 * square / 4 + c5 * square**2 / 6)


def coefficients_of_potential(abtem, atoms: Atoms, u_pm: dict[str, float], orders: np.ndarray) -> np.ndarray:
    """σV [ky, kx] of all atoms in one plane, straight from abTEM's scattering factors."""
    from abtem.core.energy import energy2sigma

    ky, kx = orders[:, None] / SIDE, orders[None, :] / SIDE
    total = np.zeros((orders.size,) * 2, complex)
    for symbol, (x, y, _) in zip(atoms.get_chemical_symbols(), atoms.positions):
        factor = abtem.parametrizations.LobatoParametrization().projected_scattering_factor(symbol)
        decay = np.exp(-2 * (math.pi * u_pm[symbol] / 100) ** 2 * (kx**2 + ky**2))
        total += factor(kx**2 + ky**2) * decay * np.exp(-2j * math.pi * (kx * x + ky * y))
    return energy2sigma(300e3) * total / SIDE**2


# the whole chain --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (25.0, -10.0)])
def test_nothing_in_the_beam_is_one_everywhere(abtem, tilt):
    wave = exit_wave(solid("", np.zeros((0, 3))), SMALL_BEAM.model_copy(update={"tilt_mrad": tilt}))
    assert np.abs(form(wave, lens()) - 1).max() < 2e-6


def test_electrons_that_nothing_stops_arrive(abtem):
    """An open lens without convergence loses none; an aperture, an envelope or the multislice's band takes some."""
    everything = Beam(slice_pm=190, stored_angle_mrad=90.0, pixel_pm=6.0, debye_waller_pm=STILL, absorption=False)
    wave, values = exit_wave(crooked(), everything), lens(convergence=0)
    assert form(wave, values, aperture=0.09).mean() == pytest.approx(1, abs=3e-6)
    assert form(wave, values, aperture=0.03).mean() < 1 - 5e-5
    assert form(wave, lens(convergence=0.2e-3), aperture=0.09).mean() < 1 - 6e-6
    hard = exit_wave(crooked(), everything.model_copy(update={"debye_waller_pm": {"Ce": 0.0, "O": 0.0}}))
    assert form(hard, values, aperture=0.09).mean() < 1 - 2e-5


@pytest.mark.parametrize("c1", [-4000.0, 1500.0, 7000.0])
def test_an_atom_of_a_weak_potential_is_its_scattering_factor_times_sine_of_chi(abtem, c1):
    """Image spectrum 2σV(q) sin χ(q), damped; the empty space below the atom counts as overfocus."""
    atoms = solid("O", [(4.3, 7.9, 2.0)])
    beam = Beam(pixel_pm=7, debye_waller_pm=BLURRED, absorption=False)
    image = form(exit_wave(atoms, beam), lens(c1, convergence=0), samples=17)
    found = np.fft.fft2(image) / image.size
    orders = np.fft.fftfreq(PIXELS, 1 / PIXELS)
    angle = np.hypot(orders[:, None], orders[None, :]) / (100 * SIDE) * WAVELENGTH
    below = 100 * (HEIGHT - 2.0)

    def expected(c1: float) -> np.ndarray:
        steps = np.linspace(-2, 2, 17)
        weights = np.exp(-(steps**2)) / np.exp(-(steps**2)).sum()
        sine = sum(w * np.sin(chi(angle, 0, c1 + below + 4000 * t, -9e6, 5e9)) for t, w in zip(steps, weights))
        pixel = np.sinc(orders / PIXELS) * np.exp(1j * math.pi * orders / PIXELS)
        blur = np.exp(-2 * (math.pi * 20 * angle / WAVELENGTH) ** 2) * pixel[:, None] * pixel[None, :]
        return 2 * coefficients_of_potential(abtem, atoms, BLURRED, orders) * sine * blur

    inside = (angle > 0) & (angle < 0.04)

    def error(c1: float) -> float:
        return np.linalg.norm((found - expected(c1))[inside]) / np.linalg.norm(expected(c1)[inside])

    assert error(c1) < 0.012
    assert error(c1 - below) > 0.05
    assert error(-c1) > 0.3


def test_one_plane_of_atoms_is_a_phase(abtem):
    """exp(iσV), V summed here on a grid four times as fine, carried through the empty space below."""
    atoms = solid("Ce2O", [(3.1, 4.7, 2.0), (7.3, 5.9, 2.0), (5.2, 8.8, 2.0)])
    wave = exit_wave(atoms, SMALL_BEAM)
    fine = np.fft.fftfreq(720, 1 / 720)
    phase = np.fft.ifft2(coefficients_of_potential(abtem, atoms, STILL, fine)) * fine.size**2
    assert np.abs(phase.imag).max() < 1e-12
    spectrum = np.fft.fft2(np.exp(1j * phase.real)) / fine.size**2
    k = orders_of(wave)
    square = (k[:, None] ** 2 + k[None, :] ** 2) / SIDE**2
    expected = spectrum[np.ix_(k, k)] * (square <= (45e-3 / (WAVELENGTH / 100)) ** 2)
    carried = expected * np.exp(-1j * math.pi * WAVELENGTH / 100 * (HEIGHT - 2.0) * square)
    assert relative(wave, carried) < 5e-5
    assert relative(wave, expected) > 0.1
    assert relative(wave, carried.T) > 0.1


def test_empty_space_below_counts_as_overfocus(abtem):
    near, far = (exit_wave(crooked(height), SMALL_BEAM) for height in (HEIGHT, HEIGHT + 10))
    raised = form(far, lens(c1=2000, convergence=0))
    assert off(form(near, lens(c1=3000, convergence=0)), raised) < 1e-5
    assert off(form(near, lens(c1=1000, convergence=0)), raised) > 0.05


def test_moved_specimen_gives_the_moved_image(abtem):
    """By whole image pixels, which are no whole number of multislice points."""
    moved = crooked()
    moved.positions[:, 0] += 7 * SIDE / PIXELS
    moved.positions[:, 1] -= 11 * SIDE / PIXELS
    image, found = (form(exit_wave(atoms, SMALL_BEAM), lens()) for atoms in (crooked(), moved))
    assert off(found, np.roll(image, (-11, 7), (0, 1))) < 1e-4
    assert off(found, np.roll(image, (11, 7), (0, 1))) > 0.1


@pytest.fixture(scope="module")
def wedge(abtem):
    """A crystal that thins towards one corner, in a cell with a margin; its image."""
    atoms, block = small_slab(6)
    x, y, z = atoms.positions.T
    atoms = atoms[z > 0.9 * x + 0.6 * y - 2]
    assert 0.3 < len(atoms) / x.size < 0.9

    def image(of: Atoms) -> np.ndarray:
        return form(exit_wave(of, SMALL_BEAM), lens(), cell=block.cell_pm, pixels=96, margin=block.cell_pm / 8)

    return atoms, image, image(atoms)


@pytest.mark.parametrize(
    ("places", "pixels"),
    [
        (lambda p, side: (side - p[0], p[1]), lambda image: image[:, ::-1]),
        (lambda p, side: (p[0], side - p[1]), lambda image: image[::-1, :]),
        (lambda p, side: (p[1], p[0]), lambda image: image.T),
    ],
    ids=["x", "y", "diagonal"],
)
def test_mirrored_wedge_gives_the_mirrored_image(wedge, places, pixels):
    atoms, image, original = wedge
    mirrored = atoms.copy()
    mirrored.positions[:, :2] = np.transpose(places(atoms.positions[:, :2].T, atoms.cell[0, 0]))
    mirrored.wrap()
    found = image(mirrored)
    assert off(found, pixels(original)) < 1e-4
    assert off(found, original) > 0.3


def test_centrosymmetric_specimen_has_a_centrosymmetric_image(abtem):
    places = np.array([(2.9, 1.2), (1.1, -2.4), (-2.9, -1.2), (-1.1, 2.4)])
    atoms = thick("CeOCeO", places + SIDE / 2, 4)
    image = form(exit_wave(atoms, SMALL_BEAM), lens())
    assert off(image[::-1, ::-1], image) < 1e-4
    assert off(image[:, ::-1], image) > 0.1
    tilted = form(exit_wave(atoms, SMALL_BEAM.model_copy(update={"tilt_mrad": (15.0, 0.0)})), lens())
    assert off(tilted[::-1, ::-1], tilted) > 0.02


def test_friedels_law_holds_for_weak_and_breaks_for_strong_scattering(abtem):
    """|F(k)| = |F(-k)| for a thin layer of light atoms without symmetry, and not for the thick crystal."""
    layer = [(3.0, 3.0), (4.6, 3.0), (3.0, 5.5)]

    def asymmetry(wave: np.ndarray) -> float:
        power = np.abs(wave) ** 2
        power[0, 0] = 0
        return np.abs(power - turned(power)).sum() / power.sum()

    weak = Beam(pixel_pm=7, debye_waller_pm=BLURRED, absorption=False)
    assert asymmetry(exit_wave(thick("OOO", layer, 1), weak)) < 0.01
    assert asymmetry(exit_wave(thick("CeOO", layer, 8), SMALL_BEAM)) > 0.3


def test_reciprocity(abtem):
    """Beam g of the untilted wave is as strong as beam g of the specimen upside down under a beam tilted by -g."""
    atoms, upside_down = crooked(), crooked()
    upside_down.positions[:, 2] = HEIGHT - upside_down.positions[:, 2]
    forward = exit_wave(atoms, SMALL_BEAM)
    for gx, gy in ((7, 8), (0, 6), (-3, -7)):
        ratio = {}
        for sign in (-1, 0, 1):
            tilt = [1000 * math.atan(sign * g * WAVELENGTH / (100 * SIDE)) for g in (gx, gy)]
            tilted = exit_wave(upside_down, SMALL_BEAM.model_copy(update={"tilt_mrad": tuple(tilt)}))
            ratio[sign] = abs(tilted[gy, gx]) / abs(forward[gy, gx])
        assert ratio[-1] == pytest.approx(1, abs=5e-5)
        assert abs(ratio[1] - 1) > 0.05 and abs(ratio[0] - 1) > 0.03


# convergence ------------------------------------------------------------------------------------------------------


CELL, ORDERS, FINE = 800.0, 12, 64
"""A small band, 29.5 mrad, so that tilts of the beam push nothing past the aperture; more pixels than 4 · ORDERS."""


def from_every_direction(wave: np.ndarray, alpha: float, c1: float, c3: float, c5: float) -> np.ndarray:
    """Image of a thin object lit from a source exp(-(τ/α)²), one image for each direction τ, on points i · cell / FINE.

    The beam's tilt turns the diffracted beam θ into θ + τ, which passes the lens there.
    """
    nodes, weights = np.polynomial.hermite.hermgauss(15)
    theta = np.arange(-ORDERS, ORDERS + 1) / CELL * WAVELENGTH
    centred = np.zeros((FINE, FINE), complex)
    k = np.arange(-ORDERS, ORDERS + 1)
    total = np.zeros((FINE, FINE))
    for tau_x, weight_x in zip(alpha * nodes, weights):
        for tau_y, weight_y in zip(alpha * nodes, weights):
            passed = np.exp(-1j * chi(theta[None, :] + tau_x, theta[:, None] + tau_y, c1, c3, c5))
            centred[np.ix_(k, k)] = np.fft.fftshift(wave) * passed
            total += weight_x * weight_y / math.pi * np.abs(np.fft.ifft2(centred) * FINE**2) ** 2
    return total


def at_points(image: np.ndarray) -> np.ndarray:
    """A formed image without its pixel's box and half-pixel shift."""
    n = np.fft.fftfreq(FINE, 1 / FINE)
    line = np.sinc(n / FINE) * np.exp(1j * np.pi * n / FINE)
    return np.fft.ifft2(np.fft.fft2(image) / (line[:, None] * line[None, :])).real


def by_envelope(
    wave: np.ndarray, alpha: float, c1: float, c3: float, c5: float, image_spread: float = 0.0
) -> np.ndarray:
    values = lens(c1, c3, c5, spread=0, convergence=alpha, image_spread=image_spread)
    return at_points(form(wave, values, cell=CELL, pixels=FINE, aperture=0.1, samples=1))


def random_phase(strength: float, seed: int = 0) -> np.ndarray:
    """exp(i · strength · φ), φ real, without symmetry and with all orders up to ORDERS; the wave cut to those."""
    rng = np.random.default_rng(seed)
    n = np.fft.fftfreq(FINE, 1 / FINE)
    square = n[:, None] ** 2 + n[None, :] ** 2
    spectrum = np.fft.fft2(rng.normal(size=(FINE, FINE))) * (square <= ORDERS**2) * np.exp(-square / ORDERS**2)
    phase = np.fft.ifft2(spectrum).real
    k = np.r_[0 : ORDERS + 1, -ORDERS:0]
    wave = np.fft.fft2(np.exp(1j * strength * phase / phase.std()))[np.ix_(k, k)] / FINE**2
    return wave * (k[:, None] ** 2 + k[None, :] ** 2 <= ORDERS**2)


WEAK, STRONG = random_phase(1e-6), random_phase(0.5)
CONVENTIONS = {"rms": math.sqrt(2), "1/e² half-width": math.sqrt(0.5), "none": 0.0}
"""What an angle would have to be multiplied by, were it one of these and not the 1/e half-width."""


@pytest.mark.parametrize("alpha", [0.2e-3, 0.5e-3, 0.8e-3])
def test_tilting_the_beam_at_pure_defocus_moves_the_image(alpha):
    """By C1 τ, so the explicit average is a blur of rms C1 α/√2, however strong the object: the yardstick is right."""
    c1 = 12e3
    found = from_every_direction(STRONG, alpha, c1, 0, 0)
    assert off(found, by_envelope(STRONG, 0, c1, 0, 0, image_spread=c1 * alpha / math.sqrt(2))) < 1e-7
    assert off(found, by_envelope(STRONG, 0, c1, 0, 0, image_spread=c1 * alpha)) > 5e-3


def missed(wave: np.ndarray, angle: float, alpha: float, *aberrations: float) -> float:
    """What the envelope with ``angle`` leaves of the effect that a source of 1/e half-width ``alpha`` has."""
    expected = from_every_direction(wave, alpha, *aberrations)
    effect = np.linalg.norm(by_envelope(wave, 0, *aberrations) - expected)
    return float(np.linalg.norm(by_envelope(wave, angle, *aberrations) - expected) / effect)


@pytest.mark.parametrize("alpha", [0.2e-3, 0.5e-3, 0.8e-3])
@pytest.mark.parametrize(
    ("aberrations", "bound"),
    [((9e3, 0, 0), 1e-5), ((-9e3, -9e6, 0), 0.06), ((3e3, 20e6, 0), 0.13), ((9e3, -9e6, 5e9), 0.2)],
    ids=["C1", "C1 C3", "other C3", "C1 C3 C5"],
)
def test_the_envelope_is_the_average_over_the_source(alpha, aberrations, bound):
    """For a weak object: exactly where the lens only defocuses, else to first order in the source's angle.

    This fixes the convention: α is the 1/e half-width of the source exp(-(τ/α)²), nothing else.
    """
    assert missed(WEAK, alpha, alpha, *aberrations) < bound
    for factor in CONVENTIONS.values():
        assert missed(WEAK, alpha * factor, alpha, *aberrations) > 0.4


@pytest.mark.parametrize(
    ("aberrations", "low", "high"),
    [((1e3, -9e6, 5e9), 1e-4, 1e-3), ((9e3, -9e6, 5e9), 5e-4, 2e-3), ((9e3, 0, 0), 1e-3, 4e-3)],
)
def test_the_envelope_of_a_strong_object_is_an_approximation(aberrations, low, high):
    """Two diffracted beams' interference is damped by the difference of their slopes of χ, of which an envelope on each
    knows nothing: 0.04 to 0.2 % of the contrast at 0.2 mrad, 16 times that at 0.8 mrad."""
    error = {
        alpha: off(by_envelope(STRONG, alpha, *aberrations), from_every_direction(STRONG, alpha, *aberrations))
        for alpha in (0.2e-3, 0.8e-3)
    }
    assert low < error[0.2e-3] < high
    assert error[0.8e-3] < 16.5 * error[0.2e-3]


# shot noise -------------------------------------------------------------------------------------------------------


@given(st.floats(0.1, 25), st.floats(0.05, 3), st.integers(0, 2**31))
def test_noise_at_every_dose_has_the_mean_c_and_the_variance_c_over_lambda(electrons, clean, seed):
    """To five standard errors of a Poisson sample's mean and variance, m and m + 2m² over n."""
    many = 100_000
    one = add_shot_noise(np.full(many, clean), electrons, np.random.default_rng(seed))
    other = add_shot_noise_batch(torch.full((many,), clean), electrons, torch.Generator().manual_seed(seed)).numpy()
    m = clean * electrons
    for found in (one, other):
        counts = found.astype(float) * electrons
        assert np.abs(counts - np.round(counts)).max() < 1e-3
        assert abs(found.mean(dtype=float) - clean) < 5 * math.sqrt(clean / electrons / many)
        assert abs(found.var(dtype=float) - clean / electrons) < 5 * math.sqrt((m + 2 * m**2) / many) / electrons**2
