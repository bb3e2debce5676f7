"""How many threads are worth starting."""

from __future__ import annotations

import os
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def physical_cores() -> int:
    """Physical cores this process may use, at least 1; a container's CPU quota counts, rounded up.

    Two threads of one core share its arithmetic units, so more threads than cores only wait for each other. Where the
    system does not say which threads share a core, every one counts.
    """
    if not hasattr(os, "sched_getaffinity"):  # macOS, Windows
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota() or len(cores)))


def _siblings(cpu: int) -> str:
    file = _CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
    return file.read_text().strip() if file.is_file() else str(cpu)


def _quota() -> int | None:
    if not _QUOTA.is_file():
        return None
    quota, period = _QUOTA.read_text().split()
    return None if quota == "max" else -(-int(quota) // int(period))
