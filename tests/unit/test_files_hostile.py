"""Files that are made to do harm, or are damaged: one line, bounded memory and time, and nothing is executed."""

import gzip
import json
import struct
import subprocess
import sys
from pathlib import Path

import micrograph_files as write
import numpy as np
import pytest
from hostile_files import FILM, HOSTILE, LAUGHS, MARK, described, ifd, mrc, npy, npz, tif

PEAK = Path("/proc/self/status")

OPEN_ALL = """
import json, re, sys, time, os
from segdepth.micrograph.files import open_recording
from segdepth.errors import MicrographError
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1e6
out = {}
for name in sorted(os.listdir(sys.argv[1])):
    start = time.monotonic()
    try:
        with open_recording(os.path.join(sys.argv[1], name)) as recording:
            for index in (0, recording.count - 1):
                recording.read_frame(index)
        said = ["read", f"{recording.count} {recording.shape}"]
    except MicrographError as failure:
        said = ["refused", str(failure)]
    except BaseException as failure:
        said = ["escaped", repr(failure)]
    out[name] = [*said, time.monotonic() - start, peak()]
    print(json.dumps({name: out[name]}), flush=True)
"""


def open_all(folder, cwd) -> dict:
    """Outcome, what is said, seconds and peak memory in GB so far of every file in a folder, from another process."""
    done = subprocess.run(
        [sys.executable, "-c", OPEN_ALL, str(folder)], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    found = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    assert done.returncode == 0, (list(found)[-1:], done.stderr[-500:])
    assert not done.stderr
    return found


def put(place, content) -> None:
    place.write_bytes(content) if isinstance(content, bytes) else content(place)


@pytest.mark.skipif(not PEAK.exists(), reason="the peak of memory is Linux's")
def test_hostile_files_end_in_one_line_in_bounded_time_and_memory(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in HOSTILE.items():
        put(folder / name, content)
    found = open_all(folder, tmp_path)
    assert len(HOSTILE) >= 60 and set(HOSTILE) <= set(found)
    wrong = {name: said for name, said in found.items() if said[0] != "refused"}
    assert not wrong
    for name, (_, text, spent, peak) in found.items():
        assert text.startswith(str(folder / name)) and "\n" not in text, name
        assert len(text) < len(str(folder / name)) + 300, text
        assert spent < 10, name
        assert peak < 1.0, name
    assert not (tmp_path / MARK).exists()


def cyclic(following: int) -> bytes:
    return tif(following=following, data=FILM[0].tobytes())


def many_pages(count: int) -> bytes:
    """Pages of one image in a cycle of many descriptions."""
    tags = [(256, 4, 1, 7), (257, 4, 1, 5), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 5), (279, 4, 1, 70)]
    size, first = len(ifd(*tags)), 80
    pages = b"".join(ifd(*tags, following=first + (i + 1) % count * size) for i in range(count))
    return b"II*\0" + struct.pack("<I", first) + FILM[0].tobytes().ljust(first - 8, b"\0") + pages


@pytest.mark.skipif(not PEAK.exists(), reason="the peak of memory is Linux's")
def test_endless_files_end(tmp_path):
    """Pages that follow each other in a circle, and unpacked sizes that lie, in bounded time and memory."""
    folder = tmp_path / "files"
    folder.mkdir()
    contents = {
        "self.tif": cyclic(8),
        "circle.tif": many_pages(1000),
        "images.tif": described("ImageJ=1.5\nimages=1000000000\nslices=1000000000\nunit=nm\n"),
        "shape.tif": described('{"shape": [1000000000, 5, 7]}'),
        "other.ome.tif": described(
            '<OME><Image><Pixels DimensionOrder="XYCZT" SizeX="7" SizeY="5" SizeZ="1" SizeC="1" SizeT="9" '
            'Type="uint16">'
            '<TiffData IFD="0" FirstT="0"><UUID FileName="../../etc/hostname">urn:uuid:1</UUID></TiffData></Pixels>'
            "</Image></OME>"
        ),
        "laughs.ome.tif": described(LAUGHS + "]><OME><Image>&j;</Image></OME>"),
        "zeros.npz": npz(npy((8, 4096, 4096), "u1", bytes(2**27))),
        "long.mrc.gz": gzip.compress(mrc(nz=10**6) + bytes(2**27)),
    }
    for name, content in contents.items():
        put(folder / name, content)
    found = open_all(folder, tmp_path)
    assert set(found) == set(contents) and not [n for n, said in found.items() if said[0] == "escaped"], found
    assert all(said[2] < 10 and said[3] < 1.0 for said in found.values()), found


SMALL = {
    "a.npy": write.write_npy,
    "a.npz": write.write_packed_npz,
    "a.mrc": write.write_mrc,
    "b.mrc.gz": write.packed_mrc,
    "p.tif": write.write_packed_tif,
    "i.tif": write.write_imagej_tif,
    "o.tif": write.write_ome_tif,
    "a.dm3": write.write_dm,
    "a.dm4": write.write_dm,
    "a_1.ser": write.write_ser,
    "v.emd": write.write_velox_emd,
    "n.emd": write.write_ncem_emd,
    "a.hspy": write.write_hspy,
    "a.mib": write.write_mib,
    "a_000.tvips": write.write_tvips,
}


@pytest.mark.skipif(not PEAK.exists(), reason="the peak of memory is Linux's")
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damage_anywhere_is_told_in_one_line(tmp_path, damage):
    """Every format, cut off at 20 places, and with bytes changed at 40 random places."""
    folder = tmp_path / "files"
    folder.mkdir()
    random = np.random.default_rng(15)
    for name, writer in SMALL.items():
        writer(tmp_path / name, FILM)
        whole = (tmp_path / name).read_bytes()
        for number in range(20 if damage == "cut" else 40):
            raw = bytearray(whole)
            if damage == "cut":
                del raw[len(raw) * number // 20 :]
            else:
                places = random.integers(0, min(len(raw), 4000), 4)
                raw[places[0]] ^= 255
                for place in places[1:]:
                    raw[place] = random.integers(0, 256)
            (folder / f"{number:02d}{name}").write_bytes(raw)
    found = open_all(folder, tmp_path)
    assert not {name: said for name, said in found.items() if said[0] == "escaped" or "\n" in said[1]}
    assert max(said[2] for said in found.values()) < 10 and max(said[3] for said in found.values()) < 1.0
