"""The report and the export, too, answer any flags with a result or one line. FUZZ_EXAMPLES=10000 tries many."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inputs import Scene, examples

from utils.records import export, report

SOUND: dict[str, list[str]] = {
    "report": ["result", "THE-RUN", "result ../runs"],
    "export": ["THE-RUN", "THE-RUN/coreset.npz"],
    "--format": ["npz", "csv", "json", "folder", "contact_sheet"],
    "--output": ["out", "out/deep", "out.png"],
    "--plot": ["out.png", "out/deep.PNG"],
    "--data_path": ["../images"],
    "--dataset": ["ImageFolder"],
    "--picks": ["1", "2"],
    "--classes": ["1", "2"],
}
JUNK = [
    *(
        "result",
        "THE-RUN",
        "THE-RUN/config.json",
        "nowhere",
        "../file",
        "../file/below",
        "",
        ".",
        "../images",
        "-",
        "--",
    ),
    *("/dev/null", "/proc/nowhere", "out.npz", "é", "x" * 300, "\n", "0", "-1", "²", "9" * 30, "Digits", "CIFAR10"),
]
FLAGS = {
    "report": ["--csv", "--time", "--cross", "--plot"],
    "export": ["--labels", "--link", "--force", "--data_path", "--dataset", "--picks", "--classes"],
}


@st.composite
def words(draw: st.DrawFn, name: str) -> list[str]:
    """A command line; in every third one something is no good."""
    flags = draw(st.lists(st.sampled_from(FLAGS[name]), max_size=3))
    asked = [name, *(["--format", "--output"] if name == "export" else []), *flags]
    spoiled = draw(st.integers(0, 3 * len(asked)))
    line: list[str] = []
    for place, flag in enumerate(asked):
        line += [flag] if flag.startswith("--") else []
        if place == spoiled - 1:
            line.append(draw(st.sampled_from(JUNK)))
        elif flag in SOUND:
            line += draw(st.sampled_from(SOUND[flag])).split(" ")
    return line


@pytest.mark.parametrize("tool", [report, export], ids=["report", "export"])
def test_one_line_or_a_result(tool: ModuleType, scene: Scene) -> None:
    name = tool.__name__.removeprefix("utils.records.")
    statuses: Counter[int] = Counter()

    @examples(60)
    @given(line=words(name))
    def check(line: list[str]) -> None:
        statuses[scene.check(tool.main, [name, *line])] += 1

    check()
    assert min(statuses[0], statuses[2]) >= statuses.total() // 20, statuses
