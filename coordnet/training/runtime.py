"""Memory, threads and precision of a process. Only the precision changes the results."""

import ctypes
import platform

import torch

from coordnet.errors import OptionError
from coordnet.training.cores import available_cores

# PSNR in dB on the training samples at which adaptive precision switches from bfloat16 to float32: below this value
# rounding does not show yet. For a normalized error e the value is -10 log10(e).
ADAPTIVE_PSNR_DB = 40.0
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_memory() -> None:
    """Make glibc keep freed memory: returning large blocks to the kernel costs 1.5 to 3 times of a training step."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def trim_memory() -> None:
    """Return free memory to the system: decoding a large picture takes more memory than the pixels."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def set_threads(threads: int | None) -> int:
    """Use a number of threads, or all cores that the process may run on; returns the number.

    Raises:
        OptionError: The number is below 1.
    """
    if threads is not None and threads < 1:
        raise OptionError("threads", threads, "must be at least 1, or null for all cores")
    count = threads or available_cores()
    torch.set_num_threads(count)
    return count


def choose_precision(asked: str, bfloat16_safe: bool, accelerator: str) -> str:
    """Resolve "auto": adaptive where the network allows bfloat16 and the processor multiplies bfloat16 natively.

    Adaptive precision is bfloat16 until the fit reaches ADAPTIVE_PSNR_DB, then float32.
    """
    if asked == "auto":
        return "adaptive" if bfloat16_safe and has_bfloat16(accelerator) else "float32"
    return asked


def has_bfloat16(accelerator: str) -> bool:
    """Return True if AVX-512, AMX or a requested GPU multiplies matrices of bfloat16 natively."""
    if accelerator in ("cuda", "auto") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
