"""Which device computes, in which precision, and why.

The choice depends on capability: does a real operation work, and what does the hardware multiply?
It does not depend on time: a busy machine would make another choice, and get other numbers.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")  # what Linux says about the processor
# Linux's names for the processor flags of bfloat16 multiplication. The last one is Arm's.
INSTRUCTIONS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX", "bf16": "Arm BF16"}
# From this n_embd on, bfloat16 is faster on such a processor. Whole steps on two cores of an AMD
# EPYC with AVX512-BF16 took 1.3 of float32's time at width 48, 0.77 at 128 and 0.24 at 384.
NARROWEST = 128
LARGEST_TEXT = 2**30  # bytes of tokens that a device is given


@dataclass(frozen=True)
class Compute:
    """A device, the precision of its matrix products, and the reason in one sentence.

    Weights and optimiser state are always float32 ("mixed precision", Micikevicius et al. 2017,
    arXiv:1710.03740). `dtype` is the precision that autocast uses inside.
    """

    device: torch.device
    dtype: torch.dtype
    reason: str

    def autocast(self):
        """The context in which the model runs forward."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """Scales the loss for float16, whose narrow range would lose small gradients; else idle."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    @property
    def precision(self) -> str:
        """The dtype's name, such as "float32"."""
        return str(self.dtype).removeprefix("torch.")

    def __str__(self):
        return f"{self.device.type}, {self.precision}: {self.reason}"


def pick_compute(device: str = "auto", dtype: str = "auto", width: int = 384) -> Compute:
    """Chooses device and precision, and says why.

    device: "auto", "cpu", "cuda" or "mps". dtype: "auto", "float32", "bfloat16" or "float16".
    width: n_embd of the model; on a CPU only wide models gain by bfloat16. The same machine makes
    the same choice, idle or busy. Raises ValueError for an unknown name, or if a device that you
    name cannot be used.
    """
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if not isinstance(device, str) or device not in ("auto", "cpu", "cuda", "mps"):
        raise ValueError(f'device must be "auto", "cpu", "cuda" or "mps", not {name_of(device)}')
    if not isinstance(dtype, str) or dtype not in ("auto", *dtypes):
        known = ", ".join(dtypes)
        raise ValueError(f'dtype must be "auto" or one of {known}, not {name_of(dtype)}')
    if not isinstance(width, Integral):
        raise ValueError(f"width must be a whole number, a model's n_embd, not {name_of(width)}")
    name, why = usable_device(device)
    if dtype != "auto":
        if dtype == "float16" and name != "cuda":
            raise ValueError(
                "float16 needs its gradients scaled, which is for CUDA only here: "
                'choose "float32" or "bfloat16"'
            )
        chosen, reason = dtypes[dtype], f"{dtype} as asked for"
    elif name == "cuda":
        chosen, reason = cuda_precision()
    elif name == "mps":
        chosen, reason = torch.float32, "Apple GPU in float32, its safest precision"
    else:
        chosen, reason = cpu_precision(width)
    return Compute(torch.device(name), chosen, f"{why}{reason}")


def name_of(value) -> str:
    """A word in quotes; anything else by its type."""
    return repr(value) if isinstance(value, str) else f"a value of type {type(value).__name__}"


def usable_device(wanted: str) -> tuple[str, str]:
    """The best device that passes a real operation, and a note on devices that failed."""
    offered = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    passed_over = ""
    for name in ("cuda", "mps"):
        if wanted not in ("auto", name):
            continue
        problem = try_out(name) if offered[name] else "PyTorch finds none here"
        if problem is None:
            return name, passed_over
        if wanted == name:
            raise ValueError(f'the device "{name}" cannot be used: {problem}. Leave it to "auto"')
        if offered[name]:
            passed_over += f"{name} is there but fails ({problem}), so "
    return "cpu", passed_over


def try_out(device: str) -> str | None:
    """Runs a small matrix product and its gradient. Returns what went wrong, or None."""
    try:
        a = torch.ones(32, 32, device=device, requires_grad=True)
        (gradient,) = torch.autograd.grad((a @ a).sum(), a)
        right = gradient.cpu().eq(64).all().item()
        return None if right else "it computes wrong results"
    except Exception as error:  # drivers fail in many ways; each means: not this device
        return " ".join(str(error).split())[:120]


def cuda_precision() -> tuple[torch.dtype, str]:
    """bfloat16 from compute capability 8.0 on, float16 below.

    `torch.cuda.is_bf16_supported()` does not help: it is true on a T4 (7.5), which emulates
    bfloat16 slowly.
    """
    major, minor = torch.cuda.get_device_capability()
    gpu = f"{torch.cuda.get_device_name()} (compute capability {major}.{minor})"
    if (major, minor) >= (8, 0):
        return torch.bfloat16, f"{gpu} multiplies bfloat16 in hardware"
    if (major, minor) >= (7, 0):
        return torch.float16, f"{gpu} multiplies float16 in hardware, but not bfloat16"
    return torch.float32, f"{gpu} has no fast half precision"


def cpu_precision(width: int) -> tuple[torch.dtype, str]:
    """bfloat16 if the processor multiplies it in hardware and the model is wide enough.

    Nothing is timed: a busy machine must make the same choice as an idle one. See NARROWEST.
    """
    found = bfloat16_instructions()
    if found is None:
        return torch.float32, "this processor does not multiply bfloat16 in hardware"
    if width < NARROWEST:
        return torch.float32, (
            f"this processor has {found}, but a model of width {width} is too narrow to gain by it"
        )
    return torch.bfloat16, f"this processor multiplies bfloat16 in hardware ({found})"


def bfloat16_instructions() -> str | None:
    """The name of the processor's instructions for bfloat16 products, or None.

    On Linux the system knows it, for x86 and Arm. Elsewhere PyTorch knows it, for x86 only.
    """
    try:
        words = set(CPUINFO.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return "AVX512-BF16" if ask and ask() else None
    return next((name for flag, name in INSTRUCTIONS.items() if flag in words), None)


@torch.no_grad()
def leak(model, compute: Compute) -> float:
    """How far earlier logits move when the last token changes, summed up; 0 without a leak.

    Some kernels of some versions on some devices have let the future leak (PyTorch issue
    #195910). A model trained on such a device looks brilliant and writes nonsense.

    The 0 is exact: without a leak both runs compute the same sums in the same order. This was
    true for every preset on CPUs, in float32 and in bfloat16. A threshold above 0 would miss
    leaks: if one head of the last layer of a new `workshop` leaks, no logit moves by more than
    7e-4 in float32, while a single rounding in bfloat16 is 4e-3. Only a device that does not
    repeat its own sums gets a threshold: twice the difference between two equal runs.
    """
    generator = torch.Generator().manual_seed(0)
    idx = torch.randint(model.config.vocab_size, (1, model.config.block_size), generator=generator)
    other = idx.clone()
    other[0, -1] = (other[0, -1] + 1) % model.config.vocab_size
    was_training = model.training
    model.eval()
    with compute.autocast():
        one, two, again = (model(ids.to(compute.device))[0][:, :-1] for ids in (idx, other, idx))
    model.train(was_training)
    moved = (one.float() - two.float()).abs().sum().item()
    noise = (one.float() - again.float()).abs().sum().item()
    return moved if moved > 2 * noise else 0.0


def near(ids: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Ids on a device; a text too large for that stays where it is, and its batches are moved."""
    return ids if ids.nbytes > LARGEST_TEXT else ids.to(device)


def check_causality(model, compute: Compute) -> Compute:
    """Returns `compute` if no future leaks there. If it leaks, says so and returns a slower choice.

    The model (already on the device) moves to the device of the choice. Raises RuntimeError if
    the model leaks even in float32 on the CPU: then the model itself is wrong.
    """
    choices = [compute]
    if compute.dtype != torch.float32:
        choices.append(Compute(compute.device, torch.float32, "half precision leaks the future"))
    if compute.device.type != "cpu":
        why = f"attention on {compute.device.type} leaks the future"
        choices.append(Compute(torch.device("cpu"), torch.float32, why))
    for choice in choices:
        model.to(choice.device)
        if leak(model, choice) == 0:
            if choice is not compute:
                print(f"Computing on {choice}")
            return choice
    raise RuntimeError(
        "changing the last token changes earlier predictions: this model sees the future, so its "
        "loss means nothing. Is the causal mask missing?"
    )
