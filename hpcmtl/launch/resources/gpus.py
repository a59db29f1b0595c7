"""GPUs of a node: what the driver lists, which of them a process may use, and which one each rank takes.

Asks NVIDIA's management library (NVML, by the package nvidia-ml-py) or else the program nvidia-smi. Imports no
framework, and opens no GPU.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
SMI_SECONDS = 5.0  # time limit; a broken driver may never reply
_FIELDS = "name,memory.total,uuid,driver_version"
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU as its driver describes it.

    Attributes:
        name: name of the model.
        memory: bytes of its memory.
        uuid: name of this one GPU, ``GPU-...``; empty if unknown.
        driver: version of the driver.
    """

    name: str
    memory: int
    uuid: str = ""
    driver: str = ""


def visible_gpus(environ: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """Returns the GPUs that this process may use, in CUDA's order: its device number 0 is the first.

    Numbers in CUDA_VISIBLE_DEVICES are taken to count in the order of the bus, see `count_by_bus`.
    """
    wanted = environ.get(VISIBLE)
    if wanted is not None and not wanted.strip():
        return ()  # none are wanted: a driver that takes seconds to answer is not asked
    there = _by_nvml()
    return selected(_by_smi() if there is None else there, wanted)


def selected(there: Sequence[Gpu], wanted: str | None) -> tuple[Gpu, ...]:
    """Returns the GPUs that a value of CUDA_VISIBLE_DEVICES names, by CUDA's rules.

    A GPU is named by its number or by the beginning of its uuid. CUDA ignores all entries after the first invalid one,
    such as -1, and sees no GPU if one is named twice.

    Args:
        there: GPUs of the node.
        wanted: value of the variable; None if it is not set.
    """
    if wanted is None:
        return tuple(there)
    numbers: list[int] = []
    for entry in wanted.split(","):
        number = _number_of(entry.strip(), there)
        if number is None:
            break
        numbers.append(number)
    return tuple(there[number] for number in numbers) if len(set(numbers)) == len(numbers) else ()


def _number_of(entry: str, there: Sequence[Gpu]) -> int | None:
    if match := re.match(r"\d+", entry):
        return int(match[0]) if int(match[0]) < len(there) else None
    named = [number for number, gpu in enumerate(there) if entry and gpu.uuid.startswith(entry)]
    return named[0] if len(named) == 1 else None


def assigned(visible: Sequence[Sequence[Gpu]]) -> tuple[int | None, ...]:
    """Returns the number of the GPU that each rank of a node takes, among those that it may use; None without any.

    A rank takes the GPU that the fewest ranks before it took. So ranks that see all GPUs of their node take them in
    turn, as local rank modulo their number, and a rank to which Slurm gave a GPU of its own takes that one.

    Args:
        visible: for each rank of the node, in the order of local ranks, the GPUs that it may use.
    """
    taken: Counter[object] = Counter()
    found: list[int | None] = []
    for gpus in visible:
        names = [identity(gpu, number) for number, gpu in enumerate(gpus)]
        best = min(range(len(gpus)), key=lambda number: taken[names[number]], default=None)
        found.append(best)
        if best is not None:
            taken[names[best]] += 1
    return tuple(found)


def identity(gpu: Gpu, number: int) -> object:
    """Returns a value that is equal for one GPU on all ranks of a node: its uuid, or else its number."""
    return gpu.uuid or number


def count_by_bus() -> None:
    """Lets CUDA number GPUs in the order of the bus, as the driver's lists do; the user may have chosen another order.

    To be called before a framework opens a GPU. By default CUDA's number 0 is the fastest GPU.
    """
    os.environ.setdefault(ORDER, "PCI_BUS_ID")


def _by_nvml() -> tuple[Gpu, ...] | None:
    """Returns the GPUs that NVML lists; None without the library or the driver."""
    try:
        import pynvml  # type: ignore[import-not-found,import-untyped,unused-ignore]  # the extra `gpu`

        nvml: Any = pynvml
        nvml.nvmlInit()
    except Exception:  # noqa: BLE001 - the module's own errors have no class before it is imported
        return None
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return tuple(
            Gpu(
                name=_text(nvml.nvmlDeviceGetName(handle)),
                memory=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
                uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
                driver=driver,
            )
            for handle in handles
        )
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    """Returns a text of NVML, which older versions of its package give as bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _by_smi() -> tuple[Gpu, ...]:
    """Returns the GPUs that the program nvidia-smi lists; none without it, or without an answer in time."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(  # noqa: S603 - a system program with fixed arguments
            command, capture_output=True, text=True, check=False, timeout=SMI_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [[word.strip() for word in line.split(",")] for line in listed.stdout.splitlines()]
    if listed.returncode or not all(len(row) == _FIELDS.count(",") + 1 and row[1].isdigit() for row in rows):
        return ()
    return tuple(Gpu(name=row[0], memory=int(row[1]) * _MIB, uuid=row[2], driver=row[3]) for row in rows)
