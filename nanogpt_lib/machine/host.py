"""The machine and the versions, for the record of a run, so that you can compare figures."""

import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

PACKAGES = ("torch", "numpy", "matplotlib", "ipywidgets", "jupyterlab", "ipykernel", "nbval")

# Where Linux says what a container may use and does use: version 2 of its control groups, and 1.
CONTAINERS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def machine() -> dict:
    """Processor, cores, memory in GiB and system, without personal names or paths."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "gpu": gpu(),
    }


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def gpu() -> str | None:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "Apple GPU" if torch.backends.mps.is_available() else None


def versions() -> dict[str, str | None]:
    """The versions of Python and of the packages that matter; None if one is not installed."""
    found: dict[str, str | None] = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def cores() -> int:
    """The processors that this program may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_gib() -> float | None:
    """The most memory this process ever held, in GiB; None if the system does not say."""
    info = psutil.Process().memory_info()
    peak = getattr(info, "peak_wset", None)  # Windows
    if peak is None:
        try:
            import resource
        except ImportError:
            return None
        unit = 1 if sys.platform == "darwin" else 1024  # kilobytes on Linux
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return round(peak / 2**30, 2)


def free_memory() -> int:
    """The bytes that this process can still get: of the machine, its container and its limits."""
    free = [psutil.virtual_memory().available]
    for folder, limit, used in CONTAINERS:
        with suppress(OSError, ValueError):  # no container, or no limit
            left = int(Path(folder, limit).read_text()) - int(Path(folder, used).read_text())
            free.append(left)
    with suppress(ImportError, OSError):
        import resource  # POSIX only

        held = psutil.Process().memory_info()
        data = getattr(held, "data", 0)  # what counts against `ulimit -d`: only Linux tells
        for kind, taken in ((resource.RLIMIT_AS, held.vms), (resource.RLIMIT_DATA, data)):
            most = resource.getrlimit(kind)[0]
            if most != resource.RLIM_INFINITY:
                free.append(most - taken)
    return max(0, min(free))
