"""GPUs of a node: lists of a made-up NVML and a made-up nvidia-smi, CUDA's rules for visible ones, and their ranks."""

import os
import sys
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.launch.resources import gpus as module
from hpcmtl.launch.resources.gpus import Gpu, assigned, count_by_bus, selected, visible_gpus

GIB = 1 << 30
FOUR = tuple(Gpu(name="A100", memory=40 * GIB, uuid=f"GPU-{letter}123", driver="550") for letter in "abcd")


class NvmlError(Exception):
    """The made-up library's error."""


def fake_nvml(gpus=FOUR, *, fails=None):
    """A module like pynvml of some GPUs, which gives some texts as bytes, as older versions do."""
    made = ModuleType("pynvml")
    made.shut = 0

    def init():
        if fails == "init":
            raise NvmlError("Driver Not Loaded")

    def memory(handle):
        if fails == "memory":
            raise NvmlError("GPU is lost")
        return SimpleNamespace(total=handle.memory)

    def shutdown():
        made.shut += 1

    made.NVMLError = NvmlError
    made.nvmlInit, made.nvmlShutdown = init, shutdown
    made.nvmlSystemGetDriverVersion = lambda: b"550"
    made.nvmlDeviceGetCount = lambda: len(gpus)
    made.nvmlDeviceGetHandleByIndex = lambda index: gpus[index]
    made.nvmlDeviceGetName = lambda handle: handle.name.encode()
    made.nvmlDeviceGetMemoryInfo = memory
    made.nvmlDeviceGetUUID = lambda handle: handle.uuid
    return made


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A function that makes the script that `nvidia-smi` is then; there is no NVML."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(module, "SMI_SECONDS", 0.5)

    def write(script):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("wanted", "letters"),
    [
        (None, "abcd"),
        ("", ""),
        ("-1", ""),
        ("0,2", "ac"),
        ("3, 1", "db"),
        ("0,-1,2", "a"),
        ("0,1,9,2", "ab"),
        ("1,1", ""),
        ("GPU-c", "c"),
        ("GPU-c123,GPU-a", "ca"),
        ("GPU-", ""),
        ("GPU-x,0", ""),
        ("NoDevFiles", ""),
    ],
)
def test_visible_gpus(wanted, letters):
    """Numbers and uuids are taken up to the first invalid entry; none, if one is named twice."""
    assert "".join(gpu.uuid[4] for gpu in selected(FOUR, wanted)) == letters


@pytest.mark.parametrize(("wanted", "count"), [(None, 4), ("", 0), ("2", 1)])
def test_gpus_by_nvml(monkeypatch, wanted, count):
    """NVML tells names, memory, uuids and the driver; the library is closed again."""
    nvml = fake_nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    found = visible_gpus({} if wanted is None else {"CUDA_VISIBLE_DEVICES": wanted})

    assert len(found) == count
    assert wanted is not None or found == FOUR
    assert nvml.shut == (wanted != "")


@pytest.mark.parametrize("fails", ["init", "memory"])
def test_a_driver_that_fails(smi, monkeypatch, fails):
    """Where NVML gives no list, nvidia-smi is asked."""
    smi("echo 'Tesla T4, 15360, GPU-1, 550.54'")
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(fails=fails))

    assert visible_gpus({}) == (Gpu(name="Tesla T4", memory=15 * GIB, uuid="GPU-1", driver="550.54"),)


@pytest.mark.parametrize(
    ("script", "count"),
    [
        ("echo 'A100, 40960, GPU-1, 550'; echo 'A100, 40960, GPU-2, 550'", 2),
        ("echo 'no driver'; exit 9", 0),
        ("echo 'A100, [N/A], GPU-1, 550'", 0),
        ("exec sleep 60", 0),
    ],
)
def test_gpus_by_smi(smi, script, count):
    """Without NVML nvidia-smi is asked, and not for long; what it prints in another form is no GPU."""
    smi(script)

    assert len(visible_gpus({})) == count


def test_a_machine_without_a_driver(tmp_path, monkeypatch):
    """There are no GPUs, and no error."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert visible_gpus({}) == ()


@given(st.lists(st.lists(st.sampled_from(FOUR), unique=True), max_size=9))
def test_ranks_are_spread_over_gpus(visible):
    """Each rank takes one of its GPUs if it has any, and none that more ranks had taken than another of its own."""
    taken = dict.fromkeys(FOUR, 0)
    for gpus, number in zip(visible, assigned(visible), strict=True):
        assert (number is None) == (not gpus)
        if number is not None:
            assert taken[gpus[number]] == min(taken[gpu] for gpu in gpus)
            taken[gpus[number]] += 1


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [
        ([FOUR] * 6, (0, 1, 2, 3, 0, 1)),
        ([FOUR[:1], FOUR[1:2], ()], (0, 0, None)),
        ([FOUR[:2], FOUR[:2], FOUR[2:], FOUR[2:]], (0, 1, 0, 1)),
    ],
)
def test_gpus_by_local_rank(visible, numbers):
    """Ranks that see all GPUs take them in turn; those that Slurm gave some take these."""
    assert assigned(visible) == numbers


def test_gpus_without_a_uuid():
    """Ranks of a node take their numbers for their names."""
    assert assigned([(Gpu(name="x", memory=1),) * 2] * 3) == (0, 1, 0)


@pytest.mark.parametrize(("before", "after"), [(None, "PCI_BUS_ID"), ("FASTEST_FIRST", "FASTEST_FIRST")])
def test_the_order_of_gpus(monkeypatch, before, after):
    """CUDA counts GPUs as the driver lists them, unless the user wants it otherwise."""
    monkeypatch.setenv("CUDA_DEVICE_ORDER", before or "")
    if before is None:
        monkeypatch.delenv("CUDA_DEVICE_ORDER")
    count_by_bus()

    assert os.environ["CUDA_DEVICE_ORDER"] == after
