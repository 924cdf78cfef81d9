"""Python on a machine with a pretended GPU, in no time: a process that has imported everything forks for each command.

python tests/gpu/fork_server.py serve SOCKET                    # once
python tests/gpu/fork_server.py SOCKET -m utils.report result   # for each
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn


def serve(path: str) -> NoReturn:
    """Answer commands for ever."""
    sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]
    import matplotlib.pyplot  # noqa: F401
    from gpu.pretended_gpu import PretendedGpu  # noqa: F401

    import condense  # noqa: F401
    import continual  # noqa: F401
    import cross_network_generalization  # noqa: F401
    import landscape  # noqa: F401
    import main  # noqa: F401

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                if os.fork() == 0:  # a grandchild, that nobody has to wait for
                    answer(connection)
                os._exit(0)
            os.wait()
            connection.close()


def answer(connection: socket.socket) -> NoReturn:
    """Do one command with the streams, folder and environment of who asked, and send its exit status."""
    message, streams, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    request = json.loads(message)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    connection.send(bytes([run(request["command"])]))
    os._exit(0)


def run(command: list[str]) -> int:
    """Run ``script.py …`` or ``-m module …`` on a pretended GPU; return its exit status."""
    import runpy
    import traceback

    from gpu.pretended_gpu import PretendedGpu

    sys.argv = command[command[0] == "-m" :]
    try:
        with PretendedGpu():
            if command[0] == "-m":
                runpy.run_module(command[1], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(command[0], run_name="__main__")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def ask(path: str, command: list[str]) -> int:
    """Have the server do a command here; return its exit status."""
    request = {"command": command, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        said = connection.recv(1)
    return said[0] if said else 1


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    raise SystemExit(ask(sys.argv[1], sys.argv[2:]))
