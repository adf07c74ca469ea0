from coordnet.metrics.nmse import nmse
from coordnet.metrics.psnr import psnr
from coordnet.metrics.ssim import ssim

__all__ = ["nmse", "psnr", "ssim"]
