"""A real SLURM on one Debian machine: Debian's packages, one address of its own, no systemd, nothing in /etc.

    python tests/slurm/local_slurm.py start | stop      (root)

`start` prints a line that points SLURM's commands at it. The parts, from the bottom: munged signs what the others say
to each other; MariaDB and slurmdbd keep accounts; slurmctld decides what runs; slurmd runs it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = (
    *("munge", "slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins"),
    *("slurmdbd", "slurm-wlm-mysql-plugin", "mariadb-server"),
)
PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo", "slurmdbd", "mariadbd", "sacctmgr")
STATE = Path(os.environ.get("SEGDEPTH_SLURM_STATE", "/tmp/segdepth-slurm"))
PATH = f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ.get('PATH', '')}"
APT = ("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "DPkg::Lock::Timeout=60")
INSTALL_S = 180
"""For each of apt-get's two parts: a machine without a network gives up."""
MARK = "SEGDEPTH_LOCAL_SLURM"
"""A variable of the environment of all that belongs to this SLURM: daemons, Snakemakes, jobs. What has it is ended."""
CPUS, MEGABYTES = 4, 16000
"""That the node claims to have, whatever it has."""

ACCOUNT, OTHER_ACCOUNT, PARTITION, GPU_PARTITION = "atoms", "none_of_yours", "short", "gpus"
MINUTES = 120


class NoSlurm(Exception):
    """SLURM cannot be started here; the text says why."""


class LocalSlurm:
    """The daemons below one folder; their process ids are kept in it, so that another process can stop them."""

    def __init__(self, state: Path = STATE) -> None:
        self.state = state
        self.address = "127.0.0.1"

    @property
    def environment(self) -> dict[str, str]:
        """What SLURM's commands need to find it."""
        path = f"{self.state / 'bin'}:{PATH}"
        return {"SLURM_CONF": str(self.state / "slurm.conf"), "PATH": path, MARK: str(self.state)}

    def run(self, *command: str, seconds: float = 30) -> str:
        """What a command of SLURM prints."""
        environment = os.environ | self.environment
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def start(self) -> None:
        """Install what is missing, write the configuration and start all daemons with an empty queue.

        Raises
        ------
        NoSlurm
            Not root, no Debian, no packages, a daemon does not come up, or a first job does not end.
        """
        if os.geteuid() != 0:
            raise NoSlurm("a SLURM of one's own needs root")
        _install()
        try:
            self._start()
        except (OSError, RuntimeError, subprocess.TimeoutExpired) as failure:
            raise NoSlurm(" ".join(str(failure).split())) from None

    def _start(self) -> None:
        self.stop()
        for part in ("log", "pid", "ctld", "slurmd", "db", "bin"):
            (self.state / part).mkdir(parents=True)
        self.state.chmod(0o755)
        self.address = _own_address()
        ports = _free_ports(4)
        self._write(*ports)
        self._wrap_srun()
        self._start_munge()
        self._start_database(ports[3])
        self._spawn("slurmdbd", "slurmdbd", "-D")
        self._wait("slurmdbd", lambda: _listens(ports[2], self.address))
        self._wait("sacctmgr", lambda: self._answers("sacctmgr", "-n", "list", "cluster"))
        for words in (
            ("cluster", "here"),
            ("account", ACCOUNT, "Cluster=here", "Description=test", "Organization=test"),
            ("account", OTHER_ACCOUNT, "Cluster=here", "Description=test", "Organization=test"),
            ("user", "root", f"Account={ACCOUNT}", "Cluster=here"),
        ):
            self.run("sacctmgr", "-i", "-Q", "add", *words)
        self._spawn("slurmctld", "slurmctld", "-D")
        self._wait("slurmctld", lambda: self._answers("scontrol", "ping"))
        self._spawn("slurmd", "slurmd", "-D")
        self._wait("slurmd", lambda: "idle" in self.run("sinfo", "-h", "-o", "%T"))
        self._wait_for_a_job()

    def _wait_for_a_job(self) -> None:
        """A machine on which jobs do not run is no place for the tests."""
        output = self.state / "log" / "first_job"
        number = self.run("sbatch", "--parsable", "-A", ACCOUNT, "--mem=100", "-o", str(output), "--wrap=srun true")
        ended = ("squeue", "-h", "-t", "all", "-j", number.strip(), "-o", "%T")
        self._wait("end of a job", lambda: self.run(*ended).strip() == "COMPLETED", seconds=60)

    def stop(self) -> None:
        """Cancel all jobs, stop the daemons, kill what is left of both, and remove their folder."""
        if not self.state.exists():
            return
        with contextlib.suppress(Exception):
            self.run("scancel", "--user=root", seconds=10)
            self._wait("the end of all jobs", lambda: not self.run("squeue", "-h", seconds=10), seconds=15)
        for name in ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            _stop(self.state / "pid" / name, name)
        _kill_all(f"{MARK}={self.state}")
        shutil.rmtree(self.state, ignore_errors=True)

    def _write(self, ctld: int, slurmd: int, dbd: int, database: int) -> None:
        host, state, address = socket.gethostname().split(".")[0], self.state, self.address
        signed = f"AuthType=auth/munge\nAuthInfo=socket={state}/munge.socket\n"
        (state / "slurm.conf").write_text(
            f"{signed}CredType=cred/munge\nClusterName=here\nSlurmctldHost={host}({address})\n"
            f"SlurmUser=root\nSlurmctldPort={ctld}\nSlurmdPort={slurmd}\n"
            "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n"
            f"StateSaveLocation={state}/ctld\nSlurmdSpoolDir={state}/slurmd\n"
            f"SlurmctldPidFile={state}/pid/ctld.own\nSlurmdPidFile={state}/pid/slurmd.own\n"
            f"SlurmctldLogFile={state}/log/slurmctld\nSlurmdLogFile={state}/log/slurmd\n"
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nMpiDefault=none\nReturnToService=2\n"
            # memory is looked at once a second; who is over it is killed
            "JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=task=1\n"
            "JobAcctGatherParams=OverMemoryKill,NoShared\n"
            f"AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost={address}\n"
            f"AccountingStoragePort={dbd}\nAccountingStoragePass={state}/munge.socket\n"
            "AccountingStorageEnforce=associations\nAccountingStoreFlags=job_comment\n"
            "SchedulerType=sched/backfill\nSchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2\n"
            "SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU_Memory\nEnforcePartLimits=ALL\n"
            "MinJobAge=300\nKillWait=3\nCompleteWait=0\nOverTimeLimit=0\nSlurmdParameters=config_overrides\n"
            f"NodeName={host} NodeAddr={address} CPUs={CPUS} RealMemory={MEGABYTES} State=UNKNOWN\n"
            f"PartitionName={PARTITION} Nodes={host} Default=YES MaxTime={MINUTES} State=UP\n"
            f"PartitionName={GPU_PARTITION} Nodes={host} MaxTime={MINUTES} State=UP\n"
        )
        password = secrets.token_hex(16)
        secret = state / "slurmdbd.conf"
        secret.touch(mode=0o600)
        secret.write_text(
            f"{signed}DbdHost=localhost\nDbdAddr={address}\nDbdPort={dbd}\nSlurmUser=root\n"
            f"CommunicationParameters=NoInAddrAny\nLogFile={state}/log/slurmdbd\nPidFile={state}/pid/dbd.own\n"
            f"StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\nStoragePort={database}\n"
            f"StorageUser=slurm\nStoragePass={password}\nStorageLoc=slurm\n"
        )
        start = state / "db.sql"
        start.touch(mode=0o600)
        start.write_text(
            "create database slurm;\n"
            f"create user 'slurm'@'127.0.0.1' identified by '{password}';\n"
            "grant all on slurm.* to 'slurm'@'127.0.0.1';\n"
        )

    def _wrap_srun(self) -> None:
        """Snakemake's plugin hides SLURM_CONF from the srun in its jobs, which then looks into /etc."""
        wrapper = self.state / "bin" / "srun"
        wrapper.write_text(
            f'#!/bin/sh\nSLURM_CONF={self.state}/slurm.conf exec {shutil.which("srun", path=PATH)} "$@"\n'
        )
        wrapper.chmod(0o755)

    def _start_munge(self) -> None:
        folder = self.state
        key = folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        files = {"key-file": key, "socket": folder / "munge.socket", "seed-file": folder / "munge.seed"}
        files |= {"pid-file": folder / "pid" / "munged.own", "log-file": folder / "log" / "munge"}
        self._spawn("munged", "munged", "--foreground", "--force", *[f"--{key}={file}" for key, file in files.items()])
        self._wait("munged", lambda: self._answers("munge", "-n", "-S", str(files["socket"])))

    def _start_database(self, port: int) -> None:
        data, pipe = self.state / "db" / "data", self.state / "db" / "socket"
        made = subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db"],
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if made.returncode:
            raise NoSlurm(f"mariadb-install-db: {' '.join(made.stderr.split())[-300:]}")
        self._spawn(
            *("mariadbd", "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={pipe}"),
            *("--bind-address=127.0.0.1", f"--port={port}", "--skip-name-resolve", "--innodb-buffer-pool-size=64M"),
            *("--innodb-lock-wait-timeout=900", f"--init-file={self.state / 'db.sql'}"),
        )
        self._wait("MariaDB", lambda: _listens(port))

    def _spawn(self, name: str, *command: str) -> None:
        """A daemon in the foreground of a session of its own."""
        with open(self.state / "log" / f"{name}.out", "ab") as told:
            process = subprocess.Popen(
                command,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                start_new_session=True,
            )
        (self.state / "pid" / name).write_text(str(process.pid))

    def _answers(self, *command: str) -> bool:
        try:
            self.run(*command, seconds=10)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            return False
        return True

    def _wait(self, what: str, ready: Callable[[], bool], seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                if ready():
                    return
            time.sleep(0.2)
        raise NoSlurm(f"no {what} within {seconds:g} s; {self._last_words()}")

    def _last_words(self) -> str:
        lines = [f"{log.name}: {text[-1]}" for log in sorted((self.state / "log").iterdir())
                 if (text := log.read_text(errors="replace").splitlines())]  # fmt: skip
        return "; ".join(lines)


def _install() -> None:
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if not missing:
        return
    if shutil.which("apt-get", path=PATH) is None:
        raise NoSlurm(f"not installed: {', '.join(missing)}; and no apt-get to install them")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()  # Debian's scripts start no daemon while this file forbids it
    try:
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        for words in (("update",), ("install", "-y", "--no-install-recommends", *PACKAGES)):
            command = ["apt-get", "-q", *APT, *words]
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALL_S,
            )
            if done.returncode:
                told = " ".join(done.stderr.split())[-300:]
                raise NoSlurm(f"not installed: {', '.join(missing)}; apt-get {words[0]} failed: {told}")
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise NoSlurm(f"not installed: {', '.join(missing)}; {failure}") from None
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def _own_address() -> str:
    """Where SLURM's daemons listen: where the host's name leads, which may be the loopback."""
    host = socket.gethostname().split(".")[0]
    try:
        return socket.gethostbyname(host)
    except OSError:
        raise NoSlurm(f"the name of this machine, {host}, leads to no address") from None


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _listens(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def _stop(file: Path, name: str) -> None:
    """End the process whose id the file holds, if it still is that program."""
    if not file.exists():
        return
    pid = int(file.read_text())
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            if _is(pid, name):
                os.kill(pid, sent)
        end = time.monotonic() + 10
        while _is(pid, name) and time.monotonic() < end:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.1)


def _is(pid: int, name: str) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        text = status.read_text()
    except OSError:
        return False
    return text.split("\n", 1)[0].split()[1].startswith(name[:15]) and "State:\tZ" not in text


def _kill_all(mark: str) -> None:
    """Kill the processes that have this in their environment, and those that they start meanwhile."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = [pid for pid in _processes() if pid != os.getpid() and mark in _environment(pid)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.1)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _environment(pid: int) -> list[str]:
    """Of a process, as it was started; empty for one that has ended."""
    try:
        return (Path("/proc") / str(pid) / "environ").read_text(errors="replace").split("\0")
    except OSError:
        return []


def main() -> None:
    slurm = LocalSlurm()
    if sys.argv[1:] == ["start"]:
        try:
            slurm.start()
        except NoSlurm as failure:
            sys.exit(f"local_slurm: {failure}")
        print(f"export SLURM_CONF={slurm.environment['SLURM_CONF']} PATH={slurm.state / 'bin'}:$PATH")
        print(f"# account {ACCOUNT}, partitions {PARTITION} and {GPU_PARTITION}")
    elif sys.argv[1:] == ["stop"]:
        slurm.stop()
    else:
        sys.exit("usage: python tests/slurm/local_slurm.py start | stop")


if __name__ == "__main__":
    main()
