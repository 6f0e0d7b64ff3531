"""Writers that are killed at any of their changes of files, and two writers of one artefact."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from segdepth.errors import StoreError
from segdepth.store import claims
from segdepth.store.claims import claim, release
from segdepth.store.manifest import check_target, write_artefact

FACTS = {"command": "t", "code": "c", "parameters": {}}


def write(target: Path, text: str, folder: bool = False) -> None:
    with write_artefact(target, **FACTS) as partial:
        if folder:
            partial.mkdir()
        (partial / "a.txt" if folder else partial).write_text(text)


def python(code: str, *arguments: str, **options) -> subprocess.Popen:
    code = "import sys; from pathlib import Path\nfrom test_claims import *\n" + textwrap.dedent(code)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stdout=subprocess.PIPE, text=True, **options
    )


KILLED = """
from segdepth.store.manifest import check_whole
target, folder, existed = Path(sys.argv[1]), sys.argv[2] == "folder", sys.argv[3] == "existed"
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")

def dies_before(change):
    def hook(event, given):
        nonlocal change
        if event in CHANGES or event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR):
            if change == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            change -= 1
    sys.addaudithook(hook)

if existed:
    write(target, "old", folder)
for change in range(1000):
    pid = os.fork()
    if not pid:
        dies_before(change)
        write(target, "new", folder)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    try:
        check_whole(target)
        found = (target / "a.txt" if folder else target).read_text()
    except StoreError as failure:
        found = str(failure)
    write(target, "old" if existed else "new", folder)
    check_whole(target)
    print(os.waitstatus_to_exitcode(status), found, [p.name for p in target.parent.glob(".*")], flush=True)
    if not status:
        break
    if not existed:
        for path in target.parent.iterdir():
            discard(path)
"""


def discard(path: Path) -> None:
    from segdepth.store.manifest import remove

    remove(path)


@pytest.mark.parametrize("existed", ["existed", "new"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_writer_may_be_killed_before_any_change(tmp_path, kind, existed):
    """A reader finds the old one, the new one, or refuses; the next writer succeeds and leaves nothing behind."""
    with python(KILLED, str(tmp_path / "here" / "a"), kind, existed) as child:
        lines = child.stdout.read().splitlines()
    assert child.returncode == 0
    assert len(lines) > 8 and all(line.startswith(f"{-signal.SIGKILL} ") for line in lines[:-1])
    assert lines[-1].startswith("0 new ")
    for line in lines:
        assert line.endswith(" []"), line
        _, found = line.removesuffix(" []").split(" ", 1)
        allowed = ("old", "new") if existed == "existed" else ("new",)
        assert found in allowed or ("has no manifest" in found or "does not exist" in found), line


HOLDS = """
claim(Path(sys.argv[1]))
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes tmp_path/a."""
    with python(HOLDS, str(tmp_path / "a"), stdin=subprocess.PIPE) as child:
        assert child.stdout.readline() == "holds\n"
        yield child
        child.kill()


def test_two_processes_do_not_write_the_same_artefact(tmp_path, holder):
    for begin in (lambda path: check_target(path, "t"), lambda path: write(path, "x")):
        with pytest.raises(StoreError) as told:
            begin(tmp_path / "a")
        assert str(told.value).startswith(f"{tmp_path / 'a'}: process {holder.pid} on ") and "\n" not in str(told.value)
    write(tmp_path / "b", "x")  # another one
    holder.stdin.close()
    holder.wait()
    write(tmp_path / "a", "x")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_what_a_killed_process_held_is_free(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / ".a.lock").exists()
    write(tmp_path / "a", "x")
    assert not (tmp_path / ".a.lock").exists()


def test_a_failed_command_leaves_neither_lock_nor_folders(tmp_path):
    with python("claim(Path(sys.argv[1])); sys.exit(3)", str(tmp_path / "x" / "y" / "a")) as child:
        pass
    assert child.returncode == 3 and list(tmp_path.iterdir()) == []


def test_one_process_may_claim_twice(tmp_path):
    claim(tmp_path / "x" / "a")
    claim(tmp_path / "x" / "a")
    release(tmp_path / "x" / "a")
    release(tmp_path / "x" / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_removed_while_it_is_taken_is_taken_again(tmp_path, monkeypatch):
    """The owner before removes its file between another one's opening and locking it."""
    path, real, left = tmp_path / ".a.lock", claims.fcntl.flock, [1]

    def flock(*given):
        if left.pop() if left else False:
            path.unlink()
        real(*given)

    monkeypatch.setattr(claims.fcntl, "flock", flock)
    claim(tmp_path / "a")
    assert path.exists()
    release(tmp_path / "a")


def test_a_disk_without_locks_is_written_to_without(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(claims.fcntl, "flock", flock)
    write(tmp_path / "a", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.manifest.json", "a.run.json"]


def test_the_other_processes_of_a_training_claim_nothing(tmp_path, holder, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    check_target(tmp_path / "a", "t")
