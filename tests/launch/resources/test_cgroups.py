"""Limits of control groups are found in both versions, and where there are none."""

import pytest

from hpcmtl.launch.resources.cgroups import Limits, cgroup_limits

GIB = 1 << 30


def tree(folder, groups, files):
    """A file that names groups, and a mount with these files."""
    proc = folder / "cgroup"
    proc.write_text("".join(f"{line}\n" for line in groups))
    for name, text in files.items():
        file = folder / "mount" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return cgroup_limits(proc, folder / "mount")


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        (["0::/job/step"], {"job/step/cpu.max": "max 100000", "job/step/memory.max": "max"}, Limits()),
        (["0::/job"], {"job/cpu.max": "150000 100000", "job/memory.max": str(GIB)}, Limits(1.5, GIB)),
        (["0::/job/step"], {"job/memory.max": str(GIB), "job/step/memory.max": str(2 * GIB)}, Limits(None, GIB)),
        (["0::/seen/from/outside"], {"memory.max": str(GIB)}, Limits(None, GIB)),
        (
            ["4:memory:/slurm", "3:cpu,cpuacct:/slurm", "1:name=systemd:/", "0::/"],
            {
                "memory/slurm/memory.limit_in_bytes": str(3 * GIB),
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "cpu,cpuacct/slurm/cpu.cfs_quota_us": "400000",
                "cpu,cpuacct/slurm/cpu.cfs_period_us": "100000",
            },
            Limits(4.0, 3 * GIB),
        ),
        (
            ["4:memory:/", "3:cpu:/"],
            {"memory/memory.limit_in_bytes": "9223372036854771712", "cpu/cpu.cfs_quota_us": "-1"},
            Limits(),
        ),
        ([], {}, Limits()),
    ],
    ids=["v2 none", "v2", "v2 above", "v2 container", "v1", "v1 none", "nothing"],
)
def test_limits(tmp_path, groups, files, limits):
    """The tightest limit of a group and of those above it counts; what is not there is no limit."""
    assert tree(tmp_path, groups, files) == limits


def test_without_control_groups(tmp_path):
    """A system that has none sets no limits."""
    assert cgroup_limits(tmp_path / "nothing", tmp_path) == Limits()
