"""The picture of selected and synthetic sets side by side."""

from __future__ import annotations

import io

import numpy as np
import pytest
from condensing import config
from made_images import two_classes
from PIL import Image

from condensation.config import CondensationConfig
from utils.config import DataConfig, RunConfig, SelectionConfig, TrainingConfig
from utils.coreset_size import CoresetSize
from utils.data.coreset import Coreset
from utils.data.synthetic_set import SyntheticSet
from utils.errors import UserError
from utils.records.comparison_sheet import main, side_by_side
from utils.records.run_folder import FinishedRun, RunFolder, find_runs
from utils.records.summary import summarise
from utils.training.history import Epoch

TRAINING, SIZE = TrainingConfig(epochs=1), CoresetSize("fraction", 0.01)


def finish(run_config: RunConfig, saved, size: int, root) -> None:
    with RunFolder(run_config, root) as run:
        saved.save(run.coreset_path)
        history = [Epoch(1, 0.1, 1.0, 50.0, 1.0, 50.0)]
        run.write_history(history)
        seconds = {"training": 1.0}
        run.finish(
            summarise(
                run_config,
                history,
                coreset_size=size,
                pool_size=1000,
                training_steps=1,
                seconds=seconds,
                images_per_second={},
                peak_memory_bytes=1,
                device="cpu",
            )
        )


@pytest.fixture
def runs(tmp_path) -> list[FinishedRun]:
    """Ten black synthetic images, and ten selected ones by two seeds."""
    settings: CondensationConfig = config("DM", 1)
    black = SyntheticSet(np.full((10, 1, 8, 8), -5, np.float32), np.arange(10), settings.selection())
    data = DataConfig("Digits")
    finish(RunConfig(data, "MLP", settings.selection(), SIZE, 0, TRAINING), black, 10, tmp_path)
    for seed in (0, 1):
        picked = Coreset(np.arange(seed, 10 + seed))
        finish(
            RunConfig(data, "MLP", SelectionConfig("Uniform"), SIZE, seed, TRAINING),
            picked,
            10,
            tmp_path,
        )
    return find_runs(tmp_path)


def test_a_row_for_each_way(runs):
    sheet = np.asarray(Image.open(io.BytesIO(side_by_side(runs))).convert("L"))
    assert sheet.shape[0] == 28 + 2 * 68
    first, second = sheet[28:96, -300:-10], sheet[96:164, -300:-10]
    assert (first < 10).mean() > 0.8  # the synthetic images are black
    assert 0.1 < (second < 10).mean() < 0.7


def test_the_command_writes_it(runs, tmp_path, capsys):
    main([str(tmp_path), "--output", str(tmp_path / "sheet.png")])
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert "sheet.png" in capsys.readouterr().out


def test_an_image_folder_is_shown_beside_larger_synthetic_images(tmp_path):
    folder = two_classes(tmp_path / "images", size=(12, 8))
    settings = config("DM", 1)
    black = SyntheticSet(np.full((2, 3, 16, 16), -5, np.float32), np.arange(2), settings.selection())
    data = DataConfig("ImageFolder", str(folder), im_size=8)
    finish(RunConfig(data, "MLP", settings.selection(), SIZE, 0, TRAINING), black, 2, tmp_path / "runs")
    picked = Coreset(np.array([1, 0, 4]))
    finish(RunConfig(data, "MLP", SelectionConfig("Uniform"), SIZE, 0, TRAINING), picked, 3, tmp_path / "runs")
    sheet = Image.open(io.BytesIO(side_by_side(find_runs(tmp_path / "runs")))).convert("RGB")
    assert sheet.height == 28 + 2 * 68
    left = sheet.width - 4 - 2 * 68  # of the first of two images, enlarged eight times
    black_tile, tile = (np.asarray(sheet.crop((left, top, left + 64, top + 64))) for top in (28, 96))
    assert not black_tile.any()
    with Image.open(folder / "train/cat/001.png") as image:
        middle = np.asarray(image)[:, 2:10]
    assert np.array_equal(tile[4::8, 4::8], middle)


def test_nothing_to_show(tmp_path):
    with pytest.raises(UserError, match="one data set"):
        main([str(tmp_path), "--output", str(tmp_path / "sheet.png")])
    assert not (tmp_path / "sheet.png").exists()


def test_a_wrong_flag_is_one_line(tmp_path):
    with pytest.raises(UserError, match="--output"):
        main([str(tmp_path)])
