"""Each family of siamese augmentation: alike for both sets, differentiable, nothing at strength zero."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from utils.data.siamese import FAMILIES, NUMBERS, Draw, Siamese
from utils.errors import UserError
from utils.seeding import generator


def images(n: int = 4, channels: int = 3, height: int = 8, width: int = 8) -> Tensor:
    return torch.randn(n, channels, height, width, dtype=torch.float64, generator=generator(0, "images"))


def draw(family: str, count: int, seed: int = 0) -> Draw:
    return Siamese((family,)).draw(count, generator(seed, "draw"))


@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (1, 1, 8, 8), (2, 3, 9, 6)])
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_changes_at_strength_zero(family, shape):
    x = images(*shape)
    torch.testing.assert_close(Siamese((family,), strength=0).apply(x, draw(family, len(x))), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_something_changes_at_strength_one(family):
    changed = [Siamese((family,)).apply(images(), draw(family, 4, seed)) for seed in range(8)]
    assert any(not torch.allclose(each, images()) for each in changed)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shared_draw_changes_both_sets_alike(family):
    siamese, shared = Siamese((family,)), draw(family, 1)
    real, synthetic = images(5), images(5)[1:3]
    torch.testing.assert_close(siamese.apply(real, shared)[1:3], siamese.apply(synthetic, shared))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_image_can_have_its_own(family):
    siamese, own = Siamese((family,)), draw(family, 4)
    together = siamese.apply(images(), own)
    for row in range(4):
        alone = siamese.apply(images()[row : row + 1], Draw(family, own.numbers[row : row + 1]))
        torch.testing.assert_close(together[row : row + 1], alone)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_the_pixels(family, count):
    siamese, drawn = Siamese((family,)), draw(family, count)
    x = images(count, 2, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda pixels: siamese.apply(pixels, drawn), x)
    assert torch.autograd.grad(siamese.apply(x, drawn).square().sum(), x)[0].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_extreme_draws_stay_finite_and_keep_shape_and_type(family):
    for value in (0.0, 1.0 - 2**-53):
        numbers = torch.full((2, NUMBERS), value, dtype=torch.float64)
        changed = Siamese((family,)).apply(images(2).float(), Draw(family, numbers))
        assert changed.shape == (2, 3, 8, 8)
        assert changed.dtype == torch.float32
        assert changed.isfinite().all()


def applied(family: str, numbers: list[float], x: Tensor) -> Tensor:
    return Siamese((family,)).apply(x, Draw(family, torch.tensor([numbers], dtype=torch.float64)))


def test_color_by_hand():
    x = images(1)
    brighter = x + 0.25  # U(-.5, .5) at 3/4
    saturated = 0.5 * (brighter - brighter.mean(1, keepdim=True)) + brighter.mean(1, keepdim=True)  # U(0, 2) at 1/4
    contrasted = 1.5 * (saturated - saturated.mean()) + saturated.mean()  # U(.5, 1.5) at 1
    torch.testing.assert_close(applied("color", [0.75, 0.25, 1.0], x), contrasted)


def test_crop_shifts_by_an_eighth():
    x = images(1)
    down = torch.zeros_like(x)
    down[..., 1:, :] = x[..., :-1, :]
    assert torch.equal(applied("crop", [0.0, 0.5, 0], x), down)


def test_cutout_is_a_square_of_half_the_side():
    cut = applied("cutout", [0.5, 0.5, 0], torch.ones(1, 1, 8, 8))
    assert (cut == 0).sum() == 16
    assert cut[0, 0, 2:6, 2:6].sum() == 0


def test_flip_is_every_second_time():
    x = images(1)
    assert torch.equal(applied("flip", [0.49, 0, 0], x), x.flip(3))
    assert torch.equal(applied("flip", [0.51, 0, 0], x), x)


def test_rotation_turns_by_fifteen_degrees():
    x = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    x[0, 0, 20, 38] = 1
    turned = applied("rotate", [1.0, 0, 0], x)[0, 0]
    rows, columns = (torch.arange(41.0, dtype=torch.float64) - 20,) * 2
    row, column = (turned.sum(1) @ rows / turned.sum(), turned.sum(0) @ columns / turned.sum())
    assert abs(float(torch.atan2(row, column)).__abs__() * 57.2958 - 15) < 1
    assert float(row.hypot(column)) == pytest.approx(18, abs=0.5)


def test_scale_takes_each_axis_by_its_own():
    x = torch.arange(64.0, dtype=torch.float64).view(1, 1, 8, 8)
    wide = applied("scale", [0.0, 1.0, 0], x)[0, 0]
    inner = wide[2:6, 2:6]
    torch.testing.assert_close((inner[:, 1] - inner[:, 0]), torch.full((4,), 1 / 1.2).double())
    torch.testing.assert_close((inner[1] - inner[0]), torch.full((4,), 8 * 1.2).double())


def test_draws_repeat_and_name_every_family():
    siamese = Siamese.of("color_crop_cutout_flip_scale_rotate")
    draws = [siamese.draw(2, generator(seed, "draw")) for seed in range(100)]
    assert {each.family for each in draws} == set(FAMILIES)
    again = siamese.draw(2, generator(3, "draw"))
    assert (again.family, again.numbers.tolist()) == (draws[3].family, draws[3].numbers.tolist())


def test_no_strategy_and_wrong_ones():
    x = images()
    nothing = Siamese.of("")
    assert nothing.apply(x, nothing.draw(4, generator(0, "draw"))) is x
    for strategy in ("colour", "color_color", "color__crop"):
        with pytest.raises(UserError):
            Siamese.of(strategy)
