"""What the shell sees of an entry script: statuses, one-line errors, quiet ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.cli import Terminated, run_main
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def raiser(error: BaseException):
    def function() -> None:
        raise error

    return function


def test_done_is_zero(capsys):
    assert run_main(lambda: print("fine")) == 0
    assert capsys.readouterr() == ("fine\n", "")


def test_a_user_error_is_one_line_and_status_2(capsys):
    assert run_main(raiser(UserError("no such thing:\n  two lines"))) == 2
    assert capsys.readouterr() == ("", "error: no such thing: two lines\n")


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", "+/-1.2 - 3x...: caf\\xe9 \\udcff \\u65e5\n"),
        ("latin-1", "±1.2 - 3×...: café \\udcff \\u65e5\n"),
        ("utf-8", "±1.2 – 3×…: café \\udcff 日\n"),
    ],
)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_an_output_cannot_encode_is_spelled_in_ascii(monkeypatch, encoding, printed, name):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, name, stream)
    assert run_main(lambda: print("±1.2 – 3×…: café \udcff 日", file=getattr(sys, name))) == 0
    assert stream.buffer.getvalue().decode(encoding) == printed


CLOSED = """
import sys
from utils.cli import run_main
from utils.errors import UserError

def work():
    print("nobody reads ±")
    sys.stderr.isatty()
    with open(sys.argv[1], "w") as file:
        file.write(str(file.fileno()))
    raise UserError("nobody reads that either")

raise SystemExit(run_main(work))
"""


def test_closed_streams_lose_nothing_but_what_is_printed(tmp_path):
    command = f"exec {sys.executable} -c '{CLOSED}' {tmp_path / 'file'} <&- >&- 2>&-"
    ended = subprocess.run(command, shell=True, cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False)
    assert ended.returncode == 2
    assert int((tmp_path / "file").read_text()) > 2  # a file that took a stream's number would get what is printed


def test_a_notebooks_mplbackend_stops_no_script():
    modules = ("main", "condense", "cross_network_generalization", "landscape", "utils.report", "utils.export")
    scripts = f"import {', '.join(modules)}, utils.records.plots, utils.records.contact_sheet"
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_that_is_not_here"}
    ended = subprocess.run([sys.executable, "-c", scripts], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert ended.stderr == b""
    assert ended.returncode == 0


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), RuntimeError("unable to open: Too many open files (24)")]
)
def test_too_few_file_handles_are_one_line(capsys, error):
    assert run_main(raiser(error)) == 2
    assert capsys.readouterr().err.startswith("error: too many open files; try fewer --workers")


def test_ctrl_c_is_130(capsys):
    assert run_main(raiser(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "")


def test_sigterm_reaches_the_work_and_is_143():
    saved = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except KeyboardInterrupt as stop:
            saved.append(type(stop))
            raise

    before = signal.getsignal(signal.SIGTERM)
    assert run_main(work) == 143
    assert saved == [Terminated]
    assert signal.getsignal(signal.SIGTERM) is before


def test_help_is_zero_and_other_exits_pass():
    assert run_main(raiser(SystemExit(0))) == 0
    with pytest.raises(SystemExit, match="7"):
        run_main(raiser(SystemExit(7)))


@pytest.mark.parametrize(
    "allocate",
    [lambda: bytearray(2**62), lambda: np.empty(2**57), lambda: torch.empty(2**60)],
    ids=["own", "numpy", "torch"],
)
def test_too_little_memory_is_one_line_and_status_2(capsys, allocate):
    assert run_main(allocate) == 2
    output = capsys.readouterr().err
    assert output.startswith("error: out of memory (")
    assert output.endswith("; try a smaller --batch or --im_size, --data_on_device off, or a smaller --memory_budget\n")
    assert output.count("\n") == 1


def test_too_little_memory_of_a_gpu_is_one_line_and_status_2(capsys):
    assert run_main(raiser(torch.OutOfMemoryError("CUDA out of memory.\nMore."))) == 2
    assert "error: out of memory (CUDA out of memory.); try" in capsys.readouterr().err


@pytest.mark.parametrize("said", ["CUBLAS_STATUS_ALLOC_FAILED when calling", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"])
def test_too_little_memory_of_a_library_on_a_gpu_is_too_little_memory(capsys, said):
    assert run_main(raiser(RuntimeError(f"CUDA error: {said}"))) == 2
    assert "--data_on_device off" in capsys.readouterr().err


def test_what_cannot_be_deterministic_is_one_line_and_status_2(capsys):
    said = "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set …"
    assert run_main(raiser(RuntimeError(said))) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --deterministic: grid_sampler_2d_backward_cuda gives other bits each time")


def test_a_gpu_that_fails_is_one_line_and_status_2(capsys):
    assert run_main(raiser(RuntimeError("CUDA error: unspecified launch failure\nCompile with …"))) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the device failed (CUDA error: unspecified launch failure)")
    assert error.count("\n") == 1


def test_a_file_that_cannot_be_used_is_one_line_and_status_2(capsys, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / ("x" * 300), tmp_path / "loop"):
        assert run_main(path.read_bytes) == 2
        assert capsys.readouterr().err.startswith(f"error: cannot use {path}: ")


def test_faults_of_the_program_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_main(raiser(ZeroDivisionError()))
    with pytest.raises(RuntimeError):
        run_main(raiser(RuntimeError("mat1 and mat2 shapes")))
    with pytest.raises(BrokenPipeError):
        run_main(raiser(BrokenPipeError()))


SCRIPT = """
from utils.cli import run_main
def main():
    {body}
raise SystemExit(run_main(main))
"""


@pytest.mark.parametrize("body", ["print('x' * 10)", "[print('x' * 100) for _ in range(10**5)]"])
def test_a_reader_that_went_away_is_quiet(body):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(body=body)],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_sigterm_of_a_real_process():
    body = "import time; print('ready', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(body=body)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (143, b"")
