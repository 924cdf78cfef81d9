"""The cache of proxies: its key leaves nothing out, and a hit is what the training would have given."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_data import make_data

import nets
from experiments.proxy import Proxy, ProxyConfig, proxy_key, train_proxy
from utils.config import OptimizerConfig, SchedulerConfig, TrainingConfig
from utils.execution import ExecutionConfig
from utils.seeding import seed_torch
from utils.training.checkpoint import load_checkpoint, save_checkpoint
from utils.training.machine import Machine
from utils.training.trainer import Training
from utils.training.training_trace import TrainingTrace

CPU = torch.device("cpu")
DATA = make_data()
TRAINING = TrainingConfig(
    epochs=3, batch=16, optimizer=OptimizerConfig(lr=0.05), scheduler=SchedulerConfig(), augment=False
)
CONFIG = ProxyConfig("MLP", TRAINING, seed=0)


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    return value + "X" if isinstance(value, str) else value + 1


def variants(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every copy of a dataclass with one field, at any depth, changed."""
    found: list[tuple[str, Any]] = []
    for field in dataclasses.fields(value):
        part, name = getattr(value, field.name), f"{path}{field.name}"
        inner = variants(part, f"{name}.") if dataclasses.is_dataclass(part) else [(name, changed(part))]
        found += [(where, replace(value, **{field.name: each})) for where, each in inner]
    return found


WITHOUT_SCHEDULE = ("training.scheduler", replace(CONFIG, training=replace(TRAINING, scheduler=None)))


@pytest.mark.parametrize(("name", "config"), [*variants(CONFIG), WITHOUT_SCHEDULE])
def test_every_setting_but_the_tests_is_in_the_key(name, config):
    same = proxy_key(config, DATA, CPU) == proxy_key(CONFIG, DATA, CPU)
    assert same == name.startswith("training.test_")


def test_the_key_has_the_data_the_machine_and_torch(monkeypatch):
    keys = [
        proxy_key(CONFIG, DATA, CPU),
        proxy_key(CONFIG, replace(DATA, fingerprint="other"), CPU),
        proxy_key(CONFIG, replace(DATA, pool=DATA.pool[:-1]), CPU),
        proxy_key(CONFIG, replace(DATA, pool=DATA.pool.flip(0)), CPU),
        proxy_key(CONFIG, DATA, torch.device("cuda")),
        proxy_key(CONFIG, DATA, CPU, processes=2),
    ]
    monkeypatch.setattr(torch, "__version__", "0.0")
    keys.append(proxy_key(CONFIG, DATA, CPU))
    assert len(set(keys)) == len(keys)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The label of every training that is run from now on."""
    labels: list[str] = []
    run = Training.run

    def counted(self: Training) -> Any:
        labels.append(self.label)
        return run(self)

    monkeypatch.setattr(Training, "run", counted)
    return labels


def train(folder: Path, config: ProxyConfig = CONFIG) -> tuple[Proxy, TrainingTrace]:
    trace = TrainingTrace(len(DATA.pool), config.training.epochs)
    return train_proxy(config, DATA, Machine(CPU, ExecutionConfig(save_path=str(folder))), trace), trace


def assert_same(one: tuple[Proxy, TrainingTrace], other: tuple[Proxy, TrainingTrace]) -> None:
    torch.testing.assert_close(one[0].network.state_dict(), other[0].network.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(one[1].state_dict(), other[1].state_dict(), rtol=0, atol=0)
    assert one[0].result.history == other[0].result.history
    assert one[0].key == other[0].key
    assert not one[0].network.training
    assert not other[0].network.training


def test_a_hit_gives_all_that_the_training_gave(tmp_path, trainings):
    missed, hit = train(tmp_path), train(tmp_path)
    assert trainings == ["proxy MLP"]
    assert_same(missed, hit)
    assert missed[0].result == hit[0].result
    assert hit[1].rows.isfinite().all()


@pytest.mark.parametrize(("interval", "tested"), [(0, [3]), (1, [1, 2, 3]), (2, [2, 3])])
def test_a_proxy_is_tested_at_the_end_and_as_often_as_asked(tmp_path, interval, tested):
    execution = ExecutionConfig(save_path=str(tmp_path), proxy_test_interval=interval)
    trace = TrainingTrace(len(DATA.pool), TRAINING.epochs)
    proxy = train_proxy(CONFIG, DATA, Machine(CPU, execution), trace)
    history = proxy.result.history
    assert [row.epoch for row in history] == [1, 2, 3]
    assert [row.epoch for row in history if row.test_accuracy is not None] == tested
    untested = train(tmp_path / "another", CONFIG)[0]
    torch.testing.assert_close(proxy.network.state_dict(), untested.network.state_dict(), rtol=0, atol=0)
    assert ExecutionConfig().proxy_test_interval == 0


def test_other_settings_are_other_proxies(tmp_path, trainings):
    networks = [train(tmp_path, replace(CONFIG, repeat=repeat))[0].network for repeat in (0, 1)]
    assert trainings == ["proxy MLP", "proxy MLP 1"]
    assert not torch.equal(networks[0].classifier.weight, networks[1].classifier.weight)


@pytest.mark.parametrize("damage", [lambda file: file[:-7], lambda file: file[:200] + b"?" + file[201:], lambda _: b""])
def test_a_damaged_file_is_set_aside_and_trained_again(tmp_path, trainings, capsys, damage):
    sound = train(tmp_path)
    (path,) = (tmp_path / "proxies").glob("*.pt")
    path.write_bytes(damage(path.read_bytes()))
    again = train(tmp_path)
    assert len(trainings) == 2
    assert_same(sound, again)
    assert f"set aside as {path.name}.damaged" in capsys.readouterr().err
    assert_same(sound, train(tmp_path))
    assert len(trainings) == 2


def test_a_proxy_of_an_earlier_version_has_no_trace_and_is_trained_again(tmp_path, trainings, capsys):
    sound = train(tmp_path)
    (path,) = (tmp_path / "proxies").glob("*.pt")
    save_checkpoint(path, {**load_checkpoint(path, "cpu"), "observer": {"events": torch.zeros(60)}})
    again = train(tmp_path)
    assert len(trainings) == 2
    assert_same(sound, again)
    assert "has no training trace, for an earlier version made it" in capsys.readouterr().err


def test_a_proxy_of_no_epochs_is_the_network_at_initialisation(tmp_path, trainings):
    config = replace(CONFIG, training=replace(TRAINING, epochs=0, scheduler=None))
    proxy, trace = train(tmp_path, config)
    seed_torch(config.seed, config.purpose, "network")
    torch.testing.assert_close(proxy.network.state_dict(), nets.build("MLP", 1, 3, 8).state_dict(), rtol=0, atol=0)
    assert proxy.result.history == ()
    assert trace.rows.numel() == 0
    assert_same((proxy, trace), train(tmp_path, config))
    assert len(trainings) == 1


def test_a_sound_file_of_another_proxy_is_no_hit(tmp_path, trainings):
    sound = train(tmp_path)
    other = train(tmp_path, replace(CONFIG, model="ConvNet"))
    path = {proxy.key: tmp_path / "proxies" / f"{proxy.key}.pt" for proxy, _ in (sound, other)}
    path[other[0].key].replace(path[sound[0].key])
    assert_same(sound, train(tmp_path))
    assert trainings == ["proxy MLP", "proxy ConvNet", "proxy MLP"]


def test_two_that_want_the_same_proxy_train_it_once(tmp_path, trainings):
    results: list[tuple[Proxy, TrainingTrace]] = []
    threads = [threading.Thread(target=lambda: results.append(train(tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trainings) == 1
    assert_same(results[0], results[1])
    assert_same(results[0], results[2])


def test_nothing_else_is_left_in_the_folder(tmp_path):
    proxy, _ = train(tmp_path)
    assert {path.name for path in (tmp_path / "proxies").iterdir()} == {f"{proxy.key}.pt", f"{proxy.key}.lock"}
