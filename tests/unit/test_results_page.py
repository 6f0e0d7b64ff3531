"""``prediction.html``, read as text and shown by a browser without a window."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import RADII
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from results_data import GRID_PM, make_facts, make_frames, open_folder

from segdepth.micrograph.results import page
from segdepth.micrograph.results.page import LAYOUT, PAGE, escaped_json, grey_image, shown_frames
from segdepth.micrograph.results.tables import GIVEN

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = '/x/</script><script>document.title="broken"</script><img src=x onerror=alert(1)>&"\'.tif'


def make_page(folder, facts, results, lost=()):
    """The page's text; frames whose numbers are in ``lost`` are."""
    writer = open_folder(folder, facts)
    for result in results:
        if result.number in lost:
            writer.lose(result.number, "cut off <b>here</b>")
        else:
            writer.put(result)
    writer.close(["<i>one</i> line"])
    return (folder / PAGE).read_text(encoding="utf-8")


class Blocks(HTMLParser):
    """Texts of ``<script>`` elements by id, all tags, and all addresses."""

    def __init__(self, text):
        super().__init__()
        self.blocks, self.tags, self.addresses, self._inside = {}, [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.addresses += [attrs[name] for name in ("src", "href") if name in attrs]
        self._inside = attrs.get("id", "code") if tag == "script" else None

    def handle_data(self, data):
        if self._inside:
            self.blocks[self._inside] = self.blocks.get(self._inside, "") + data

    def handle_endtag(self, tag):
        self._inside = None


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A film of four frames: the third is lost, the last one is not known to the network."""
    facts = make_facts(frames=(3, 4, 6, 7), source=HOSTILE)
    results = list(make_frames(facts))
    results[3] = replace(results[3], familiarity="outside")
    folder = tmp_path_factory.mktemp("page") / "prediction"
    return make_page(folder, facts, results, lost=(6,)), facts, results


def test_the_page_needs_nothing_else(film):
    text, *_ = film
    found = Blocks(text)
    assert found.addresses == [] and not {"link", "iframe", "object", "img"} & set(found.tags)
    template = Path(page.__file__).with_name(page.TEMPLATE).read_text(encoding="utf-8")
    assert not re.search(r"https?:|[\"']//|@import|url\(|fetch\(|XMLHttp|WebSocket|import\(", template)
    assert "default-src 'none'" in text


def test_hostile_names_stay_text(film):
    text, facts, _ = film
    found = Blocks(text)
    assert found.tags.count("script") == 4 + 1 + 1  # frames, film, code
    assert json.loads(found.blocks["film"])["facts"][0] == ["file", HOSTILE]
    assert json.loads(found.blocks["frame-2"])["lost"] == "cut off <b>here</b>"
    assert "<b>here" not in text and "<img" not in text and 'title="broken"' not in text.replace('\\"', "")


def test_words_for_the_last_class_are_those_of_the_network(tmp_path):
    labels = RADII | {"most_atoms": 9, "more": True}
    for facts, named, fact in (
        (make_facts(frames=(3,)), "≥ 10", "at least"),
        (make_facts(frames=(3,), labels=labels), "> 9", "perhaps > 9"),
    ):
        blocks = Blocks(make_page(tmp_path / named, facts, list(make_frames(facts)))).blocks
        film, frame = json.loads(blocks["film"]), json.loads(blocks["frame-0"])
        assert (film["last_class"], film["more"]) == (named, named[0] == ">")
        assert fact in dict(frame["facts"])


@given(st.recursive(st.text() | st.integers() | st.none(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_json_in_a_script_element(value):
    text = escaped_json(value)
    assert json.loads(text) == value and not set("<>&\u2028\u2029") & set(text)


def test_frames_hold_what_was_found(film):
    text, facts, results = film
    blocks = Blocks(text).blocks
    shared = json.loads(blocks["film"])
    assert [json.loads(blocks[f"frame-{k}"])["number"] for k in range(4)] == [3, 4, 6, 7]
    block, table = json.loads(blocks["frame-1"]), results[1].table
    raw, at, arrays = base64.b64decode(block["columns"]), 0, {}
    for name, kind in LAYOUT:
        arrays[name] = np.frombuffer(raw, f"<{kind}", block["count"], at)
        at += arrays[name].nbytes
    assert at == len(raw) and block["count"] == len(table)
    np.testing.assert_allclose(arrays["x"] * shared["unit_px"] * facts.pixel_pm, table["x_pm"], atol=0.02)
    np.testing.assert_allclose(arrays["y"] * shared["unit_px"] * facts.pixel_pm, table["y_pm"], atol=0.02)
    assert [shared["names"][n] for n in arrays["name"]] == table["column"].tolist()
    assert [shared["elements"][n] for n in arrays["element"]] == table["element"].tolist()
    for name, column in {"depth": "depth", "low": "depth_low", "high": "depth_high"}.items():
        np.testing.assert_array_equal(arrays[name], table[column])
    np.testing.assert_allclose(arrays["confidence"] / 255, table["confidence"], atol=0.002)
    np.testing.assert_allclose(arrays["llr"] / 10, table["llr"], atol=0.051)
    np.testing.assert_allclose(10.0 ** (-arrays["q"].astype(float) / 100), table["q_value"], rtol=0.012)
    np.testing.assert_array_equal(arrays["flags"], table["at_least"] + 2 * table["reliable"])
    png = Image.open(io.BytesIO(base64.b64decode(block["depth_map"].partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(png), np.where(results[1].valid, results[1].depth, 255))
    jpeg = Image.open(io.BytesIO(base64.b64decode(block["image"].partition(",")[2])))
    assert jpeg.size == (90, 60) and jpeg.mode == "L"
    a, b, c, d, e, f = shared["label_to_px"]  # as a canvas takes it: of label pixels to pixels of the file
    x, y = facts.transform.inverse(np.float64(5 * GRID_PM), np.float64(7 * GRID_PM))
    np.testing.assert_allclose([a * 5 + c * 7 + e, b * 5 + d * 7 + f], [x / 12, y / 12], atol=1e-9)


@given(st.integers(1, 5000), st.integers(1, 120))
def test_shown_frames_are_evenly_spaced(count, most):
    shown = shown_frames(count, most)
    assert len(shown) == min(count, most) and shown == sorted(set(shown)) and shown[0] == 0
    if len(shown) > 1:
        assert shown[-1] == count - 1 and np.ptp(np.diff(shown)) <= 1


def test_a_long_film_is_thinned_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_FRAMES", 5)
    monkeypatch.setattr(page, "shown_frames", lambda count: shown_frames(count, 5))
    facts = make_facts(shape=(20, 30), frames=tuple(range(12)), times_s=None)
    blocks = Blocks(make_page(tmp_path / "p", facts, make_frames(facts))).blocks
    shared = json.loads(blocks["film"])
    assert ["frames shown", "5 of 12, evenly spaced"] in shared["facts"]
    assert [json.loads(blocks[f"frame-{k}"])["number"] for k in range(5)] == [0, 3, 6, 8, 11]


@pytest.mark.parametrize(("shape", "longest", "block"), (((6, 8), 8, 1), ((6, 8), 7, 2), ((7, 9), 3, 3)))
def test_images_are_averaged_over_whole_blocks(shape, longest, block):
    image = np.random.default_rng(0).uniform(0, 2, shape).astype(np.float32)
    image[0, 0] = np.nan
    grey, low, high = grey_image(image, longest)
    assert max(grey.shape) <= longest and grey.dtype == np.uint8
    corner = image[-block:, :block] if shape[0] % block == 0 else image[-(shape[0] % block) :, :block]
    wanted = np.clip((np.nanmean(corner) - low) * 255 / (high - low), 0, 255)
    assert abs(float(grey[-1, 0]) - wanted) <= 0.51
    assert grey_image(np.full((4, 4), np.nan), 4)[0].tolist() == [[255] * 4] * 4
    assert np.isfinite(grey_image(np.ones((4, 4)), 4)[0]).all()


# --- in a browser ---------------------------------------------------------------------------------------------------

SCRIPT = """
window.requestAnimationFrame = (f) => setTimeout(f, 5);  // without a window frames are not drawn regularly
waiting = false;
const say = (key, value) => (found[key] = value), wait = (ms) => new Promise((done) => setTimeout(done, ms));
function pass() { for (let k = 0, s = 0; k < 2e6; k++) s += Math.sqrt(k); }  // real time: timers follow a virtual one
const found = { errors: [] };
async function settle() {  // until the pictures of this frame are read and it is drawn
  const wanted = current;
  const shown = () => (document.body.dataset.drawn || "").startsWith(wanted + ":");
  for (let k = 0; k < 5000 && !shown(); k++) { await load(wanted); pass(); await wait(5); }
  if (!shown()) throw new Error("frame " + wanted + " was not drawn");
  await wait(100);
}
window.addEventListener("error", (e) => found.errors.push(String(e.message)));
window.addEventListener("unhandledrejection", (e) => found.errors.push(String(e.reason)));
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true, bubbles: true }));
const text = (id) => document.getElementById(id).textContent, drawn = () => document.body.dataset.drawn;
const cells = (id) => Object.fromEntries([...document.getElementById(id).rows].map((r) => [...r.cells].map((c) => c.textContent)));
function at(u, v, kind) {
  const box = canvas.getBoundingClientRect(), o = { clientX: box.left + view.x + u * view.scale, clientY: box.top + view.y + v * view.scale, pointerId: 1 };
  canvas.dispatchEvent(new PointerEvent(kind, o));
}
const ink = () => { const d = ctx.getImageData(0, 0, canvas.width, canvas.height).data; let s = 0; for (let i = 0; i < d.length; i += 4) s = (s + d[i] * 3 + d[i + 1] * 5 + d[i + 2] * 7 + i % 1009 * d[i]) % 1e9; return s; };
(async () => {
  try { await settle(); await steps(); } catch (e) { found.errors.push(String(e)); }
  const out = document.createElement("pre"); out.id = "found"; out.textContent = JSON.stringify(found); document.body.append(out);
})();
"""  # noqa: E501


def _dumped(command):
    """Output and errors of a browser; one that does not answer is ended with all processes that it started."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as browser:
        try:
            return browser.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            os.killpg(browser.pid, signal.SIGKILL)
            return browser.communicate()


def browse(tmp_path, text, steps):
    """What ``steps`` of JavaScript ``say``, run in the page."""
    path = tmp_path / "shown.html"
    path.write_text(text.replace("</body>", f"<script>async function steps() {{{steps}}}\n{SCRIPT}</script></body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    options += ["--window-size=1200,800", "--virtual-time-budget=200000", "--dump-dom", path.as_uri()]
    shown, said = _dumped([CHROMIUM, *options])
    found = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert found, said[-2000:]
    told = json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert told.pop("errors") == []
    return told


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to show the page")


@needs_browser
def test_frames_layers_and_columns_in_a_browser(film, tmp_path):
    text, facts, results = film
    one = results[0].table.iloc[4]
    place = f"{one['x_pm'] / 12}, {one['y_pm'] / 12}"
    found = browse(
        tmp_path,
        text,
        f"""
        say("title", [document.title, text("title"), document.querySelectorAll("header *").length]);
        say("warnings", [...document.querySelectorAll("#warnings li")].map((l) => [l.textContent, l.className]));
        say("first", [drawn(), text("frame-text")]);
        const plain = ink();
        document.getElementById("on-depth").click(); await wait(100); say("depth", [drawn(), ink() !== plain]);
        document.getElementById("opacity-depth").value = 20;
        const before = ink(); document.getElementById("opacity-depth").dispatchEvent(new Event("input"));
        await wait(100); say("opacity", ink() !== before);
        document.getElementById("smooth").click(); await wait(100); say("smooth", drawn());
        document.getElementById("smooth").click();
        document.getElementById("on-confidence").click(); document.getElementById("on-depth").click();
        document.getElementById("on-image").click(); await wait(100); say("confidence", drawn());
        at({place}, "pointermove"); say("hover", cells("info"));
        at({place}, "pointerdown"); at({place}, "pointerup"); await wait(50);
        say("pinned", [document.getElementById("over").hidden, text("over-title")]);
        at(-500, -500, "pointermove"); say("still", cells("info").column);
        press("ArrowRight"); await settle(); say("second", [drawn(), text("frame-text"), slider.value]);
        press("ArrowRight"); await settle();
        say("lost", [drawn(), text("frame-text"), text("lost"), document.getElementById("lost").hidden]);
        press("ArrowRight"); press("ArrowRight"); await settle(); say("last", [drawn(), text("frame-text")]);
        const s = document.getElementById("slider"); s.value = 0; s.dispatchEvent(new Event("input"));
        await settle(); say("slid", [drawn(), text("frame-text")]);
        const scale = view.scale, [u, v] = [30, 20], x = view.x + u * scale, y = view.y + v * scale;
        const box = canvas.getBoundingClientRect();
        const turn = {{ clientX: box.left + x, clientY: box.top + y, deltaY: -100, cancelable: true }};
        canvas.dispatchEvent(new WheelEvent("wheel", turn));
        say("zoom", [view.scale / scale, view.x + u * view.scale - x, view.y + v * view.scale - y]);
        at(30, 20, "pointerdown"); const old = view.x; at(40, 20, "pointermove");
        say("pan", (view.x - old) / view.scale);
        at(40, 20, "pointerup"); document.getElementById("fit").click(); say("fit", view.scale / scale);
    """,
    )
    assert found["title"][0] == found["title"][1] and "broken" not in found["title"][0].split()[0]
    assert found["warnings"][0] == ["NOT RELIABLE: outside of what the network has learnt (frame 7)", "bad"]
    assert [line for line, _ in found["warnings"][1:]] == ["frame 6 is lost: cut off <b>here</b>", "<i>one</i> line"]
    assert found["first"] == ["0:image,columns", "frame 3 (3 to 7)"]
    assert found["depth"] == ["0:image,depth,columns", True] and found["opacity"] is True
    assert found["smooth"] == "0:smooth image,depth,columns"
    assert found["confidence"] == "0:confidence,columns"
    hover = found["hover"]
    assert hover["column"] == one["column"] == found["still"] and hover["element"] == one["element"]
    assert str(one["depth"]) in hover["depth"] and ("at least" in hover["depth"]) == one["at_least"]
    assert hover["90 % set"].startswith(f"{one['depth_low']} to {one['depth_high']}")
    shown = round(255 * one["confidence"])
    assert hover["confidence"] == ("> 0.99" if shown > 252 else f"{shown / 255:.2f}")
    assert float(hover["log likelihood ratio"]) == pytest.approx(one["llr"], abs=0.051)
    assert float(hover["q value"]) == pytest.approx(one["q_value"], rel=0.6)
    assert hover["reliable"] == ("yes" if one["reliable"] else "no")
    assert f"x {one['x_pm'] / 1000:.2f}" in hover["place"]
    assert found["pinned"] == [False, f"Column {one['column']} over the film"]
    assert found["second"] == ["1:confidence,columns", "frame 4 (3 to 7)", "1"]
    assert found["lost"][:2] == ["2:lost", "frame 6 (3 to 7), lost"] and found["lost"][3] is False
    assert found["lost"][2] == "frame 6 is lost: cut off <b>here</b>"
    assert found["last"] == ["3:confidence,columns", "frame 7 (3 to 7), NOT RELIABLE"]
    assert found["slid"] == ["0:confidence,columns", "frame 3 (3 to 7)"]
    assert found["zoom"][0] > 1.1 and found["zoom"][1:] == pytest.approx([0, 0], abs=0.5)  # wheels count whole pixels
    assert found["pan"] == pytest.approx(10, rel=0.02) and found["fit"] == pytest.approx(1, rel=1e-6)


@needs_browser
def test_layers_lie_on_each_other_in_a_browser(tmp_path):
    """The depth's colour at a column's place is the colour of its depth; the stamp is there."""
    facts = make_facts(frames=(0,))
    (result,) = make_frames(facts)
    table = result.table[result.table["x_pm"].between(100, 980) & result.table["y_pm"].between(100, 620)]
    text = make_page(tmp_path / "p", facts, [result])
    places = [[float(x), float(y)] for x, y in zip(table["x_pm"] / 12, table["y_pm"] / 12)]
    found = browse(
        tmp_path,
        text,
        f"""
        for (const layer of ["image", "columns", "depth"]) document.getElementById("on-" + layer).click();
        const o = document.getElementById("opacity-depth"); o.value = 100; o.dispatchEvent(new Event("input"));
        await wait(200);
        say("colours", {places}.map(([u, v]) =>
          [...ctx.getImageData(Math.round(view.x + u * view.scale), Math.round(view.y + v * view.scale), 1, 1).data]));
        say("palette", film.depth_palette); say("hidden", [slider.hidden, document.getElementById("over").hidden]);
    """,
    )
    colours = {tuple(c[:3]): n for n, c in enumerate(found["palette"])}
    assert [colours[tuple(c[:3])] for c in found["colours"]] == table["depth"].tolist() and len(table) > 5
    assert found["hidden"] == [True, True]
    marked = make_page(tmp_path / "q", facts, [replace(result, familiarity="outside")])
    count = "const d = ctx.getImageData(0, 0, canvas.width, canvas.height).data; let n = 0;"
    count += " for (let i = 0; i < d.length; i += 4) n += d[i] > 170 && d[i + 1] < 80 && d[i + 2] < 90;"
    count += ' say("red", n); say("area", canvas.width * canvas.height);'
    hide = 'for (const l of ["image", "columns"]) document.getElementById("on-" + l).click(); await wait(200);'
    stamped, clean = (browse(tmp_path, page_, hide + count) for page_ in (marked, text))
    assert stamped["red"] > 0.01 * stamped["area"] and clean["red"] == 0


@needs_browser
def test_a_frame_without_columns_in_a_browser(tmp_path):
    facts = make_facts(frames=(0,))
    (result,) = make_frames(facts)
    text = make_page(tmp_path / "p", facts, [replace(result, table=pd.DataFrame(columns=GIVEN))])
    found = browse(tmp_path, text, 'at(30, 30, "pointermove"); say("drawn", drawn()); say("info", cells("info"));')
    assert found == {"drawn": "0:image,columns", "info": {"column": "none"}}


def test_a_film_of_a_hundred_frames_is_light(tmp_path):
    """Below 25 MB at 512 × 512 pixels: a tenth of that for ten frames."""
    facts = make_facts(shape=(512, 512), pixel_pm=6.3, frames=tuple(range(11)), times_s=None)
    (result,) = make_frames(make_facts(shape=(512, 512), pixel_pm=6.3, frames=(0,)))
    text = make_page(tmp_path / "p", facts, (replace(result, number=n) for n in range(11)))
    assert len(text) / 11 * 100 < 25e6 and len(result.table) > 200
