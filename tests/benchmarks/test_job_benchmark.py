"""The benchmark of the whole job runs it and shares its time out over the phases."""

from __future__ import annotations

import pytest
from made_images import save_folder

from benchmarks import job
from utils.errors import UserError


def test_it_prints_the_seconds_of_every_phase(tmp_path, capsys):
    for half in ("train", "test"):
        save_folder(tmp_path / half, {"a": 12, "b": 12})
    job.main(["--data_path", str(tmp_path), "--images", "20", "--networks", "MLP"])
    head, _, row = capsys.readouterr().out.strip().splitlines()
    assert head.startswith("| 20 images, seconds |")
    name, *seconds, in_all = (cell.strip() for cell in row.strip("|").split("|"))
    assert name == "MLP"
    assert sum(map(float, seconds)) == pytest.approx(float(in_all), abs=0.3)


def test_a_folder_without_images_is_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="holds no folders of images"):
        job.main(["--data_path", str(tmp_path)])
