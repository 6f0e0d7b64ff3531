"""Whether a cluster takes the workflow's jobs, before the first one is submitted."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from segdepth.cluster.costs import Cost, Costs
from segdepth.cluster.profile import Profile, amount
from segdepth.cluster.slurm import Node, Partition, accounts, partition, partitions, remembered_s, runs_in
from segdepth.config import Config
from segdepth.errors import ConfigError

FIRST_CHECK_S = 40
"""Of Snakemake's plugin, unless the profile says otherwise."""

LIGHT = Cost(60, 1500)
"""Figures, tables: one core, little memory."""


class Job(NamedTuple):
    """The largest job of a rule."""

    rule: str
    cost: Cost
    gpus: int = 0


def largest_jobs(config: Config) -> list[Job]:
    """The largest job of each rule that makes data, trains or measures, and a light one for all others."""
    costs = Costs(config)
    gpu = 1 if config.device == "cuda" else 0
    sets = config.datasets.values()
    found: dict[str, list[Cost]] = {
        "build_specimens": [costs.build_specimens(d.specimen) for d in sets],
        "project_depth": [costs.project_depth(d.specimen, d.labels) for d in sets],
        "simulate_waves": [costs.simulate_waves(d.specimen, d.beam) for d in sets],
        "form_images": [costs.form_images(d.specimen, d.beam, d.imaging) for d in sets],
        "train_model": [costs.train_model(name) for name in config.models],
        "evaluate_model": [costs.evaluate_model(m, name) for m, names in config.evaluations.items() for name in names],
    }
    devices = max((model.training.devices for model in config.models.values()), default=1)
    gpus = {"simulate_waves": gpu, "train_model": gpu * devices}
    jobs = [Job("plot_figure", LIGHT)]
    for rule, all_of_it in found.items():
        if all_of_it:
            most = Cost(
                max(cost.seconds for cost in all_of_it),
                max(cost.megabytes for cost in all_of_it),
                max(cost.threads for cost in all_of_it),
                min(cost.gpu_cores for cost in all_of_it),
            )
            jobs.append(Job(rule, most, gpus.get(rule, 0)))
    return jobs


def check_cluster(profile: Profile, config: Config, folder: Path) -> list[str]:
    """What the cluster takes, in lines: one that says that all is well, one for each retry that it would not take, and
    one for each run of Snakemake that still has jobs in the project's folder.

    Raises
    ------
    ConfigError
        One line: the plugin or a command is missing; the account or a partition is not the user's; a job fits no node;
        ended jobs are forgotten too soon.
    """
    if find_spec("snakemake_executor_plugin_slurm") is None:
        raise ConfigError("Snakemake's SLURM plugin is not installed: pip install 'segdepth[slurm]'")
    device = (profile.table("config")).get("device", config.device)
    if device != config.device:
        config = config.model_copy(update={"device": device})
    known = partitions()
    own = accounts()
    asked: dict[str, Partition] = {}
    notes: list[str] = []
    for job in largest_jobs(config):
        account = profile.resource(job.rule, "slurm_account", own)
        names = profile.resource(job.rule, "slurm_partition", known)
        _check_account(profile, account, own)
        if names is None:
            raise ConfigError(f"{profile.path}: default-resources: slurm_partition is missing; there are {_of(known)}")
        for name in str(names).split(","):
            if name not in known:
                raise ConfigError(f"{profile.path}: slurm_partition of {job.rule}: got {name}; there are {_of(known)}")
            if name not in asked:
                asked[name] = partition(name)
                _check_partition(profile, asked[name], account)
        notes += _check_job(profile, job, [asked[name] for name in str(names).split(",")])
    _check_memory_of_jobs(profile)
    for run, count in runs_in(folder).items():
        jobs = f"{count} job{'s' * (count > 1)} of an earlier start"
        notes.append(f"note: {jobs} in the queue; if its Snakemake has ended, stop them: scancel --name={run}")
    told = "; ".join(f"{place.name} ({_words(place)})" for place in asked.values())
    return [f"{profile.path}: account {account or 'none'}, {told}: takes the jobs of this configuration", *notes]


def _check_account(profile: Profile, account: str | None, own: list[str]) -> None:
    yours = {name.lower() for name in own}
    if yours and account is not None and not set(str(account).lower().split(",")) <= yours:
        raise ConfigError(f"{profile.path}: slurm_account: got {account}; yours: {_of(own)}")


def _check_partition(profile: Profile, place: Partition, account: str | None) -> None:
    if not place.up:
        raise ConfigError(f"{profile.path}: slurm_partition: {place.name} takes no jobs at present (scontrol show)")
    if place.accounts and account is not None and str(account) not in place.accounts:
        allowed = _of(place.accounts)
        raise ConfigError(f"{profile.path}: slurm_partition: {place.name} is for {allowed}, not for {account}")


def _check_job(profile: Profile, job: Job, places: list[Partition]) -> list[str]:
    """Lines for later attempts that none of the partitions takes; an error for the first one."""
    threads = profile.threads(job.rule, job.cost.threads)
    given = profile.table("set-resources").get(job.rule) or {}
    gpus = amount(given["gpu"], 1) if "gpu" in given else job.gpus
    notes = []
    for attempt in range(1, profile.attempts + 1):
        megabytes = amount(given["mem_mb"], attempt) if "mem_mb" in given else job.cost.mem_mb(attempt)
        minutes = amount(given["runtime"], attempt) if "runtime" in given else job.cost.runtime(attempt, threads)
        asked = (job.rule, threads, megabytes or 0, minutes or 0, gpus or 0)
        wrong = min((list(_misfits(place, *asked)) for place in places), key=len)
        if wrong and attempt == 1:
            names = ",".join(place.name for place in places)
            raise ConfigError(f"{profile.path}: {names} does not take {job.rule}: {wrong[0]}")
        if wrong:
            notes.append(f"note: attempt {attempt} of {job.rule} would not be taken: {wrong[0]}")
            break
    return notes


def _misfits(place: Partition, rule: str, threads: int, megabytes: int, minutes: int, gpus: int) -> Iterator[str]:
    """What does not fit, and what to write in the profile."""
    most = min(_most(place.nodes, "cpus"), place.cpus_per_node or threads)
    if threads > most:
        yield f"{threads} CPUs, of {most}; write max-threads: {most}"
    if place.minutes is not None and minutes > place.minutes:
        more = "; a training goes on where it was stopped" if rule == "train_model" else "; or a smaller shard_size"
        yield f"{minutes} minutes, of {place.minutes}; write set-resources: {rule}: runtime: {place.minutes}{more}"
    memory = min(_most(place.nodes, "megabytes"), place.megabytes_per_node or megabytes)
    if megabytes > memory:
        yield f"{megabytes} MB, of {memory}; write set-resources: {rule}: mem_mb: {memory}"
    if gpus > _most(place.nodes, "gpus"):
        yield f"{gpus} GPUs, of {_most(place.nodes, 'gpus')}; name another slurm_partition for {rule} in set-resources"


def _most(nodes: tuple[Node, ...], what: str) -> int:
    return max((getattr(node, what) for node in nodes), default=0)


def _check_memory_of_jobs(profile: Profile) -> None:
    """An ended job that squeue has forgotten before it was asked for would be waited for without end."""
    if profile.keys.get("slurm-status-command") != "squeue":
        return
    first = int(profile.keys.get("slurm-init-seconds-before-status-checks", FIRST_CHECK_S))
    age = remembered_s()
    if age is not None and age < 3 * first:
        raise ConfigError(
            f"{profile.path}: slurm-init-seconds-before-status-checks: got {first}; this cluster forgets ended jobs "
            f"after {age} s (MinJobAge), so at most {age // 3} is allowed"
        )


def _words(place: Partition) -> str:
    limit = "no limit of time" if place.minutes is None else f"{place.minutes} min"
    return f"nodes of up to {_most(place.nodes, 'cpus')} CPUs, {_most(place.nodes, 'megabytes')} MB, {limit}"


def _of(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
