"""For which systems PyTorch has builds. This file needs Python alone: it runs before the set-up."""

import platform

WAY_OUT = "take Colab or Kaggle, see docs/SETUP.md"


def without_torch(system: str, processor: str, release: str = "") -> str | None:
    """The systems without builds that this one belongs to; None if PyTorch has builds for it.

    system, processor, release: as `here` gives them; release is macOS's version, else empty.
    """
    if system == "Darwin" and processor == "x86_64":
        return "Macs with Intel processors"
    if system == "Darwin" and release and int(release.split(".")[0]) < 14:
        return f"macOS before 14, and this is {release}"
    if system == "Windows" and processor.upper() == "ARM64":
        return "Windows on Arm"
    return None


def here() -> tuple[str, str, str]:
    """This system, its processor's kind, and macOS's version."""
    return platform.system(), platform.machine(), platform.mac_ver()[0]


def torch_is_missing() -> str:
    """What to say where PyTorch is not installed, with the way out."""
    none = without_torch(*here())
    if none:
        return f"PyTorch has no builds for {none}: {WAY_OUT}"
    return "PyTorch is missing here: set up with `make setup`, or as docs/SETUP.md says"
