"""What jobs cost and ask for, profiles as Snakemake lays them over each other, and what SLURM says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdepth.cluster import check, slurm
from segdepth.cluster.check import check_cluster
from segdepth.cluster.costs import LEAST_MINUTES, SLACK, Cost, Costs
from segdepth.cluster.profile import Profile, amount, laid_over
from segdepth.cluster.reasons import reasons
from segdepth.cluster.slurm import Node, Partition, minutes_of
from segdepth.config import Config, load_config, read_yaml, validate
from segdepth.errors import ConfigError

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "workflow" / "profiles"


@pytest.fixture
def config() -> dict:
    return read_yaml(ROOT / "config.yaml")


def costs(config: dict) -> Costs:
    return Costs(validate(Config, config, "config.yaml"))


# costs


def test_costs_are_those_that_were_measured():
    """Seconds of one core in docs/performance.md, within a factor of two; a limit is `SLACK` times as long."""
    found = Costs(load_config(ROOT / "config.yaml"))
    assert 6 < found.simulate_waves("wedge", "beam300").seconds < 24
    assert 3.5 < found.form_images("wedge", "beam300", "overfocus").seconds < 14
    assert 550 < found.train_model("unet16").seconds < 2300
    assert 11 < found.evaluate_model("unet16", "quick").seconds < 48
    assert SLACK > 2


@pytest.mark.parametrize(
    ("section", "name", "key", "value"),
    [
        ("specimens", "wedge", "shard_size", 36),
        ("specimens", "wedge", "margin_pm", 1352.75),
        ("specimens", "wedge", "bulk_atoms", [3, 30]),
        ("specimens", "wedge", "tilt_deg", [0, 1]),
        ("beams", "beam300", "pixel_pm", 7),
        ("beams", "beam300", "diffuse_snapshots", 2),
        ("beams", "beam300", "projection", "finite"),
    ],
)
def test_more_work_in_a_shard_of_waves_costs_more(config, section, name, key, value):
    before = costs(config).simulate_waves("wedge", "beam300").seconds
    config[section][name][key] = value
    if key == "bulk_atoms":
        config["labels"]["rings"]["most_atoms"] = 30
    assert costs(config).simulate_waves("wedge", "beam300").seconds > 1.2 * before


def test_a_trainings_limit_follows_samples_threads_and_gpus(config):
    config["models"]["unet16"]["training"]["epochs"] *= 20
    long = costs(config).train_model("unet16")
    assert long.runtime(1, 2) == pytest.approx(2 * long.runtime(1, 4), rel=0.02)
    config["device"] = "cuda"
    one = costs(config).train_model("unet16")
    assert one.runtime(1, 8) < long.runtime(1, 8)
    config["models"]["unet16"]["training"]["devices"] = 2
    assert costs(config).train_model("unet16").gpu_cores == 2 * one.gpu_cores


@given(
    st.floats(0, 1e6),
    st.integers(1, 10**5),
    st.integers(1, 64),
    st.integers(0, 400),
    st.integers(1, 5),
    st.integers(1, 64),
)
def test_a_retry_asks_for_more_memory_and_more_time(seconds, megabytes, threads, gpu_cores, attempt, given_threads):
    cost = Cost(seconds, megabytes, threads, gpu_cores)
    assert cost.mem_mb(attempt) == attempt * cost.mem_mb(1)
    assert cost.runtime(attempt, given_threads) == attempt * cost.runtime(1, given_threads) >= LEAST_MINUTES


# profiles


def write(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(text)
    return folder


def test_the_later_profile_takes_the_whole_key(tmp_path):
    first = write(
        tmp_path / "a", "executor: slurm\nset-resources:\n  x: {mem_mb: 5}\ndefault-resources: {slurm_account: me}\n"
    )
    second = write(tmp_path / "b", "set-resources:\n  y: {slurm_partition: gpu}\n")
    both = Profile([first, second])
    assert both.resource("x", "mem_mb") is None and both.resource("y", "slurm_partition") == "gpu"
    assert both.resource("x", "slurm_account") == "me"


def test_configurations_are_laid_over_each_other_key_by_key():
    below = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    assert laid_over(below, {"a": {"y": [3], "z": None}, "c": {}}) == {
        "a": {"x": 1, "y": [3], "z": None},
        "b": 1,
        "c": {},
    }
    assert below == {"a": {"x": 1, "y": [1, 2]}, "b": 1}


def test_the_gpu_profile_takes_no_key_from_the_other_one():
    """Laid over it, it would take the whole key; account, retries and limits must stay."""
    below, above = (read_yaml(PROFILES / name / "config.yaml") for name in ("slurm", "slurm-gpu"))
    assert not below.keys() & above.keys()
    assert below["retries"] and below["slurm-requeue"]


def test_the_gpu_profiles_hint_can_be_uncommented(tmp_path):
    """Neither key is given twice: the reader refuses that."""
    text = (PROFILES / "slurm-gpu" / "config.yaml").read_text()
    folder = write(tmp_path / "gpu", text.replace("    # device:", "    device:").replace("    # gpu:", "    gpu:"))
    waves = read_yaml(folder / "config.yaml")["set-resources"]["simulate_waves"]
    assert waves["device"] == "cpu" and waves["gpu"] == 0


@pytest.mark.parametrize(("value", "attempt", "amounts"), [(80, 3, 80), ("80 * attempt", 3, 240), ("8 GB", 1, None)])
def test_amounts_in_a_profile(value, attempt, amounts):
    assert amount(value, attempt) == amounts


# SLURM


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("UNLIMITED", None), ("7-00:00:00", 10080), ("02:30:59", 150), ("45:00", 45), ("1-01:00:00", 1500)],
)
def test_limits_of_time_as_slurm_writes_them(text, minutes):
    assert minutes_of(text) == minutes


ANSWERS = {
    "sinfo -h -o %R": "short\ngpus\n",
    "sinfo -h -p short": "16|64000|(null)\n4+|8000|(null)\n",
    "sinfo -h -p gpus": "16|64000|gpu:a100:4(S:0-1),gpu:1\n",
    "scontrol -o show partition": "AllowAccounts=ALL MaxTime=1-00:00:00 State=UP MaxCPUsPerNode=UNLIMITED\n",
    "scontrol show config": "Configuration data\nMinJobAge               = 300 sec\n",
    "squeue": "",
    "sacctmgr": "atoms\n\natoms\nother\n",
}


@pytest.fixture
def cluster(monkeypatch):
    """Answers as SLURM 22.05 gives them; they can be changed."""
    answers = dict(ANSWERS)

    def ask(*command: str) -> str:
        return next(told for asked, told in answers.items() if " ".join(command).startswith(asked))

    monkeypatch.setattr(slurm, "ask", ask)
    monkeypatch.setattr(check, "find_spec", lambda name: name)
    return answers


def checked(tmp_path: Path, *changes: tuple[str, str], gpu: bool = False) -> list[str]:
    text = (PROFILES / "slurm" / "config.yaml").read_text()
    for old, new in (("YOUR_ACCOUNT", "atoms"), ("YOUR_PARTITION", "short"), *changes):
        assert old in text
        text = text.replace(old, new)
    folders = [write(tmp_path / "slurm", text)]
    if gpu:
        above = (PROFILES / "slurm-gpu" / "config.yaml").read_text().replace("YOUR_GPU_PARTITION", "gpus")
        folders.append(write(tmp_path / "slurm-gpu", above))
    return check_cluster(Profile(folders), load_config(ROOT / "config.yaml"), tmp_path)


def test_a_partition_is_read(cluster):
    found = slurm.partition("gpus")
    assert found == Partition("gpus", True, 1440, None, None, (Node(16, 64000, 5),), ())
    assert slurm.partition("short").nodes[1] == Node(4, 8000, 0)
    assert slurm.accounts() == ["atoms", "other"]


def test_what_fits_is_one_line(cluster, tmp_path):
    lines = checked(tmp_path)
    assert len(lines) == 1 and "atoms" in lines[0] and "short" in lines[0] and "1440 min" in lines[0]


def test_jobs_of_a_run_that_was_killed_are_told(cluster, tmp_path):
    cluster["squeue"] = f"one-id|{tmp_path}\nanother|/elsewhere\none-id|{tmp_path}\n"
    notes = checked(tmp_path)[1:]
    assert len(notes) == 1 and "2 jobs" in notes[0] and notes[0].endswith("scancel --name=one-id")


def test_both_profiles_are_checked_together(cluster, tmp_path):
    assert "gpus" in checked(tmp_path, gpu=True)[0]
    cluster["sinfo -h -p gpus"] = "16|64000|(null)\n"
    with pytest.raises(ConfigError, match="gpus does not take simulate_waves: 1 GPUs, of 0"):
        other = tmp_path / "other"
        other.mkdir()
        checked(other, gpu=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("slurm_account: atoms", "slurm_account: nobody"), ["slurm_account: got nobody", "yours: atoms, other"]),
        (("slurm_account: atoms", "slurm_account: YOUR_ACCOUNT"), ["got YOUR_ACCOUNT", "one of atoms, other"]),
        (("slurm_partition: short", "slurm_partition: long"), ["got long", "there are gpus, short"]),
        (("checks: 10", "checks: 200"), ["got 200", "at most 100"]),
        (("executor: slurm", "executor: local"), ["executor: got 'local'"]),
        (("max-threads: 8", "max-threads: 32\nset-threads: {train_model: 20}"), ["20 CPUs, of 16", "max-threads: 16"]),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_submitted(cluster, tmp_path, change, words):
    with pytest.raises(ConfigError) as failure:
        checked(tmp_path, change)
    assert all(word in str(failure.value) for word in words), failure.value


def test_limits_below_a_job_or_its_retries(cluster, tmp_path):
    cluster["scontrol -o show partition"] = "State=UP MaxTime=20:00 AllowAccounts=ALL"
    notes = checked(tmp_path)[1:]
    assert notes and all(note.startswith("note: attempt 2 of ") and "of 20" in note for note in notes)
    cluster["sinfo -h -p short"] = "2|64000|(null)\n"
    with pytest.raises(ConfigError, match="train_model: 8 CPUs, of 2; write max-threads: 2"):
        other = tmp_path / "other"
        other.mkdir()
        checked(other)


def test_one_of_several_partitions_is_enough(cluster, tmp_path):
    cluster["sinfo -h -p short"] = "2|64000|(null)\n"
    assert "gpus" in checked(tmp_path, ("slurm_partition: short", "slurm_partition: short,gpus"))[0]


def test_an_account_that_may_not_use_the_partition(cluster, tmp_path):
    cluster["scontrol -o show partition"] = "State=UP MaxTime=UNLIMITED AllowAccounts=rich,other"
    with pytest.raises(ConfigError, match="short is for rich, other, not for atoms"):
        checked(tmp_path)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0.", "out of memory"),
        ("slurmstepd: error: Step 7.0 exceeded memory limit (168 > 150), being killed", "out of memory"),
        ("slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO TIME LIMIT ***", "out of time"),
        ("slurmstepd: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-01-02T03:04:05 ***", "cancelled"),
        ("ValueError: a fault of the program", None),
    ],
)
def test_why_a_job_was_killed_is_read_from_slurms_log(tmp_path, words, reason):
    log = tmp_path / "7.log"
    log.write_text("x" * 200_000 + f"\n{words}\nsrun: error\n")
    own = tmp_path / "snakemake.log"
    own.write_text(f"Job 2 has been submitted with SLURM jobid 7 (log: {log}).\n" * 2 + "(log: /gone/8.log)\n")
    assert reasons([own, tmp_path / "none.log"]) == ([f"{reason}: {log}"] if reason else [])


def test_without_slurm_the_command_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError, match="sinfo: not found"):
        slurm.partitions()
