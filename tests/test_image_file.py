import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor

from coordnet.errors import UserError
from coordnet.signals.images.image import image_file
from coordnet.signals.images.image_file import read_image

Save = Callable[..., Path]

GRAY = np.array([[0, 60, 120], [180, 240, 255]], np.uint8)
COLOR = np.stack([GRAY, 255 - GRAY, GRAY // 2], axis=-1)
OPACITY = np.array([[0, 64, 128], [192, 255, 255]], np.uint8)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save(picture: Pillow.Image, name: str = "picture.png", **options: Any) -> Path:
        path = tmp_path / name
        picture.save(path, **options)
        return path

    return save


def refusal(path: Path, key: str = "path", **options: Any) -> str:
    """The one line that says why a file is refused."""
    with pytest.raises(UserError) as caught:
        read_image(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{key}=")
    assert "\n" not in message
    return message


def laid_on(colors: np.ndarray, opacity: np.ndarray, background: int) -> np.ndarray:
    share = opacity[..., None] / 255
    return colors * share + background * (1 - share)


# Modes


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
@pytest.mark.reliability("T17")
def test_black_and_white_becomes_gray(save: Save, format: str) -> None:
    pixels = read_image(save(Pillow.fromarray(GRAY > 100), format=format))
    assert pixels.tolist() == [[[0], [0], [255]], [[255], [255], [255]]]
    assert pixels.dtype == torch.uint8


@pytest.mark.parametrize(
    "name, options", [("a.png", {}), ("a.tiff", {}), ("a.bmp", {}), ("a.webp", {"lossless": True})]
)
@pytest.mark.parametrize("array", [GRAY, COLOR])
@pytest.mark.reliability("T17")
def test_lossless_formats_keep_every_value(
    save: Save, name: str, options: dict[str, Any], array: np.ndarray
) -> None:
    pixels = read_image(save(Pillow.fromarray(array), name, **options)).numpy()
    assert pixels.dtype == np.uint8
    # WebP has no gray.
    channels = 3 if array.ndim == 3 or name == "a.webp" else 1
    assert np.array_equal(pixels, np.broadcast_to(array.reshape(2, 3, -1), (2, 3, channels)))


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_lossy_formats_come_close(save: Save, name: str) -> None:
    y, x = np.mgrid[:32, :48]
    smooth = np.stack([4 * x, 5 * y, 2 * x + 2 * y], axis=-1).astype(np.uint8)
    pixels = read_image(save(Pillow.fromarray(smooth), name, quality=95)).numpy()
    # Quality 95 quantizes by a few gray levels; color is stored at half resolution.
    assert np.abs(pixels.astype(int) - smooth).mean() < 3


def test_a_gray_jpeg_stays_gray(save: Save) -> None:
    assert read_image(save(Pillow.fromarray(GRAY), "a.jpg")).shape == (2, 3, 1)


@pytest.mark.parametrize("background, level", [("white", 255), ("black", 0)])
@pytest.mark.reliability("T17")
def test_transparent_color_is_laid_on_a_background(save: Save, background: str, level: int) -> None:
    path = save(Pillow.fromarray(np.dstack([COLOR, OPACITY])))
    # Pillow blends in whole numbers: half a level off, and half more.
    expected = laid_on(COLOR, OPACITY, level)
    assert read_image(path, background=background).numpy() == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("background, level", [("white", 255), ("black", 0)])
def test_transparent_gray_stays_gray(save: Save, background: str, level: int) -> None:
    path = save(Pillow.merge("LA", [Pillow.fromarray(GRAY), Pillow.fromarray(OPACITY)]))
    pixels = read_image(path, background=background)
    assert pixels.shape == (2, 3, 1)
    assert pixels.numpy() == pytest.approx(laid_on(GRAY[..., None], OPACITY, level), abs=1)


def test_opacity_is_kept_without_a_background(save: Save) -> None:
    rgba = np.dstack([COLOR, OPACITY])
    assert np.array_equal(read_image(save(Pillow.fromarray(rgba)), background=None).numpy(), rgba)
    gray = Pillow.merge("LA", [Pillow.fromarray(GRAY), Pillow.fromarray(OPACITY)])
    expected = np.dstack([GRAY, GRAY, GRAY, OPACITY])
    assert np.array_equal(read_image(save(gray), background=None).numpy(), expected)


def test_opaque_files_have_no_fourth_channel(save: Save) -> None:
    assert read_image(save(Pillow.fromarray(COLOR)), background=None).shape == (2, 3, 3)


def palette() -> Pillow.Image:
    indexed = Pillow.frombytes("P", (3, 2), bytes([0, 1, 2, 2, 1, 0]))
    indexed.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return indexed


@pytest.mark.reliability("T17")
def test_a_palette_becomes_color(save: Save) -> None:
    red, green, blue = [255, 0, 0], [0, 255, 0], [0, 0, 255]
    assert read_image(save(palette())).tolist() == [[red, green, blue], [blue, green, red]]


def test_a_transparent_palette_entry_shows_the_background(save: Save) -> None:
    path = save(palette(), transparency=1)
    assert read_image(path)[0].tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]
    assert read_image(path, background="black")[0].tolist() == [[255, 0, 0], [0, 0, 0], [0, 0, 255]]
    assert read_image(path, background=None)[0, :, 3].tolist() == [255, 0, 255]


@pytest.mark.parametrize("array, key", [(GRAY, 60), (COLOR, (60, 195, 30))])
def test_a_transparent_color_without_an_opacity_channel_shows_the_background(
    save: Save, array: np.ndarray, key: int | tuple[int, ...]
) -> None:
    path = save(Pillow.fromarray(array), transparency=key)
    expected = array.reshape(2, 3, -1).copy()
    expected[0, 1] = 255
    assert np.array_equal(read_image(path).numpy(), expected)
    assert read_image(path, background=None)[..., 3].tolist() == [[255, 0, 255], [255, 255, 255]]


@pytest.mark.reliability("T17")
def test_cmyk_becomes_rgb(save: Save) -> None:
    cmyk = np.array([[[255, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 0]]], np.uint8)
    path = save(Pillow.frombytes("CMYK", (3, 1), cmyk.tobytes()), "a.tiff")
    assert read_image(path).tolist() == [[[0, 255, 255], [0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
@pytest.mark.reliability("T17")
def test_sixteen_bit_gray_keeps_its_high_bits(save: Save, name: str) -> None:
    deep = np.array([[0, 255, 256], [40000, 65279, 65535]], np.uint16)
    assert read_image(save(Pillow.fromarray(deep), name))[..., 0].tolist() == [[0, 0, 1], [156, 254, 255]]


@pytest.mark.reliability("T17")
def test_float_pictures_are_refused(save: Save) -> None:
    assert "float" in refusal(save(Pillow.fromarray(GRAY.astype(np.float32)), "a.tiff"))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.reliability("T17")
def test_exif_rotation_is_applied(save: Save, name: str, orientation: int) -> None:
    """Stored so that a viewer that turns it shows the same picture: white above black, the left edge gray."""
    upright = np.zeros((24, 40, 3), np.uint8)
    upright[:12] = 255
    upright[:, :8] = 128
    # The pixels as the sensor recorded them: the inverse of the rotation of each orientation.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Pillow.Exif()
    exif[274] = orientation
    pixels = read_image(save(Pillow.fromarray(np.ascontiguousarray(stored)), name, exif=exif)).numpy()
    # Blocks of 8 survive lossy coding to a few levels.
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).mean() < 3


# Crop and resize


def test_crop_is_left_top_right_bottom(save: Save) -> None:
    path = save(Pillow.fromarray(COLOR))
    assert np.array_equal(read_image(path, crop=[1, 0, 3, 1]).numpy(), COLOR[0:1, 1:3])
    assert np.array_equal(read_image(path, crop=[0, 0, 3, 2]).numpy(), COLOR)


def test_resize_is_width_height_and_averages_areas(save: Save) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (12, 8), dtype=np.uint8)
    pixels = read_image(save(Pillow.fromarray(array)), resize=[4, 3])
    blocks = array.reshape(3, 4, 4, 2).mean(axis=(1, 3))
    assert pixels.shape == (3, 4, 1)
    # Pillow rounds after each of the two directions.
    assert pixels[..., 0].numpy() == pytest.approx(blocks, abs=1)


def test_crop_comes_before_resize(save: Save) -> None:
    path = save(Pillow.fromarray(GRAY))
    assert read_image(path, crop=[1, 0, 3, 2], resize=[1, 1]).item() == pytest.approx(
        GRAY[:, 1:].mean(), abs=1
    )


@pytest.mark.parametrize(
    "crop", [[0, 0, 4, 2], [0, 0, 3, 3], [-1, 0, 2, 2], [2, 0, 2, 2], [2, 0, 1, 2], [0, 0, 3], []]
)
def test_crops_outside_the_picture_are_refused(save: Save, crop: list[int]) -> None:
    assert "3 x 2" in refusal(save(Pillow.fromarray(GRAY)), "crop", crop=crop)


@pytest.mark.parametrize("resize", [[0, 4], [4, -1], [4], [4, 4, 4]])
def test_impossible_sizes_are_refused(save: Save, resize: list[int]) -> None:
    refusal(save(Pillow.fromarray(GRAY)), "resize", resize=resize)


def test_unknown_backgrounds_are_refused(save: Save) -> None:
    refusal(save(Pillow.fromarray(GRAY)), "background", background="pink")


# Files that are no pictures


@pytest.mark.reliability("T15")
def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere.png")
    assert "not a regular file" in refusal(tmp_path)
    refusal(tmp_path / ("a" * 5000))
    refusal(tmp_path / "nul\0.png")


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.reliability("T15")
def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")


@pytest.mark.parametrize("content", [b"", b"these are words", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(50)])
@pytest.mark.reliability("T15")
def test_other_content_under_a_pictures_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    refusal(path)


def test_a_line_break_in_a_name_stays_in_one_line(tmp_path: Path) -> None:
    refusal(tmp_path / "two\nlines.png")


@pytest.mark.reliability("T17")
def test_formats_off_the_list_are_refused(save: Save) -> None:
    assert "PNG" in refusal(save(Pillow.fromarray(GRAY), "a.ppm"))
    assert "PNG" in refusal(save(Pillow.fromarray(GRAY), "a.png", format="GIF"))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.reliability("T17")
def test_animations_are_refused(save: Save, format: str) -> None:
    frames = [Pillow.fromarray(COLOR), Pillow.fromarray(255 - COLOR)]
    path = save(frames[0], format=format, save_all=True, append_images=frames[1:])
    assert "2 frames" in refusal(path)


def encoded(format: str) -> bytes:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    exif = Pillow.Exif()
    exif[274] = 6
    picture = Pillow.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    picture.save(buffer, format, **({} if format == "BMP" else {"exif": exif}))
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
@pytest.mark.reliability("T15")
def test_truncated_files_are_refused(tmp_path: Path, format: str) -> None:
    path, content = tmp_path / "a", encoded(format)
    path.write_bytes(content)
    assert read_image(path).ndim == 3
    path.write_bytes(content[: len(content) // 2])
    refusal(path)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
@pytest.mark.reliability("T15")
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path: Path, format: str) -> None:
    path, content, rng = tmp_path / "a", encoded(format), random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.randrange(rng.choice((60, 200, len(damaged))))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            assert read_image(path, max_pixels=10**6).dtype == torch.uint8
        except UserError as error:
            assert str(error).startswith("path=") and "\n" not in str(error)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))


@pytest.mark.parametrize("side, max_pixels", [(10_000, 10**6), (60_000, 10**6), (60_000, 10**12)])
@pytest.mark.reliability("T16")
def test_bombs_are_refused_from_their_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, max_pixels: int
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Pillow.Image, "load", decode)
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    message = refusal(path, max_pixels=max_pixels)
    assert "pixels" in message


def test_max_pixels_is_the_largest_allowed(save: Save) -> None:
    path = save(Pillow.fromarray(GRAY))
    assert read_image(path, max_pixels=6).shape == (2, 3, 1)
    assert "3 x 2 pixels" in refusal(path, max_pixels=5)


def test_image_file_passes_its_options_on(save: Save) -> None:
    path = save(Pillow.fromarray(np.dstack([COLOR, OPACITY])))
    image = image_file(str(path), train_stride=2, crop=[0, 0, 2, 2], resize=[4, 4], background=None)
    assert image.pixels.shape == (4, 4, 4)
    assert image.train_stride == 2


def test_real_pictures(shared_data: Path) -> None:
    for name in ("natural/00.png", "text/00.png"):
        path = shared_data / "fourier_features" / name
        pixels: Tensor = read_image(path)
        with Pillow.open(path) as file:
            assert np.array_equal(pixels.numpy(), np.asarray(file.convert("RGB")))
        assert pixels.shape == (512, 512, 3)
