from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_images import noise, save_folder, truncate
from torch import Tensor
from torchvision.transforms import functional as TF

from utils.data.augmentation import crop_flip
from utils.data.batches import Batch, Batches, Normaliser
from utils.data.decode import read_random_crop, read_resized
from utils.data.images import FileImages, MemoryImages
from utils.data.registry import DataSpec
from utils.errors import UserError
from utils.seeding import derive_seed

SPEC = DataSpec("Made", 3, 32, 4, ("a", "b", "c", "d"), (0.2, 0.5, 0.6), (0.3, 0.2, 0.1), "crop_flip")
FILES = replace(SPEC, im_size=8, augmentation="resized_crop_flip")


def made(n: int = 40) -> MemoryImages:
    return MemoryImages(torch.from_numpy(noise(n, 3, 32, 32)), torch.arange(n) % 4)


def joined(batches: Batches) -> Batch:
    """All batches of a pass as one."""
    parts = list(batches)
    weights = [part.weight for part in parts if part.weight is not None]
    return Batch(
        torch.cat([part.x for part in parts]),
        torch.cat([part.y for part in parts]),
        torch.cat([part.index for part in parts]),
        torch.cat([part.position for part in parts]),
        torch.cat(weights) if weights else None,
    )


def slowly(images: Tensor, spec: DataSpec) -> Tensor:
    """Normalised in float64, in torchvision's words."""
    return TF.normalize(images.double() / 255, list(spec.mean), list(spec.std))


def files(root: Path, n: int = 10) -> FileImages:
    save_folder(root, {"a": n}, size=(20, 12))
    return FileImages(root, tuple(f"a/{k:03}.png" for k in range(n)), torch.arange(n) % 4, 3, 10, 8, crop_whole=True)


def test_a_plain_pass_is_the_images_in_order_normalised() -> None:
    images, indices = made(), torch.tensor([7, 3, 3, 39, 0])
    passed = joined(Batches(images, SPEC, indices, 2, device="cpu"))
    torch.testing.assert_close(passed.x.double(), slowly(images.images[indices], SPEC), atol=2e-6, rtol=0)
    assert passed.x.dtype == torch.float32
    assert torch.equal(passed.y, images.labels[indices])
    assert torch.equal(passed.index, indices)
    assert passed.position.tolist() == [0, 1, 2, 3, 4]
    assert passed.weight is None


def test_the_last_partial_batch_is_kept() -> None:
    batches = Batches(made(), SPEC, torch.arange(7), 3, device="cpu")
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert len(batches) == 3
    assert len(Batches(made(), SPEC, torch.arange(6), 3, device="cpu")) == 2


def test_nothing_to_pass_over() -> None:
    batches = Batches(made(), SPEC, torch.empty(0, dtype=torch.int64), 3, device="cpu", shuffle_seed=0, augment=True)
    assert len(batches) == 0
    assert list(batches) == []


def test_a_shuffled_pass_has_each_image_once_with_all_that_belongs_to_it() -> None:
    images, indices = made(), torch.tensor([30, 2, 11, 5, 17, 8])
    weights = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    passed = joined(Batches(images, SPEC, indices, 4, device="cpu", shuffle_seed=3, weights=weights))
    assert passed.position.tolist() != [0, 1, 2, 3, 4, 5]
    assert sorted(passed.position.tolist()) == [0, 1, 2, 3, 4, 5]
    assert torch.equal(passed.index, indices[passed.position])
    assert torch.equal(passed.y, images.labels[passed.index])
    assert passed.weight is not None
    assert torch.equal(passed.weight, weights[passed.position])
    torch.testing.assert_close(passed.x.double(), slowly(images.images[passed.index], SPEC), atol=2e-6, rtol=0)


@pytest.mark.parametrize("augment", [False, True])
def test_a_pass_depends_on_its_seed_alone(augment: bool) -> None:
    def passed(seed: int, batch_size: int) -> Batch:
        torch.rand(3)
        return joined(
            Batches(made(), SPEC, torch.arange(40), batch_size, device="cpu", shuffle_seed=seed, augment=augment)
        )

    assert torch.equal(passed(1, 7).x, passed(1, 40).x)
    assert not torch.equal(passed(1, 7).position, passed(2, 7).position)


def test_iterating_again_gives_the_same_pass() -> None:
    batches = Batches(made(), SPEC, torch.arange(40), 7, device="cpu", shuffle_seed=1, augment=True)
    assert torch.equal(joined(batches).x, joined(batches).x)


def test_augmented_images_are_crops_and_flips_of_the_images() -> None:
    images = made(12)
    passed = joined(Batches(images, SPEC, torch.arange(12), 5, device="cpu", shuffle_seed=0, augment=True))
    outcomes = torch.cartesian_prod(torch.arange(9), torch.arange(9), torch.arange(2))
    found = []
    for x, index in zip(passed.x, passed.index.tolist(), strict=True):
        candidates = slowly(crop_flip(images.images[index].expand(162, -1, -1, -1), outcomes), SPEC)
        distances = (candidates - x.double()).abs().amax((1, 2, 3))
        assert distances.min() < 1e-5
        found.append(int(distances.argmin()))
    assert len(set(found)) > 6  # each with its own parameters


@pytest.mark.parametrize("augmentation", ["crop_flip", "resized_crop_flip"])
def test_images_in_files_are_augmented_as_those_in_memory(tmp_path: Path, augmentation: str) -> None:
    in_files = replace(files(tmp_path), crop_whole=False)
    decoded = [read_resized(in_files.path(index), 10, 8) for index in range(10)]
    in_memory = MemoryImages(torch.stack(decoded), in_files.labels)  # type: ignore[arg-type]
    spec = replace(FILES, augmentation=augmentation)
    first, second, plain = (
        joined(Batches(images, spec, torch.arange(10), 4, device="cpu", shuffle_seed=0, augment=augment)).x
        for images, augment in ((in_files, True), (in_memory, True), (in_memory, False))
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, plain)


def test_images_too_small_to_be_shifted_are_refused_in_one_line() -> None:
    images = MemoryImages(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.arange(2))
    with pytest.raises(UserError, match="crop_flip takes images of 5x5 or more, and these are 4x4; use a larger --im_"):
        Batches(images, replace(SPEC, im_size=4), torch.arange(2), 2, device="cpu", shuffle_seed=0, augment=True)


def test_a_spec_without_augmentation_has_none() -> None:
    plain = replace(SPEC, augmentation="none")
    with_flag, without = (
        joined(Batches(made(), plain, torch.arange(40), 9, device="cpu", shuffle_seed=1, augment=augment)).x
        for augment in (True, False)
    )
    assert torch.equal(with_flag, without)


def test_views_leave_the_images_as_they_were() -> None:
    images = made()
    before = images.images.clone()
    for batch in Batches(images, SPEC, torch.arange(40), 40, device="cpu", shuffle_seed=0, augment=True):
        batch.x.zero_()
        batch.y.zero_()
    assert torch.equal(images.images, before)
    assert torch.equal(images.labels, made().labels)


def test_passes_do_not_touch_the_global_generator(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    list(Batches(made(), SPEC, torch.arange(40), 9, device="cpu", shuffle_seed=1, augment=True))
    list(Batches(files(tmp_path), FILES, torch.arange(10), 4, device="cpu", shuffle_seed=1, augment=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_normalising_is_exact_to_rounding() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    torch.testing.assert_close(Normaliser(SPEC, "cpu")(images).double(), slowly(images, SPEC), atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"indices": torch.tensor([0, 40])}, "indices must lie in 0 … 39"),
        ({"indices": torch.tensor([-1, 4])}, "indices must lie in 0 … 39"),
        ({"weights": torch.ones(3)}, "3 weights for 2 indices"),
        ({"augment": True}, "needs a shuffle_seed"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    defaults = {"images": made(), "spec": SPEC, "indices": torch.tensor([0, 1]), "batch_size": 2, "device": "cpu"}
    with pytest.raises(ValueError, match=message):
        Batches(**(defaults | options))  # type: ignore[arg-type]


def test_files_are_resized_and_cropped_as_torchvision_does(tmp_path: Path) -> None:
    from PIL import Image

    images = files(tmp_path)
    passed = joined(Batches(images, FILES, torch.arange(10), 4, device="cpu"))
    for path, x in zip(images.paths, passed.x, strict=True):
        picture = TF.center_crop(TF.resize(Image.open(tmp_path / path), 10), 8)
        torch.testing.assert_close(x.double(), slowly(TF.pil_to_tensor(picture), FILES), atol=5e-6, rtol=0)


def test_files_are_shuffled_as_images_in_memory_are(tmp_path: Path) -> None:
    indices, weights = torch.arange(2, 10), torch.arange(8.0)
    from_files = joined(
        Batches(files(tmp_path), FILES, indices, 3, device="cpu", shuffle_seed=4, weights=weights, augment=True)
    )
    in_memory = joined(Batches(made(10), SPEC, indices, 3, device="cpu", shuffle_seed=4, weights=weights))
    assert torch.equal(from_files.position, in_memory.position)
    assert torch.equal(from_files.index, in_memory.index)
    assert torch.equal(from_files.y, files(tmp_path).labels[from_files.index])
    assert from_files.weight is not None
    assert torch.equal(from_files.weight, weights[from_files.position])


def test_augmentation_of_a_file_depends_on_the_seed_and_its_position(tmp_path: Path) -> None:
    images = files(tmp_path)
    passed = joined(Batches(images, FILES, torch.arange(10), 4, device="cpu", shuffle_seed=2, augment=True))
    for x, position in zip(passed.x, passed.position.tolist(), strict=True):
        image = read_random_crop(images.path(position), 8, derive_seed(2, "augment", position))
        assert isinstance(image, Tensor)
        torch.testing.assert_close(x.double(), slowly(image, FILES), atol=5e-6, rtol=0)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_change_nothing(tmp_path: Path) -> None:
    images = files(tmp_path)
    alone, helped = (
        joined(Batches(images, FILES, torch.arange(10), 4, device="cpu", shuffle_seed=2, augment=True, workers=workers))
        for workers in (0, 2)
    )
    assert torch.equal(alone.x, helped.x)
    assert torch.equal(alone.index, helped.index)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_breaks_off_while_training_is_named_in_one_line(tmp_path: Path, workers: int) -> None:
    images = files(tmp_path)
    truncate(images.path(6))
    with pytest.raises(UserError, match=r"unreadable image: .*006\.png \(.+\); replace or remove it$") as caught:
        list(Batches(images, FILES, torch.arange(10), 4, device="cpu", workers=workers))
    assert "\n" not in str(caught.value)


def test_grey_files_among_rgb_ones_are_rgb(tmp_path: Path) -> None:
    save_folder(tmp_path, {"a": 1}, size=(12, 12), mode="L")
    images = FileImages(tmp_path, ("a/000.png",), torch.tensor([0]), 3, 8, 8)
    x = joined(Batches(images, replace(FILES, mean=(0.0,) * 3, std=(1.0,) * 3), torch.tensor([0]), 1, device="cpu")).x
    assert x.shape == (1, 3, 8, 8)
    assert torch.equal(x[:, 0], x[:, 2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("held", ["cpu", "cuda"])
def test_a_gpu_gives_the_same_batches_and_is_not_waited_for(held: str) -> None:
    options = {"shuffle_seed": 1, "augment": True, "weights": torch.rand(40)}
    wanted = joined(Batches(made(), SPEC, torch.arange(40), 9, device="cpu", **options))  # type: ignore[arg-type]
    batches = iter(Batches(made().to(held), SPEC, torch.arange(40), 9, device="cuda", **options))  # type: ignore[arg-type]
    parts = [next(batches)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        parts += list(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(torch.cat([part.x for part in parts]).cpu(), wanted.x, atol=2e-6, rtol=0)
    assert torch.equal(torch.cat([part.index for part in parts]).cpu(), wanted.index)
    assert torch.equal(torch.cat([part.y for part in parts]).cpu(), wanted.y)
