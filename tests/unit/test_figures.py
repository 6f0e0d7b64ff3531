"""Figures and tables from what is stored: they are written whole, say what they show, and repeat byte for byte."""

import itertools

import ase.io
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from evaluation_data import PIXEL, build_data, build_model, oracle, run
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from segdepth.config import Beam, Imaging, Labels, Specimen
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation import evaluate
from segdepth.figures import (
    fig1_depth,
    fig3_simulation,
    fig4_smoothing,
    fig5_weights,
    fig6_confusion,
    fig7_calibration,
    montage,
    prediction,
    style,
    table1,
    training_curve,
)
from segdepth.labels.depth import project_depth
from segdepth.specimen.plan import plan_specimens
from segdepth.steps.build_specimens import build_specimens
from segdepth.steps.form_images import form_images
from segdepth.steps.simulate_waves import simulate_waves
from segdepth.store.manifest import read_manifest, writing
from segdepth.store.zarr_store import open_zarr, write_zarr

MODULES = (fig1_depth, fig3_simulation, fig4_smoothing, fig5_weights, fig6_confusion, fig7_calibration)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "_probabilities", oracle)
        return run(build_data(root), build_model(root / "a_model"), root / "evaluation")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written while a test runs."""
    figures = []
    original = Figure.savefig

    def keep(self, *arguments, **options):
        figures.append(self)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def texts_of(fig: Figure) -> list[Text]:
    return [t for t in fig.findobj(Text) if t.get_text().strip() and t.get_visible()]


def overlapping_texts(fig: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other, or that leave the page."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    boxes = []
    for axes in fig.findobj(Axes):  # ticks beyond the limits are not drawn
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    tick.label1.set_visible(False)
                    tick.label2.set_visible(False)
    for text in texts_of(fig):
        box = text.get_window_extent(canvas.get_renderer())
        if box.width and box.height:
            boxes.append((text.get_text(), box))
    page = fig.bbox.padded(1)
    found = [(t, "page") for t, b in boxes if b.x0 < page.x0 or b.y0 < page.y0 or b.x1 > page.x1 or b.y1 > page.y1]
    return found + [
        (a, b) for (a, x), (b, y) in itertools.combinations(boxes, 2) if x.padded(-1).overlaps(y.padded(-1))
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.COMMAND)
def test_figures_are_written_with_manifests(evaluation, tmp_path, module, drawn):
    out = tmp_path / "figure.png"
    module.plot(evaluation, out, "code")
    assert out.read_bytes()[:4] == b"\x89PNG" and out.with_suffix(".pdf").read_bytes()[:4] == b"%PDF"
    for path in (out, out.with_suffix(".pdf")):
        manifest = read_manifest(path)
        assert manifest["command"] == module.COMMAND
        assert manifest["inputs"][0]["content"] == read_manifest(evaluation)["content"]
    with style.styled():
        assert overlapping_texts(drawn[0]) == []


@pytest.mark.parametrize("module", (fig1_depth, fig6_confusion), ids=lambda module: module.COMMAND)
def test_the_same_evaluation_gives_the_same_bytes(evaluation, tmp_path, module):
    for name in ("a.png", "b.png"):
        module.plot(evaluation, tmp_path / name, "code")
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert b"CreationDate" not in (tmp_path / "a.pdf").read_bytes()


def test_texts_that_overlap_are_noticed():
    fig = Figure(figsize=(4, 3))
    fig.text(0.3, 0.5, "one text")
    assert overlapping_texts(fig) == []
    fig.text(0.32, 0.51, "another")
    fig.text(0.95, 0.1, "leaves the page")
    assert overlapping_texts(fig) == [("leaves the page", "page"), ("one text", "another")]


@pytest.mark.parametrize("module", (fig6_confusion, fig7_calibration), ids=lambda module: module.COMMAND)
def test_long_names_fit(evaluation, tmp_path, module, drawn, monkeypatch):
    facts = module.read_metrics(evaluation) | {"model": "m" + "odel_1-2_" * 7, "dataset": "dose-set" * 8}
    monkeypatch.setattr(module, "read_metrics", lambda _: facts)
    module.plot(evaluation, tmp_path / "figure.png", "code")
    with style.styled():
        assert overlapping_texts(drawn[0]) == []


def test_vacuum_is_up_and_units_are_told(evaluation, tmp_path, drawn):
    fig1_depth.plot(evaluation, tmp_path / "figure.png", "code")
    shown = [ax for ax in drawn[0].axes if ax.images]
    for ax in shown[:4]:
        bottom, top = ax.get_ylim()
        assert bottom < top and ax.images[0].origin == "lower"
        assert top == pytest.approx(64 * PIXEL / 1000)
    words = " ".join(t.get_text() for t in texts_of(drawn[0]))
    for wanted in ("depth (atoms)", "intensity (vacuum = 1)", "confidence (probability)", "0.5 nm", "895 e⁻/Å²"):
        assert wanted in words


def test_confusion_states_the_dose_and_has_no_row_without_pixels(evaluation, tmp_path, drawn):
    fig6_confusion.plot(evaluation, tmp_path / "figure.png", "code")
    words = [t.get_text() for t in texts_of(drawn[0])]
    assert any("λ = 2.5" in w for w in words)
    assert words.count("–") % 11 == 0  # depths that no pixel has


def test_scale_bar_is_as_long_as_it_says():
    for side, length in ((5.411, 1.0), (1.6, 0.5), (0.9, 0.2)):
        ax = Figure().subplots()
        ax.set(xlim=(0, side), ylim=(0, side))
        style.scale_bar(ax)
        assert ax.patches[1].get_width() == length and ax.texts[0].get_text() == f"{length:g} nm"


def test_background_has_a_colour_of_its_own():
    colours = [style.DEPTH_COLOURS(style.DEPTH_NORM(d)) for d in range(11)]
    assert len(set(colours)) == 11
    grey = colours[0][:3]
    assert max(grey) - min(grey) < 0.01 and all(max(c[:3]) - min(c[:3]) > 0.1 for c in colours[1:])


def test_unknown_example_and_wrong_suffix(evaluation, tmp_path):
    with pytest.raises(ConfigError, match="example: got 99; the evaluation stores 9"):
        fig1_depth.plot(evaluation, tmp_path / "figure.png", "code", example=99)
    with pytest.raises(ConfigError, match="ends in .png"):
        fig6_confusion.plot(evaluation, tmp_path / "figure.jpg", "code")
    with pytest.raises(StoreError, match="does not exist"):
        fig7_calibration.plot(tmp_path / "nothing", tmp_path / "figure.png", "code")


def test_table_one(evaluation, tmp_path):
    table1.tabulate([evaluation], tmp_path / "table.csv", "code")
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["source"].tolist() == ["paper"] * 5 + ["a_model on d (binned)"]
    assert table["base_channels"].tolist()[:5] == [16, 32, 64, 96, 130]
    assert table.loc[2, ["pixelwise", "centre", "detection", "hallucinated_1e-2"]].tolist() == [
        0.939,
        0.847,
        0.956,
        2.33,
    ]
    assert table.loc[5, ["pixelwise", "centre_Ce", "hallucinated_1e-2", "columns_exact_O"]].tolist() == [1, 1, 0, 1]
    latex = (tmp_path / "table.tex").read_text()
    assert latex.count(r" \\") == 7 and r"a\_model" in latex and "64 & 18.75 & 2.5 & 0.939" in latex
    for name in ("table.csv", "table.tex"):
        assert read_manifest(tmp_path / name)["command"] == "tabulate-table1"


def test_training_curve(tmp_path, drawn):
    model = tmp_path / "model"
    epochs = np.arange(4)
    falling = {name: 1 / (1 + epochs) for name in ("train_loss", "validation_loss", "learning_rate")}
    rising = {f"centre_accuracy{s}": epochs / 4 for s in ("", "_Ce", "_O")}
    with writing(model, command="train-model", code="c", parameters={}) as partial:
        partial.mkdir()
        curve = pd.DataFrame({"epoch": epochs, "step": epochs * 8, **falling, **rising})
        curve.loc[0, "validation_loss"] = np.nan
        curve.to_csv(partial / "curve.csv", index=False)
    training_curve.plot(model, tmp_path / "curve.png", "code")
    assert read_manifest(tmp_path / "curve.pdf")["command"] == "plot-training"
    with style.styled():
        assert overlapping_texts(drawn[0]) == []
    lines = drawn[0].axes[0].get_lines()
    assert len(lines[0].get_xdata()) == 4 and len(lines[1].get_xdata()) == 3


@pytest.mark.parametrize("frames", (1, 3))
@pytest.mark.parametrize("found", (True, False))
def test_prediction(tmp_path, drawn, frames, found):
    rng = np.random.default_rng(0)
    shape = (frames, 60, 90)
    valid = np.ones(shape, bool)
    valid[:, :8, :20] = False
    depth = np.where(valid, rng.integers(0, 11, shape), 255).astype(np.uint8)
    maps = {
        "counts": np.where(valid, rng.poisson(40, shape) / 40, np.nan).astype(np.float32),
        "depth": depth,
        "confidence": np.where(valid, rng.random(shape), np.nan).astype(np.float32),
        "valid": valid,
    }
    store = xr.Dataset({n: (("frame", "y", "x"), v) for n, v in maps.items()}, attrs={"pixel_pm": 15.0})
    store.to_zarr(tmp_path / "prediction.zarr", zarr_format=3, consolidated=False)
    columns = {"frame": [0, 0, 2], "x_pm": [300.0, 435.0, 1.0], "y_pm": [500.0, 500.0, 1.0]}
    columns |= {"element": ["Ce", "O", "O"], "depth": [4, 3, 2], "confidence": [0.9, 0.5, 0.4]}
    pd.DataFrame(columns)[: None if found else 0].to_csv(tmp_path / "columns.csv", index=False)
    prediction.draw_prediction(tmp_path)
    assert (tmp_path / "prediction.png").exists()
    fig = drawn[0]
    with style.styled():
        assert overlapping_texts(fig) == []
    heading = fig.get_suptitle()
    assert "row 0 at the bottom" in heading and ("first of 3 frames" in heading) == (frames == 3)
    points = sum(len(c.get_offsets()) for ax in fig.axes[:4] for c in ax.collections)
    assert points == (2 if found else 0)


def test_prediction_that_is_none(tmp_path):
    with pytest.raises(StoreError, match="is not a prediction"):
        prediction.draw_prediction(tmp_path)


VARIED = Specimen(
    structures=8, shard_size=6, field_pm=64 * PIXEL, margin_pm=20 * PIXEL, bulk_atoms=(2, 4), rotation_deg=(-8, 8),
    tilt_deg=(1, 2), strain_percent=(-2, 2), terminations=("cut", "Ce", "O"), oxygen_vacancy_fraction=(0, 0.1),
)  # fmt: skip
LENS = Imaging(defocus_nm=(-2, 4, 10), a1_nm=(1, 3), b2_nm=(5, 40), c5_mm=5, image_spread_pm=(20, 40))


def build_shard(root, number=0, name="w", root_seed=0):
    """Plan, atoms, depth and images of one shard, as the montage's arguments."""
    folder = root / name
    paths = {"plan": folder / "plan.csv"}
    paths |= {kind: folder / f"{kind}-{number:03d}" for kind in ("atoms", "depth", "images", "waves")}
    if not paths["plan"].exists():
        plan_specimens(VARIED, name, root_seed, paths["plan"], "c")
    build_specimens(VARIED, name, root_seed, number, paths["plan"], paths["atoms"], "c")
    project_depth(Labels(), paths["atoms"], paths["depth"], "c")
    waves = paths.pop("waves")
    simulate_waves(Beam(pixel_pm=15, slice_pm=400), paths["atoms"], waves, "c", "cpu")
    form_images(LENS, name, root_seed, waves, paths["images"], "c", "cpu")
    return paths


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    return build_shard(tmp_path_factory.mktemp("shard"))


def test_montage(shard, tmp_path, drawn):
    out = tmp_path / "montage.png"
    montage.plot(**shard, out=out, code="code")
    for path in (out, out.with_suffix(".pdf")):
        manifest = read_manifest(path)
        assert manifest["command"] == montage.COMMAND and len(manifest["inputs"]) == 4
    chosen, defoci = (manifest["parameters"][name] for name in ("structures", "defocus"))
    plan = pd.read_csv(shard["plan"]).set_index("index").loc[:5]
    for surface, rows in plan.loc[chosen].groupby("surface"):
        known = plan.loc[plan["surface"] == surface, "bulk_atoms"]
        assert rows["bulk_atoms"].tolist() == sorted({known.min(), known.max()})
    assert list(dict.fromkeys(plan.loc[chosen, "surface"])) == ["flat", "stepped", "sawtooth"]
    assert len(chosen) == len(set(chosen)) == len(defoci) and {0, 2} <= set(defoci)
    fig = drawn[0]
    with style.styled():
        assert overlapping_texts(fig) == []
    montage.plot(**shard, out=tmp_path / "again.png", code="code")
    assert (tmp_path / "again.png").read_bytes() == out.read_bytes()
    assert (tmp_path / "again.pdf").read_bytes() == out.with_suffix(".pdf").read_bytes()


def test_montage_panels_have_one_scale_and_the_vacuum_up(shard, tmp_path, drawn):
    montage.plot(**shard, out=tmp_path / "montage.png", code="code")
    fig = drawn[0]
    chosen = read_manifest(tmp_path / "montage.png")["parameters"]["structures"]
    frames = {frame.info["index"]: frame for frame in ase.io.read(shard["atoms"], index=":", format="extxyz")}
    field = 64 * PIXEL / 1000
    for row, index in enumerate(chosen):
        text, along, across, depth, image, _ = fig.axes[6 * row : 6 * row + 6]
        for ax in (along, across, depth, image):
            (left, right), box = ax.get_xlim(), ax.get_window_extent()
            assert ax.get_ylim() == pytest.approx((0, field))
            assert box.height / field == pytest.approx(box.width / (right - left))
            assert box.height == pytest.approx(along.get_window_extent().height)
        for words in text.texts:
            assert words.get_window_extent().x1 < along.get_window_extent().x0
        places = (frames[index].positions[:, :2] - VARIED.margin_pm / 100) / 10
        inside = places[((places > 0) & (places < field)).all(axis=1)]
        discs = along.collections[0].get_offsets()
        assert np.abs(inside[:, None] - discs).sum(axis=-1).min(axis=1).max() < 1e-9
        assert discs.max() < field + 0.2 and len(across.collections[0].get_offsets()) > 5
        with open_zarr(shard["depth"]) as truth:
            assert np.array_equal(depth.images[0].get_array(), truth["depth"].sel(structure=index).values)


def test_montage_tells_what_was_drawn(shard, tmp_path, drawn):
    montage.plot(**shard, out=tmp_path / "montage.png", code="code")
    shown = read_manifest(tmp_path / "montage.png")["parameters"]
    plan = pd.read_csv(shard["plan"]).set_index("index")
    with open_zarr(shard["images"]) as pictures:
        for row, (index, place) in enumerate(zip(shown["structures"], shown["defocus"])):
            words = " ".join(text.get_text() for text in drawn[0].axes[6 * row].texts).replace("−", "-")
            one, image = plan.loc[index], pictures.sel(structure=index).isel(defocus=place)
            tilt = np.hypot(one["tilt_x_deg"], one["tilt_y_deg"])
            for wanted in (
                f"{one['surface']}, structure {index}",
                f"bulk {one['bulk_atoms']} atoms, surface {one['surface_atoms']:.1f}",
                f"tilt {tilt:.1f}°",
                f"rotation {one['rotation_deg']:+.1f}°",
                f"C1 {(-2, 4, 10)[place]:+d} nm",
                f"A1 {float(image['a1_nm']):.1f} nm/{float(image['a1_azimuth_deg']):.0f}°",
                f"vibration {float(image['image_spread_pm']):.0f} pm",
            ):
                assert wanted in words
            for default in ("C3", "C5", "A2", "MTF", "convergence"):
                assert default not in words


def test_montage_of_few_structures(shard):
    rows = pd.DataFrame({"surface": ["stepped", "flat", "stepped"], "bulk_atoms": [5, 4, 5]}, index=[3, 4, 6])
    assert montage.thin_and_thick(rows) == [3, 4]
    assert montage.spread(9, 6) == [0, 2, 3, 5, 6, 8] and montage.spread(1, 3) == [0, 0, 0] == montage.spread(5, 1) * 3


@pytest.mark.parametrize("kind", ("plan", "atoms", "depth", "images"))
def test_montage_of_what_does_not_belong_together(shard, tmp_path, kind):
    other = build_shard(tmp_path, number=1) | {"plan": tmp_path / "other.csv"}
    plan_specimens(VARIED, "w", 1, other["plan"], "c")
    with pytest.raises(StoreError, match="was not (built|projected|formed) from") as told:
        montage.plot(**shard | {kind: other[kind]}, out=tmp_path / "montage.png", code="code")
    assert "\n" not in str(told.value)
    with pytest.raises(StoreError, match="what .* makes is needed|does not exist"):
        wrong = "images" if kind == "plan" else "plan"
        montage.plot(**shard | {kind: shard[wrong]}, out=tmp_path / "montage.png", code="code")
    assert not (tmp_path / "montage.png").exists()


@pytest.mark.parametrize("lacking", ("structure", "defocus"))
def test_montage_of_nothing(shard, tmp_path, lacking):
    paths = {"plan": shard["plan"]} | {kind: tmp_path / kind for kind in ("atoms", "depth", "images")}
    made = {kind: read_manifest(shard[kind]) for kind in shard}
    given = {"atoms": [paths["plan"]], "depth": [paths["atoms"]], "images": []}
    frames = ase.io.read(shard["atoms"], index=":", format="extxyz")
    for kind, inputs in given.items():
        facts = {name: made[kind][name] for name in ("command", "parameters", "seeds")}
        with writing(paths[kind], code="c", inputs=inputs, **facts) as partial:
            if kind == "atoms":
                ase.io.write(partial, frames if lacking == "defocus" else [], format="extxyz")
                continue
            with open_zarr(shard[kind]) as store:
                part = store.drop_dims("column", errors="ignore")
                part = part.isel({lacking: slice(0)} if lacking in part.dims else {}).load()
            write_zarr(part, partial, parameters={})
    with pytest.raises(StoreError, match="holds no"):
        montage.plot(**paths, out=tmp_path / "montage.png", code="code")
