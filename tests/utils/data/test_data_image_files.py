from __future__ import annotations

import errno
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_images import noise, save_folder, save_image, truncate
from PIL import Image, ImageColor, ImageOps
from torchvision import transforms

from utils.data import image_files as reading
from utils.data.decode import Unreadable, read_header, read_native, read_random_crop, read_resized
from utils.errors import UserError

FORMATS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "GIF": ".gif", "PPM": ".ppm", "WEBP": ".webp"}


def by_pillow(path: Path, mode: str) -> torch.Tensor:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert(mode))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1).copy())


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".gif", ".ppm", ".webp", ".tif"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_pillows(tmp_path: Path, suffix: str, mode: str) -> None:
    read_as = "RGB" if suffix in (".gif", ".webp") else mode  # these formats know no grey
    path = tmp_path / f"image{suffix}"
    save_image(path, (13, 9), mode)
    image = read_native(path)
    assert isinstance(image, torch.Tensor)
    assert torch.equal(image, by_pillow(path, read_as))


@pytest.mark.parametrize(
    ("mode", "suffix", "read_as"),
    [
        ("RGBA", ".png", "RGB"),
        ("LA", ".png", "L"),
        ("1", ".png", "L"),
        ("P", ".png", "RGB"),
        ("CMYK", ".jpg", "RGB"),
    ],
)
def test_other_modes_become_grey_or_rgb(tmp_path: Path, mode: str, suffix: str, read_as: str) -> None:
    path = tmp_path / f"image{suffix}"
    save_image(path, (6, 6), mode)
    image = read_native(path)
    assert isinstance(image, torch.Tensor)
    assert torch.equal(image, by_pillow(path, read_as))


def composed(colours: np.ndarray, alpha: np.ndarray, background: tuple[int, ...]) -> torch.Tensor:
    """Colours [H, W, C] seen in front of a background: α · colour + (1 − α) · background, by float64."""
    opacity = alpha[..., None] / 255
    return torch.from_numpy((opacity * colours + (1 - opacity) * np.array(background)).transpose(2, 0, 1))


@pytest.mark.parametrize(("background", "behind"), [("white", (255, 255, 255)), ("#102030", (16, 32, 48))])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparency_shows_the_background(
    tmp_path: Path, background: str, behind: tuple[int, ...], suffix: str
) -> None:
    path, pixels = tmp_path / f"image{suffix}", noise(6, 6, 4)
    Image.fromarray(pixels).save(path, **({"lossless": True, "exact": True} if suffix == ".webp" else {}))
    wanted = composed(pixels[..., :3], pixels[..., 3], behind)
    for image in (read_native(path, background), read_resized(path, 6, 6, background)):
        assert isinstance(image, torch.Tensor)
        assert (image - wanted).abs().max() <= 1


@pytest.mark.parametrize(("background", "channels"), [("white", 1), ("#404040", 1), ("red", 3)])
def test_grey_images_with_transparency_stay_grey_on_grey(tmp_path: Path, background: str, channels: int) -> None:
    path, pixels = tmp_path / "image.png", noise(6, 6, 2)
    Image.fromarray(pixels).save(path)  # LA
    image = read_native(path, background)
    wanted = composed(pixels[..., :1].repeat(3, 2), pixels[..., 1], ImageColor.getrgb(background))
    assert isinstance(image, torch.Tensor)
    assert len(image) == channels
    assert (image - wanted[:channels]).abs().max() <= 1


@pytest.mark.parametrize(
    ("mode", "suffix"), [("P", ".png"), ("L", ".png"), ("RGB", ".png"), ("P", ".gif"), ("L", ".gif")]
)
def test_one_transparent_colour_shows_the_background(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    picture = Image.new(mode, (6, 6), 0)
    picture.paste(Image.new(mode, (3, 6), "white" if mode != "P" else 1), (3, 0))
    if mode == "P":
        picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(path, transparency=(0, 0, 0) if mode == "RGB" else 0)
    image = read_native(path, "#00ff00")
    assert isinstance(image, torch.Tensor)
    seen = image.expand(3, -1, -1)
    assert seen[:, 0, 0].tolist() == [0, 255, 0]
    assert seen[:, 0, 5].tolist() == ([10, 20, 30] if mode == "P" else [255, 255, 255])


def test_a_transparent_palette_is_read_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(noise(6, 6, 3)).convert("P").save(path, transparency=bytes(range(256)))
    assert isinstance(read_native(path), torch.Tensor)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_photographs_are_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    path, tags = tmp_path / f"image{suffix}", Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(noise(10, 18, 3)).save(path, exif=tags)
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    assert upright.size == ((10, 18) if 5 <= orientation <= 8 else (18, 10))
    as_is, resized, cropped = read_native(path), read_resized(path, 9, 7), read_random_crop(path, 8, 0)
    assert isinstance(as_is, torch.Tensor)
    assert torch.equal(as_is, transforms.functional.pil_to_tensor(upright))
    wanted = transforms.functional.center_crop(transforms.functional.resize(upright, 9), 7)
    assert torch.equal(resized, transforms.functional.pil_to_tensor(wanted))  # type: ignore[arg-type]
    upright.save(tmp_path / "upright.png")
    assert torch.equal(cropped, read_random_crop(tmp_path / "upright.png", 8, 0))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")  # Pillow's own about the tags
@pytest.mark.parametrize("tags", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\x09\0"])
def test_damaged_tags_leave_an_image_as_it_is(tmp_path: Path, tags: bytes) -> None:
    path = tmp_path / "image.jpg"
    Image.fromarray(noise(9, 12, 3)).save(path, exif=tags)
    image = read_native(path)
    assert isinstance(image, torch.Tensor)
    assert torch.equal(image, by_pillow(path, "RGB"))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_pixels_are_refused_and_not_clipped(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "image.tif"
    Image.fromarray(np.full((6, 6), 1000, dtype)).save(path)
    assert "convert it to 8 bits" in str(read_native(path))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("size", [(40, 24), (24, 40), (16, 16)])
def test_resizing_keeps_the_aspect_and_the_centre(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    path = tmp_path / f"image{suffix}"
    save_image(path, size)
    image = read_resized(path, 12, 10)
    with Image.open(path) as picture:
        wanted = transforms.Compose([transforms.Resize(12), transforms.CenterCrop(10), transforms.PILToTensor()])(
            picture
        )
    assert isinstance(image, torch.Tensor)
    assert image.shape == (3, 10, 10)
    assert torch.equal(image, wanted)


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size_and_looks_the_same(tmp_path: Path) -> None:
    rows = np.linspace(0, 255, 512).astype(np.uint8)
    Image.fromarray(np.stack([np.tile(rows, (512, 1))] * 3, axis=2)).save(tmp_path / "image.jpg", quality=95)
    image = read_resized(tmp_path / "image.jpg", 16, 16)
    assert isinstance(image, torch.Tensor)
    wanted = torch.from_numpy(rows.astype(float)).view(16, 32).mean(1)
    assert (image[0, 8] - wanted).abs().max() < 4


def test_a_random_crop_is_torchvisions_at_the_same_seed(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    save_image(path, (30, 20))
    pipeline = transforms.Compose(
        [transforms.RandomResizedCrop(8), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    )
    crops = []
    for seed in range(12):
        crop = read_random_crop(path, 8, seed)
        with Image.open(path) as picture, torch.random.fork_rng():
            torch.manual_seed(seed)
            wanted = pipeline(picture.convert("RGB"))
        assert isinstance(crop, torch.Tensor)
        assert torch.equal(crop, wanted)
        crops.append(crop)
    assert not torch.equal(crops[0], crops[1])


def test_what_is_no_image_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_text("not an image")
    for result in (read_native(path), read_resized(path, 8, 8), read_random_crop(path, 8, 0), read_header(path)):
        assert isinstance(result, Unreadable)
        assert str(path) in str(result)
        assert "\n" not in str(result)


def test_too_few_file_handles_are_no_fault_of_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(OSError, match="Too many open files"):
        read_native(tmp_path / "image.png")


def encoded(name: str, mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(9, 12, 3)).convert(mode).save(buffer, name)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")  # Pillow's own about odd but readable files
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([(name, mode) for name in FORMATS for mode in ("RGB", "L")]),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    kept=st.floats(0, 1),
)
def test_damaged_files_are_read_or_named_and_never_raise(
    tmp_path: Path, kind: tuple[str, str], changes: list[tuple[int, int]], kept: float
) -> None:
    content = bytearray(encoded(*kind))
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path / f"image{FORMATS[kind[0]]}"
    path.write_bytes(content[: round(kept * len(content))])
    for result in (read_native(path), read_resized(path, 6, 6), read_random_crop(path, 6, 0)):
        if isinstance(result, torch.Tensor):
            assert result.dtype == torch.uint8
            assert len(result) in (1, 3)
        else:
            assert "\n" not in str(result)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_file_is_never_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    save_image(path, (16, 16))
    content = path.read_bytes()
    for length in range(0, len(content) - 20, 97):
        path.write_bytes(content[:length])
        assert isinstance(read_native(path), Unreadable)


def some_paths(root: Path, count: int) -> list[Path]:
    return sorted(save_folder(root, {"a": count}).rglob("*.png"))


@pytest.mark.parametrize("workers", [0, 3])
def test_many_are_read_in_order(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_CHUNK", 8)
    monkeypatch.setattr(reading, "_GROUP", 3)
    paths = some_paths(tmp_path, 20)
    images = reading.read_images(paths, read_native, workers)
    assert torch.equal(images, torch.stack([by_pillow(path, "RGB") for path in paths]))


def test_all_are_rgb_as_soon_as_one_is(tmp_path: Path) -> None:
    for number, mode in enumerate(("L", "L", "RGB", "L")):
        save_image(tmp_path / f"{number}.png", mode=mode, seed=number)
    paths = sorted(tmp_path.iterdir())
    assert torch.equal(
        reading.read_images(paths, read_native, 1), torch.stack([by_pillow(path, "RGB") for path in paths])
    )
    assert reading.read_images(paths[:2], read_native, 1).shape == (2, 1, 8, 8)
    assert reading.read_images(paths[:2], read_native, 1, channels=3).shape == (2, 3, 8, 8)


def test_every_unreadable_file_is_named(tmp_path: Path) -> None:
    paths = some_paths(tmp_path, 9)
    for path in (paths[0], paths[4], paths[8]):
        truncate(path)
    for read in (
        lambda: reading.read_images(paths, read_native, 2),
        lambda: reading.survey(paths, read_native, 2, measured=5),
    ):
        with pytest.raises(UserError, match=r"^3 unreadable images: ") as caught:
            read()
        assert all(str(path) in str(caught.value) for path in (paths[0], paths[4], paths[8]))
        assert str(paths[1]) not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_long_list_is_written_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    paths = some_paths(tmp_path / "images", 15)
    for path in paths[:14]:
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"^14 unreadable images: ") as caught:
        reading.check_headers(paths, 2)
    (listing,) = tmp_path.glob("unreadable-*/images.txt")
    assert str(listing) in str(caught.value)
    assert [line.partition(" (")[0] for line in listing.read_text().splitlines()] == list(map(str, paths[:14]))
    assert str(paths[9]) in str(caught.value)
    assert str(paths[10]) not in str(caught.value)


def test_a_survey_measures_only_what_it_is_told(tmp_path: Path) -> None:
    paths = some_paths(tmp_path, 6)
    images = torch.stack([by_pillow(path, "RGB") for path in paths[:4]]).double() / 255
    mean, std = reading.survey(paths, read_native, 1, measured=4).mean_std()
    assert mean == pytest.approx(images.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(images.std((0, 2, 3), correction=0).tolist())
