"""Figures from what is stored: they say what they show, fit their page, are written whole and repeat byte for byte."""

import itertools
import json
import shutil
from dataclasses import replace
from importlib import import_module

import ase.io
import numpy as np
import pandas as pd
import pytest
from figure_data import (
    CERIA,
    PIXEL,
    SPECIMEN,
    build_shard,
    make_comparison,
    make_evaluation,
    make_observer,
    make_picture,
    store_evaluation,
    titanate,
)
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from results_data import make_facts, make_frames, open_folder

from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.calibration import POPULATIONS
from segdepth.evaluation.examples import evenly_spaced
from segdepth.figures import (
    benchmark,
    comparison,
    convergence,
    fig4_smoothing,
    fig6_confusion,
    fig7_calibration,
    montage,
    prediction,
    style,
    training,
)
from segdepth.figures.registry import ENTRIES, FIGURES, figures_from
from segdepth.steps import plot_montage as montage_step
from segdepth.steps.pictures import is_simulated
from segdepth.steps.plot_benchmark import plot_benchmark
from segdepth.steps.plot_comparison import plot_comparison
from segdepth.steps.plot_convergence import plot_convergence
from segdepth.steps.plot_figure import plot_figure
from segdepth.steps.plot_montage import plot_montage
from segdepth.steps.plot_prediction import plot_prediction
from segdepth.steps.plot_training import plot_training
from segdepth.steps.stored_evaluation import write_ideal_observer
from segdepth.store.manifest import read_manifest, write_artefact
from segdepth.store.zarr_store import open_zarr, write_zarr

EVALUATED = figures_from("evaluation")


def draw_figure(name, *arguments, **options) -> Figure:
    return import_module(FIGURES[name].module).draw(*arguments, **options)


@pytest.fixture(scope="module")
def evaluation():
    return make_evaluation()


@pytest.fixture(scope="module")
def stored(tmp_path_factory, evaluation):
    return store_evaluation(tmp_path_factory.mktemp("evaluation") / "evaluation", evaluation)


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


def words_of(fig: Figure) -> str:
    return " ".join(text.get_text() for text in texts_of(fig))


def fits(fig: Figure) -> bool:
    return style.styled(overlapping_texts)(fig) == []


def both_manifests(out):
    """The manifests of a picture and its PDF, which are there."""
    assert out.read_bytes()[:4] == b"\x89PNG" and out.with_suffix(".pdf").read_bytes()[:4] == b"%PDF"
    return read_manifest(out), read_manifest(out.with_suffix(".pdf"))


# --- all of them ----------------------------------------------------------------------------------------------------


def test_every_figure_has_a_module_that_draws_it_and_words():
    assert len(FIGURES) == len(ENTRIES)
    for entry in ENTRIES:
        module = import_module(entry.module)
        assert hasattr(module, "draw") or hasattr(module, "draw")
        assert entry.title and entry.caption.endswith(".")
        assert (entry.dataset_field is not None) == (entry.source in ("evaluation", "montage"))


@pytest.mark.parametrize("name", EVALUATED)
def test_figures_of_an_evaluation_are_written_with_manifests(stored, tmp_path, name):
    out = tmp_path / "figure.png"
    plot_figure(FIGURES[name].module, stored, out, code="code")
    for manifest in both_manifests(out):
        assert manifest["command"] == "plot-figure" and manifest["parameters"] == {"figure": name}
        assert manifest["inputs"][0]["content"] == read_manifest(stored)["content"]


@pytest.mark.parametrize("classes", (11, 41))
@pytest.mark.parametrize("name", EVALUATED)
def test_figures_of_an_evaluation_fit_their_page(name, classes):
    assert fits(draw_figure(name, make_evaluation(classes=classes)))


def test_the_confusion_matrix_names_the_class_of_more():
    made = make_evaluation(classes=32)
    fig = draw_figure("fig6_confusion", replace(made, facts=made.facts | {"more": True}))
    assert fits(fig) and "> 30" in words_of(fig) and "> 30" not in words_of(draw_figure("fig6_confusion", made))


def test_figures_name_the_network_and_the_data_set():
    made = make_evaluation(dataset="smooth", model="some_net")
    for name in EVALUATED:
        assert "smooth" in draw_figure(name, made).get_suptitle()
    for name in ("fig1_depth", "fig6_confusion", "fig7_calibration"):
        assert "some_net (binned, c = 2" in draw_figure(name, made).get_suptitle()


@pytest.mark.parametrize("name", ("fig1_depth", "fig6_confusion"))
def test_the_same_evaluation_gives_the_same_bytes(stored, tmp_path, name):
    for copy in ("a.png", "b.png"):
        plot_figure(FIGURES[name].module, stored, tmp_path / copy, code="code")
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


@pytest.mark.parametrize("name", EVALUATED)
def test_long_names_fit(name):
    long = make_evaluation(model="m" + "odel_1-2_" * 7, dataset="dose-set" * 8)
    assert fits(draw_figure(name, long))


def test_vacuum_is_up_and_units_are_told(evaluation):
    fig = draw_figure("fig1_depth", evaluation)
    shown = [ax for ax in fig.axes if ax.images]
    for ax in shown[:4]:
        bottom, top = ax.get_ylim()
        assert bottom < top and ax.images[0].origin == "lower"
        assert top == pytest.approx(64 * PIXEL / 1000)
    words = words_of(fig)
    for wanted in ("depth (atoms)", "intensity (vacuum = 1)", "confidence (probability)", "0.5 nm", "895 e⁻/Å²"):
        assert wanted in words


def test_confusion_states_the_dose_and_has_no_row_without_pixels(evaluation):
    fig = draw_figure("fig6_confusion", evaluation)
    words = [t.get_text() for t in texts_of(fig)]
    assert any("λ = 2.5" in w for w in words)
    assert words.count("–") == 3 * 11  # depth 1, which no pixel has; all pixels, Ce, O
    shares = fig.axes[0].images[0].get_array()
    assert np.allclose(shares.sum(axis=1)[[0, *range(2, 11)]], 1)
    rows = evaluation.confusion[evaluation.confusion["element"] == "all"]
    three = rows[rows["true"] == 3].set_index("estimate")["pixels"]
    assert shares[3, 4] == pytest.approx(three[4] / three.sum())


def test_confusion_tells_the_dose_of_the_training_and_the_pixels_of_each_true_depth(evaluation):
    fig = draw_figure("fig6_confusion", evaluation)
    assert "a_model (binned, c = 2, trained at λ = 0.5 … 2.5) on d" in fig.get_suptitle()
    words = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    pixels = evaluation.confusion_matrix().sum(axis=1)
    assert words[1] == "1 (0)" and words[3] == f"3 ({pixels[3]})"
    for facts, told in (({"trained_lambda": [2.5, 2.5]}, "trained at λ = 2.5)"), ({"trained_lambda": [1, 1]}, "= 1)")):
        assert told in draw_figure("fig6_confusion", make_evaluation(**facts)).get_suptitle()


@pytest.mark.parametrize(
    "count, text",
    (
        (0, "0"),
        (812, "812"),
        (999, "1.0 k"),
        (3100, "3.1 k"),
        (41_900, "42 k"),
        (1_230_000, "1.2 M"),
        (995_000, "1.0 M"),
    ),
)
def test_short_numbers(count, text):
    assert fig6_confusion.short_number(count) == text


def test_confusion_is_that_of_each_element(evaluation, tmp_path):
    table = evaluation.confusion
    oxygen = table["pixels"].where(table["element"] != "O", (table["true"] == table["estimate"]) * 7)
    fig = draw_figure("fig6_confusion", replace(evaluation, confusion=table.assign(pixels=oxygen)))
    counts = table[table["element"] == "Ce"]
    within = counts.loc[(counts["true"] - counts["estimate"]).abs() <= 1, "pixels"].sum() / counts["pixels"].sum()
    assert f"pixels nearest to columns of Ce\nwithin one atom: {within:.3f}" in words_of(fig)
    assert "pixels nearest to columns of O\nwithin one atom: 1.000" in words_of(fig)
    assert np.array_equal(fig.axes[2].images[0].get_array(), np.eye(11))
    fig = draw_figure("fig6_confusion", make_evaluation(titanate(tmp_path)))
    assert fits(fig) and all(f"columns of {element}\n" in words_of(fig) for element in ("Sr", "Ti", "O"))


def test_calibration_tells_the_errors_of_pixels_and_columns_before_and_after(evaluation):
    errors = evaluation.metrics["metric"].map({name: 0.1 + i for i, name in enumerate(POPULATIONS.values())})
    told = replace(evaluation, metrics=evaluation.metrics.assign(value=errors))
    fig = draw_figure("fig7_calibration", replace(told, facts=told.facts | {"temperature": 1.234}))
    assert fits(fig) and "T = 1.23" in words_of(fig)
    for number, name in enumerate(("all pixels, after", "pixels of columns, after", "columns, after")):
        assert f"{name} (expected calibration error {0.1 + number:.3f})" in words_of(fig)
    for number, name in ((3.1, "all pixels, before"), (4.1, "columns, before")):
        assert f"{name} temperature scaling (expected calibration error {number:.3f})" in words_of(fig)
    unknown = evaluation.metrics.assign(value=np.nan)
    fig = draw_figure("fig7_calibration", replace(evaluation, metrics=unknown))
    assert "expected calibration error" not in words_of(fig)


def test_a_bin_of_few_has_no_point_in_the_calibration(evaluation):
    fig = draw_figure("fig7_calibration", evaluation)  # whose bins have 0, 10, 20, 30, ...
    for ax in fig.axes[:2]:
        for line in ax.get_lines()[1:]:
            assert len(line.get_xdata()) == 17 and min(line.get_xdata()) == pytest.approx(0.175)
    assert "fewer than 30" in FIGURES["fig7_calibration"].caption and fig7_calibration.FEWEST == 30


def test_an_evaluation_without_the_calibration_of_columns_is_refused_with_what_makes_it_again(evaluation):
    names = {"pixels": "all", "pixels_of_columns": "columns", "columns": "pooled"}
    names |= {"pixels_before": "all_before", "columns_before": "pooled_before"}
    earlier = evaluation.calibration.replace({"population": names})
    for had in (["all", "columns"], [*names.values()]):  # whose ``columns`` are the pixels of columns
        told = replace(evaluation, calibration=earlier[earlier["population"].isin(had)])
        with pytest.raises(
            StoreError, match="a_model/d: .* another version .* --force -- results/evaluation/a_model/d$"
        ):
            draw_figure("fig7_calibration", told)


def test_smoothing_is_shown_where_the_crystal_is_thickest(evaluation):
    depth = np.zeros((40, 60), np.uint8)
    depth[:, 5:50], depth[11:21, 31:41] = 1, 9
    assert fig4_smoothing.thickest_square(depth, 10) == ((31, 11), 10)
    assert fig4_smoothing.thickest_square(depth[:8], 10)[1] == 8
    fig = draw_figure("fig4_smoothing", evaluation)
    for ax in fig.axes[:2]:  # of a wedge that is thickest at row 0
        assert ax.get_ylim() == pytest.approx((0, 57 * PIXEL / 1000)) and ax.get_xlim()[0] >= 0


def test_scale_bar_is_as_long_as_it_says():
    for side, length in ((5.411, 1.0), (1.6, 0.5), (0.9, 0.2)):
        ax = Figure().subplots()
        ax.set(xlim=(0, side), ylim=(0, side))
        style.scale_bar(ax)
        assert ax.patches[1].get_width() == length and ax.texts[0].get_text() == f"{length:g} nm"


@pytest.mark.parametrize("classes", (2, 11, 26, 255))
def test_every_depth_and_the_background_have_a_colour_of_their_own(classes):
    scale = style.DepthColours(classes)
    colours = [scale.colours(scale.norm(d)) for d in range(classes)]
    assert len(set(colours)) == classes
    grey = colours[0][:3]
    assert max(grey) - min(grey) < 0.01 and all(max(c[:3]) - min(c[:3]) > 0.1 for c in colours[1:])


def test_depths_are_numbered_as_far_as_there_is_room():
    assert style.class_ticks(11) == list(range(11)) and style.class_ticks(2) == [0, 1]
    assert style.class_ticks(26) == [0, 5, 10, 15, 20, 25]
    assert all(len(style.class_ticks(classes)) <= 12 for classes in range(2, 256))


def test_elements_have_colours_by_their_weight():
    assert style.heaviest_first(["O", "all", "Ce", "O"]) == ["Ce", "O"]
    colours = style.element_colours(["Ce", "O"])
    assert (colours["Ce"], colours["O"]) == ("#0072b2", "#d55e00")
    three = style.element_colours(["Sr", "Ti", "O"])
    assert len(set(three.values())) == 4 and style.OTHER not in three.values()
    assert list(style.element_markers(["Sr", "Ti", "O"]).values()) == ["o", "^", "s"]


def test_miller_indices_have_bars():
    assert style.miller("-111") == r"$\bar{1}11$" and style.miller("2-20") == r"$2\bar{2}0$"
    assert style.miller("[1-10]") == r"$[1\bar{1}0]$" and style.miller("[-10 1 0]") == r"$[\bar{10}\,1\,0]$"


def test_unknown_example_and_wrong_suffix(evaluation, stored, tmp_path):
    with pytest.raises(ConfigError, match="example: got 99; the evaluation stores 9"):
        draw_figure("fig1_depth", evaluation, example=99)
    with pytest.raises(ConfigError, match="ends in .png"):
        plot_figure(FIGURES["fig6_confusion"].module, stored, tmp_path / "figure.jpg", code="code")
    with pytest.raises(StoreError, match="does not exist"):
        plot_figure(FIGURES["fig7_calibration"].module, tmp_path / "nothing", tmp_path / "figure.png", code="code")
    assert list(tmp_path.iterdir()) == []


# --- training, benchmark, convergence --------------------------------------------------------------------------------


def curve_of(elements=("Ce", "O")) -> pd.DataFrame:
    epochs = np.arange(4)
    falling = {name: 1 / (1 + epochs) for name in ("train_loss", "validation_loss", "learning_rate")}
    rising = {f"centre_accuracy{s}": epochs / 4 for s in ("", *(f"_{e}" for e in elements))}
    curve = pd.DataFrame({"epoch": epochs, "step": epochs * 8, **falling, **rising})
    curve.loc[0, "validation_loss"] = np.nan
    return curve


def test_training_curve(tmp_path):
    fig = training.draw(curve_of(), "unet")
    assert fits(fig)
    lines = fig.axes[0].get_lines()
    assert len(lines[0].get_xdata()) == 4 and len(lines[1].get_xdata()) == 3
    labels = [line.get_label() for line in fig.axes[1].get_lines()]
    assert labels == ["Ce and O", "Ce", "O"]
    assert [line.get_label() for line in training.draw(curve_of(["Ti"]), "unet").axes[1].get_lines()] == ["Ti"]
    model = tmp_path / "model"
    with write_artefact(model, command="train-model", code="c", parameters={}) as partial:
        partial.mkdir()
        curve_of().to_csv(partial / "curve.csv", index=False)
    plot_training(model, tmp_path / "curve.png", code="code")
    assert [manifest["command"] for manifest in both_manifests(tmp_path / "curve.png")] == ["plot-training"] * 2


def test_training_without_a_curve(tmp_path):
    model = tmp_path / "model"
    with write_artefact(model, command="train-model", code="c", parameters={}) as partial:
        partial.mkdir()
        (partial / "curve.csv").write_text("epoch\n0\n")
    with pytest.raises(StoreError, match="it lacks learning_rate, train_loss"):
        plot_training(model, tmp_path / "curve.png", code="code")


@pytest.mark.parametrize("both", (True, False))
def test_benchmark(evaluation, both):
    other = make_evaluation(dataset="another")
    fig = benchmark.draw([evaluation, other], make_observer(both=both))
    assert fits(fig)
    words = words_of(fig)
    for wanted in ("Ce", "O", "d", "another", "a_model (binned, c = 2)", "true count (atoms)", "defocus C1 (nm"):
        assert wanted in words
    assert ("wedge known" in words) == both and ("single columns" in words) == (not both)
    counted = fig.axes[0].get_lines()[0]
    assert counted.get_color() == style.element_colours(["Ce", "O"])["Ce"]
    assert np.allclose(counted.get_ydata(), 1 / np.arange(1, 11))
    dashed = [line for line in fig.axes[1].get_lines() if line.get_linestyle() == "--"]
    assert [line.get_ydata().tolist() for line in dashed] == [[0.6 if both else 0.5] * 2] * 2


def test_benchmark_of_another_crystal_and_of_many_depths(tmp_path):
    crystal = titanate(tmp_path)
    fig = benchmark.draw([make_evaluation(crystal, classes=26)])
    assert fits(fig)
    assert all(element in words_of(fig) for element in ("Sr", "Ti", "O"))
    assert fig.axes[0].get_xlim() == (0.5, 25.5)


def test_benchmark_is_written(evaluation, stored, tmp_path):
    observer = tmp_path / "observer"
    with write_artefact(observer, command="estimate-ideal-observer", code="c", parameters={}) as partial:
        partial.mkdir()
        write_ideal_observer(replace(make_observer(), columns=pd.DataFrame({"a": [1]})), partial)
    plot_benchmark([stored], observer, tmp_path / "benchmark.png", code="code")
    for manifest in both_manifests(tmp_path / "benchmark.png"):
        assert [given["path"] for given in manifest["inputs"]][1] == "observer"
    with pytest.raises(ConfigError, match="got 5; one to 4"):
        benchmark.draw([evaluation] * 5)


def study() -> pd.DataFrame:
    rows = [("reference", "exact", 9.0), ("grid", "5 pm", 0.7), ("grid", "10 pm", 0.2), ("precision", "optics", np.nan)]
    table = pd.DataFrame(rows, columns=["group", "case", "multislice_s"]).assign(image_ms=40.0)
    return table.assign(error_1nm_percent=0.5, error_9nm_percent=1e-4)


def test_convergence(tmp_path):
    fig = convergence.draw(study())
    assert fits(fig)
    words = words_of(fig)
    for wanted in ("grid", "5 pm", "0.70 s", "40.0 ms", "1 nm", "9 nm", "rms difference / rms contrast (%)"):
        assert wanted in words
    assert "exact" not in words
    table = tmp_path / "study.csv"
    with write_artefact(table, command="study-convergence", code="c", parameters={}) as partial:
        study().to_csv(partial, index=False)
    plot_convergence(table, tmp_path / "study.png", code="code")
    both_manifests(tmp_path / "study.png")


@pytest.mark.parametrize(
    "table, told",
    (
        (study().drop(columns="image_ms"), "lacks image_ms"),
        (study()[["group", "case", "multislice_s", "image_ms"]], "lacks error_<C1>nm_percent"),
        (study()[:1], "holds no cases"),
        (study().assign(image_ms="long"), "something else than numbers"),
    ),
)
def test_convergence_tables_that_are_none(table, told):
    with pytest.raises(StoreError, match=told):
        convergence.draw(table)


# --- predictions and comparisons ------------------------------------------------------------------------------------


def test_a_prediction_names_the_class_of_more():
    fig = prediction.draw(make_picture(classes=32, more=True))
    assert fits(fig) and "> 30" in words_of(fig) and "dot: perhaps > 30 atoms" in fig.get_suptitle()


@pytest.mark.parametrize("frames", (1, 3))
@pytest.mark.parametrize("found", (True, False))
def test_prediction(frames, found):
    picture = make_picture(frames=frames)
    picture = picture if found else replace(picture, columns=picture.columns[:0])
    fig = prediction.draw(picture)
    assert fits(fig)
    heading = fig.get_suptitle()
    assert "row 0 is at the top" in heading and ("frame 3 (one of 3)" in heading) == (frames == 3)
    assert heading.startswith("net on film.dm4\n")
    assert "412 e⁻/Å², pixel 15.000 ± 0.020 pm, turned by -81.7°" in heading and "white is not valid" in heading
    assert ("dot: at least" in heading) == found
    assert "(d) columns: ○ Ce, △ O" in words_of(fig) and "≥ 10" in words_of(fig)
    assert "NOT RELIABLE" not in words_of(fig)
    points = np.concatenate([c.get_offsets() for ax in fig.axes[:4] for c in ax.collections] or [np.zeros((0, 2))])
    wanted = picture.columns[["x_pm", "y_pm"]].to_numpy() / 1000
    wanted[:, 1] = 0.9 - wanted[:, 1]  # 60 rows of 15 pm, the first one at the top
    np.testing.assert_allclose(sorted(map(tuple, points)), sorted(map(tuple, wanted)), atol=1e-9)


def test_a_prediction_names_its_network_and_says_that_the_micrograph_is_simulated():
    picture = make_picture()
    assert prediction.draw(picture, simulated=True).get_suptitle().startswith("net on film.dm4 (simulated)\n")
    long = picture.film | {"source": "a/" + "film-" * 40 + ".tif", "network": {"name": "network_" * 8}}
    fig = prediction.draw(replace(picture, film=long), simulated=True)
    assert fits(fig) and ".tif (simulated)\n" in fig.get_suptitle() and "network_" * 8 in fig.get_suptitle()


def test_prediction_has_row_0_at_the_top():
    picture = make_picture()
    image, depth = (ax.images[0] for ax in prediction.draw(picture).axes[:2])
    for shown, wanted in ((image, picture.counts), (depth, picture.depth)):
        assert shown.origin == "lower"
        np.testing.assert_array_equal(np.ma.filled(shown.get_array().astype(float), np.nan)[::-1], wanted)


def test_prediction_that_is_not_reliable_is_stamped():
    picture = make_picture()
    fig = prediction.draw(replace(picture, frame=picture.frame | {"reliable": False}))
    stamps = [text for text in texts_of(fig) if text.get_color() == prediction.STAMP_COLOUR]
    assert [text.get_text() for text in stamps] == ["NOT RELIABLE", "outside of what the network has learnt"]
    box = stamps[0].get_window_extent(FigureCanvasAgg(fig).get_renderer())
    assert box.width > 0.4 * fig.bbox.width


def test_prediction_of_another_crystal(tmp_path):
    crystal = titanate(tmp_path)
    picture = make_picture(crystal, classes=26)
    fig = prediction.draw(picture)
    assert fits(fig) and "(d) columns: ○ Sr, △ Ti, □ O" in words_of(fig) and "≥ 25" in words_of(fig)
    marked = {len(c.get_offsets()) for c in fig.axes[3].collections}
    assert marked == set(picture.columns["element"].value_counts())
    assert fig.axes[1].images[0].norm.vmax == 25.5


def store_prediction(folder):
    facts = make_facts()
    with write_artefact(folder, command="predict-micrograph", code="c", parameters={}) as partial:
        writer = open_folder(partial, facts)
        for result in make_frames(facts):
            writer.put(result)
        writer.close()
    return folder


@pytest.mark.parametrize(
    "command, wanted", (("record-micrograph", True), ("record-film", True), ("form-images", False))
)
def test_a_recording_is_known_by_the_manifest_beside_it(tmp_path, command, wanted):
    (tmp_path / "data").mkdir()
    recorded, alone = tmp_path / "data" / "camera.npz", tmp_path / "film.dm4"
    with write_artefact(recorded, command=command, code="c", parameters={}) as partial:
        partial.write_text("counts")
    alone.write_text("counts")
    for source, told in ((recorded, wanted), (alone, False)):
        made = source
        for step in ("predict-micrograph", "measure-boundary"):
            folder = tmp_path / f"{source.stem}-{step}"
            with write_artefact(folder, command=step, code="c", parameters={}, inputs=[made]) as partial:
                partial.mkdir()
            made = folder
            assert is_simulated(made) == told
        assert is_simulated(source) == told
    with write_artefact(tmp_path / "films", command=command, code="c", parameters={}) as partial:
        partial.mkdir()
        (partial / "film.tif").write_text("frames")
    assert is_simulated(tmp_path / "films" / "film.tif") == wanted


def test_prediction_is_written_whole_or_not_at_all(tmp_path):
    out, folder = tmp_path / "picture.png", store_prediction(tmp_path / "prediction")
    plot_prediction(folder, out, code="code")
    assert [manifest["command"] for manifest in both_manifests(out)] == ["plot-prediction"] * 2
    summary = json.loads((folder / "summary.json").read_text())
    for lacking, told in (("crystal", "has no attribute 'crystal'"), ("frames", "is not a prediction of this version")):
        other = tmp_path / lacking
        with write_artefact(other, command="predict-micrograph", code="c", parameters={}) as partial:
            shutil.copytree(folder, partial)
            (partial / "summary.json").write_text(json.dumps({k: v for k, v in summary.items() if k != lacking}))
        with pytest.raises(StoreError, match=told) as failure:
            plot_prediction(other, tmp_path / "none.png", code="code")
        assert "\n" not in str(failure.value) and str(failure.value).count(str(other)) == 1
    with pytest.raises(StoreError, match="does not exist"):
        plot_prediction(tmp_path / "nothing", tmp_path / "none.png", code="code")
    assert not list(tmp_path.glob("none*"))


@pytest.mark.parametrize("which", ("ceria", "titanate"))
def test_comparison(tmp_path, which):
    crystal = CERIA if which == "ceria" else titanate(tmp_path)
    fig = comparison.draw(*make_comparison(crystal))
    assert fits(fig)
    words = words_of(fig)
    for wanted in (crystal.title, "0.5 nm", "C1 = 5 nm", "darkest place", *(f"{e} column" for e in crystal.elements)):
        assert wanted in words
    axes = ("$[001]$", r"$[1\bar{1}0]$") if which == "ceria" else ("$[100]$", "$[010]$")
    assert all(f"along {name} (1/nm)" in words for name in axes)
    cells = next(ax for ax in fig.findobj(Axes) if "average unit cells" in ax.get_title())
    assert len(cells.lines) >= 2 * len(crystal.columns)


def test_comparison_is_written(tmp_path):
    facts, table, pictures = make_comparison()
    folder = tmp_path / "comparison"
    with write_artefact(folder, command="compare-micrograph", code="c", parameters={}) as partial:
        partial.mkdir()
        (partial / "comparison.json").write_text(json.dumps(facts))
        table.to_csv(partial / "simulated.csv", index=False)
        write_zarr(pictures, partial / "comparison.zarr", leading=(), parameters={})
    plot_comparison(folder, tmp_path / "picture.png", code="code")
    assert [manifest["command"] for manifest in both_manifests(tmp_path / "picture.png")] == ["plot-comparison"] * 2


# --- the montage ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    return build_shard(tmp_path_factory.mktemp("shard"))


@pytest.fixture
def drawn(monkeypatch):
    """The montages that are drawn while a test runs."""
    figures = []

    def keep(*arguments):
        figures.append(montage.draw(*arguments))
        return figures[-1]

    monkeypatch.setattr(montage_step, "draw", keep)
    return figures


def test_montage(shard, tmp_path, drawn):
    out = tmp_path / "montage.png"
    plot_montage(**shard, out=out, code="code")
    for path in (out, out.with_suffix(".pdf")):
        manifest = read_manifest(path)
        assert manifest["command"] == "plot-montage" and len(manifest["inputs"]) == 4
    chosen, defoci = (manifest["parameters"][name] for name in ("structures", "defocus"))
    plan = pd.read_csv(shard["plan"]).set_index("index").loc[:5]
    for surface, rows in plan.loc[chosen].groupby("surface"):
        known = plan.loc[plan["surface"] == surface, "bulk_atoms"]
        assert rows["bulk_atoms"].tolist() == sorted({known.min(), known.max()})
    assert list(dict.fromkeys(plan.loc[chosen, "surface"])) == ["flat", "stepped", "sawtooth"]
    assert len(chosen) == len(set(chosen)) == len(defoci) and {0, 2} <= set(defoci)
    assert fits(drawn[0])
    plot_montage(**shard, out=tmp_path / "again.png", code="code")
    assert (tmp_path / "again.png").read_bytes() == out.read_bytes()
    assert (tmp_path / "again.pdf").read_bytes() == out.with_suffix(".pdf").read_bytes()


def test_montage_panels_have_one_scale_and_the_vacuum_up(shard, tmp_path, drawn):
    plot_montage(**shard, out=tmp_path / "montage.png", code="code")
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
        places = (frames[index].positions[:, :2] - SPECIMEN.margin_pm / 100) / 10
        inside = places[((places > 0) & (places < field)).all(axis=1)]
        discs = along.collections[0].get_offsets()
        assert np.abs(inside[:, None] - discs).sum(axis=-1).min(axis=1).max() < 1e-9
        assert discs.max() < field + 0.2 and len(across.collections[0].get_offsets()) > 5
        with open_zarr(shard["depth"]) as truth:
            assert np.array_equal(depth.images[0].get_array(), truth["depth"].sel(structure=index).values)


def test_montage_tells_what_was_drawn(shard, tmp_path, drawn):
    plot_montage(**shard, out=tmp_path / "montage.png", code="code")
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
                f"image spread {float(image['image_spread_pm']):.0f} pm",
            ):
                assert wanted in words
            for default in ("C3", "C5", "A2", "MTF", "convergence"):
                assert default not in words


def test_montage_of_few_structures(shard):
    rows = pd.DataFrame({"surface": ["stepped", "flat", "stepped"], "bulk_atoms": [5, 4, 5]}, index=[3, 4, 6])
    assert montage.thin_and_thick(rows) == [3, 4]
    assert evenly_spaced(9, 6) == [0, 2, 3, 5, 6, 8] and evenly_spaced(1, 3) == [0, 0, 0] == evenly_spaced(5, 1) * 3


def test_montage_of_another_crystal(tmp_path, drawn):
    paths = build_shard(tmp_path, titanate(tmp_path), block=SPECIMEN.model_copy(update={"field_pm": 64 * PIXEL}))
    plot_montage(**paths, out=tmp_path / "montage.png", code="code")
    fig = drawn[0]
    assert fits(fig)
    words = words_of(fig)
    assert all(element in words for element in ("Sr", "Ti", "O", "$[100]$", "[100]"))
    radii = montage.Shard({0: ase.io.read(paths["atoms"], index=0, format="extxyz")}, None, None, None).radii_pm
    assert radii == pytest.approx({"Sr": 0.458 * 195.25, "Ti": 0.333 * 195.25, "O": 0.333 * 195.25})


@pytest.mark.parametrize("kind", ("plan", "atoms", "depth", "images"))
def test_montage_of_what_does_not_belong_together(shard, tmp_path, kind):
    other = build_shard(tmp_path, number=1) | {"plan": tmp_path / "other.csv"}
    with write_artefact(other["plan"], command="plan-specimens", code="c", parameters={"seed": 1}) as partial:
        partial.write_text("index\n")
    with pytest.raises(StoreError, match="was not (built|projected|formed) from") as told:
        plot_montage(**shard | {kind: other[kind]}, out=tmp_path / "montage.png", code="code")
    assert "\n" not in str(told.value)
    with pytest.raises(StoreError, match="what .* makes is needed|does not exist"):
        wrong = "images" if kind == "plan" else "plan"
        plot_montage(**shard | {kind: shard[wrong]}, out=tmp_path / "montage.png", code="code")
    assert not (tmp_path / "montage.png").exists()


def test_montage_of_images_of_another_seed(shard, tmp_path):
    """Their waves are gone, so that the images alone tell."""
    other = build_shard(tmp_path, root_seed=1)
    waves = other["images"].with_name("waves-000")
    waves.unlink()
    waves.with_name("waves-000.manifest.json").unlink()
    with pytest.raises(StoreError, match="were not formed from the waves of"):
        plot_montage(**shard | {"images": other["images"]}, out=tmp_path / "montage.png", code="code")


@pytest.mark.parametrize("lacking", ("structure", "defocus"))
def test_montage_of_nothing(shard, tmp_path, lacking):
    paths = {"plan": shard["plan"]} | {kind: tmp_path / kind for kind in ("atoms", "depth", "images")}
    made = {kind: read_manifest(shard[kind]) for kind in shard}
    given = {"atoms": [paths["plan"]], "depth": [paths["atoms"]], "images": []}
    frames = ase.io.read(shard["atoms"], index=":", format="extxyz")
    for kind, inputs in given.items():
        facts = {name: made[kind][name] for name in ("command", "parameters", "seeds")}
        with write_artefact(paths[kind], code="c", inputs=inputs, **facts) as partial:
            if kind == "atoms":
                ase.io.write(partial, frames if lacking == "defocus" else [], format="extxyz")
                continue
            with open_zarr(shard[kind]) as store:
                part = store.drop_dims("column", errors="ignore")
                part = part.isel({lacking: slice(0)} if lacking in part.dims else {}).load()
            write_zarr(part, partial, parameters={})
    with pytest.raises(StoreError, match="holds no"):
        plot_montage(**paths, out=tmp_path / "montage.png", code="code")
