import numpy as np
import pytest

from coordnet import viz


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def test_to_pixels_rounds_and_clips() -> None:
    pixels = viz.to_pixels(np.array([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 127.4 / 255, 1.0, 9.0]))
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == [0, 0, 0, 1, 127, 255, 255]


def test_every_byte_survives_the_way_to_floats_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(viz.to_pixels(levels.astype(np.float32) / 255), levels)


def test_gray_is_repeated_and_opacity_laid_over_white() -> None:
    gray = viz.to_rgb(np.full((2, 3, 1), 0.2))
    assert gray.shape == (2, 3, 3) and (gray == 51).all()
    color = values(2, 3, 3)
    assert np.array_equal(viz.to_rgb(color), viz.to_pixels(color))
    faint = np.concatenate([np.zeros((1, 3, 3)), np.array([0, 0.2, 1]).reshape(1, 3, 1)], axis=2)
    assert viz.to_rgb(faint)[0].tolist() == [[255] * 3, [204] * 3, [0] * 3]


def test_heat_runs_from_black_to_bright_yellow_and_stays_there() -> None:
    bottom, top, above = viz.apply_colormap(np.array([[0, 0.25, 3.0]]), top=0.25)[0].astype(int)
    assert bottom.max() <= 5
    assert top[0] > 240 and top[1] > 240 and top[2] < 200
    assert (above == top).all()


def test_heat_gets_brighter_all_the_way() -> None:
    ramp = viz.apply_colormap(np.linspace(0, 1, 64)[None], top=1.0)[0].astype(float)
    luminance = ramp @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()


def test_shrink_leaves_what_fits() -> None:
    small = values(5, 8, 3)
    assert np.array_equal(viz.shrink(small, 8), small)


def test_shrink_averages_whole_blocks() -> None:
    large = values(6, 9, 2)
    small = viz.shrink(large, 3)
    assert small.shape == (2, 3, 2)
    for y in range(2):
        for x in range(3):
            block = large[3 * y : 3 * y + 3, 3 * x : 3 * x + 3]
            assert small[y, x] == pytest.approx(block.mean(axis=(0, 1)))


@pytest.mark.parametrize("shape", [(100, 33, 1), (33, 100, 3), (513, 2, 1), (1, 1025, 4), (7, 5, 3)])
@pytest.mark.parametrize("longest", [4, 10, 512])
def test_shrink_bounds_the_longest_side_and_keeps_a_constant(
    shape: tuple[int, int, int], longest: int
) -> None:
    small = viz.shrink(np.full(shape, 0.3), longest)
    assert max(small.shape[:2]) <= longest
    assert min(small.shape) >= 1 and small.shape[2] == shape[2]
    assert small == pytest.approx(0.3)


def test_hconcat_joins_from_left_to_right_with_white_gaps() -> None:
    pictures = [np.full((4, width, 3), level, np.uint8) for width, level in ((2, 10), (3, 20), (5, 30))]
    joined = viz.hconcat(pictures)
    gap = [255] * viz.GAP
    assert joined.shape == (4, 2 + 3 + 5 + 2 * viz.GAP, 3)
    assert joined[1, :, 2].tolist() == [10] * 2 + gap + [20] * 3 + gap + [30] * 5


@pytest.mark.parametrize(
    "shape, times", [((32, 100), 8), ((100, 30), 2), ((200, 30), 1), ((300, 30), 1), ((10, 400), 3)]
)
def test_upscaled_pictures_keep_their_pixels_and_fit_if_they_did(shape: tuple[int, int], times: int) -> None:
    picture = viz.to_pixels(values(*shape, 3))
    large = viz.upscale(picture, 256, 1536)
    assert large.shape == (times * shape[0], times * shape[1], 3)
    for y in range(times):
        assert np.array_equal(large[y::times, times - 1 :: times], picture)


@pytest.mark.parametrize("heights", [(40, 20), (20, 40), (20, 20), (20, 21)])
def test_hconcat_keeps_both_pictures_and_centers_the_lower(heights: tuple[int, int]) -> None:
    left, right = (viz.to_pixels(values(height, 10 + height, 3)) for height in heights)
    joined = viz.hconcat([left, right])
    assert joined.shape == (max(heights), left.shape[1] + viz.GAP + right.shape[1], 3)
    for part, found in ((left, joined[:, : left.shape[1]]), (right, joined[:, -right.shape[1] :])):
        top = (max(heights) - len(part)) // 2
        assert np.array_equal(found[top : top + len(part)], part)
        assert (np.delete(found, np.s_[top : top + len(part)], axis=0) == 255).all()


def test_captions_stand_above_the_picture_and_differ_by_text() -> None:
    picture = viz.to_pixels(values(20, 120, 3))
    first, second = viz.add_caption(picture, "step 10"), viz.add_caption(picture, "step 20")
    assert np.array_equal(first[viz.CAPTION :], picture) and np.array_equal(second[viz.CAPTION :], picture)
    assert first.min() == 0 and not np.array_equal(first, second)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_strip_is_three_pictures_wide(channels: int) -> None:
    target = values(6, 10, channels)
    strip = viz.comparison_strip(target, target)
    assert strip.shape == (6, 3 * 10 + 2 * viz.GAP, 3)
    left, middle = strip[:, :10], strip[:, 10 + viz.GAP : 20 + viz.GAP]
    assert np.array_equal(left, viz.to_rgb(target)) and np.array_equal(left, middle)
    assert strip[:, -10:].max() <= 5


def test_strip_shows_where_the_error_is_at_full_scale_a_quarter() -> None:
    target, prediction = np.full((4, 4, 3), 0.5), np.full((4, 4, 3), 0.5)
    prediction[1, 2] = 0.75
    error = viz.comparison_strip(target, prediction)[:, -4:].astype(int)
    assert np.argwhere(error.sum(axis=2) > 20).tolist() == [[1, 2]]
    assert (error[1, 2] == viz.apply_colormap(np.ones((1, 1)), 1.0)[0, 0]).all()


def test_strip_of_a_large_picture_is_shrunk() -> None:
    target = values(40, 30, 1)
    assert viz.comparison_strip(target, target, longest=10).shape == (10, 3 * 7 + 2 * viz.GAP, 3)


def test_curves_draw_each_line() -> None:
    x = np.linspace(-1, 1, 50)
    one = viz.plot_lines(x, {"a": np.sin(x)}, "title")
    two = viz.plot_lines(x, {"a": np.sin(x), "b": np.cos(x)}, "title")
    assert one.dtype == np.uint8 and one.ndim == 3 and one.shape[2] == 3
    assert one.shape == two.shape and not np.array_equal(one, two)


def test_sheet_keeps_every_pixel_under_its_caption() -> None:
    pictures = {name: viz.to_pixels(values(20, 30 + i, 3)) for i, name in enumerate("abc")}
    canvas = viz.image_grid(pictures, columns=2)
    assert canvas.dtype == np.uint8
    found = set()
    for name, picture in pictures.items():
        height, width = picture.shape[:2]
        for y in range(canvas.shape[0] - height + 1):
            for x in range(canvas.shape[1] - width + 1):
                if np.array_equal(canvas[y, x], picture[0, 0]) and np.array_equal(
                    canvas[y : y + height, x : x + width], picture
                ):
                    found.add((name, y > 40, x > 30))
    assert found == {("a", False, False), ("b", False, True), ("c", True, False)}
