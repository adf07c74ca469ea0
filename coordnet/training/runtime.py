"""How a process uses its machine. Nothing here changes what is computed, except the precision asked for."""

import ctypes
import platform

import torch

from coordnet.errors import UserError
from coordnet.training.cores import available_cores

# Where adaptive precision goes over, in dB of train/psnr or of train/nmse below 1: before rounding shows.
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
    """Return what is free: decoding a large picture takes more than its pixels."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def set_threads(threads: int | None) -> int:
    """Use this many threads, or all cores that the process may run on; returns how many."""
    if threads is not None and threads < 1:
        raise UserError(f"threads={threads} must be at least 1, or null for all cores")
    count = threads or available_cores()
    torch.set_num_threads(count)
    return count


def choose_precision(asked: str, bfloat16_safe: bool, accelerator: str) -> str:
    """Resolve "auto": adaptive where the network stands it and the processor multiplies bfloat16 natively.

    Adaptive is bfloat16 until the fit is close, then float32.
    """
    if asked == "auto":
        return "adaptive" if bfloat16_safe and has_bfloat16(accelerator) else "float32"
    return asked


def has_bfloat16(accelerator: str) -> bool:
    """Whether matrices of bfloat16 are multiplied natively here: by AVX-512, AMX or, where asked for, a GPU."""
    if accelerator in ("cuda", "auto") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
