"""Precedence of settings, and messages on settings that are none."""

import pytest

from hpcmtl.errors import InputError
from hpcmtl.launch.slurm.settings import Level, gather, stop_seconds
from hpcmtl.launch.slurm.sites import find_site, sites_directory


@pytest.fixture
def home(tmp_path):
    """A configuration directory, and the environment that names it."""
    (tmp_path / "hpcmtl/sites").mkdir(parents=True)
    return tmp_path


def profile(home, name, text):
    """Write a site profile."""
    file = home / f"hpcmtl/sites/{name}.yaml"
    file.write_text(text)
    return file


def settings(home, options=None, section=None, **environ):
    """Settings from options, the section of a job file and the environment."""
    return gather(options or {}, section, "job.yaml", {"XDG_CONFIG_HOME": str(home), **environ})


@pytest.mark.parametrize("level", range(5))
def test_the_highest_level_has_the_word(home, level):
    """Command line before environment before job file before site before default, and each is named."""
    file = profile(home, "default", "time: 1m\n" if level >= 1 else "qos: x\n")
    section = {"time": "2m"} if level >= 2 else {}
    environ = {"HPCMTL_SLURM_TIME": "3m"} if level >= 3 else {}
    found = settings(home, {"time": "4m"} if level >= 4 else {}, section, **environ)

    named = [
        None,
        f"site profile {file}",
        "job file job.yaml (slurm.time)",
        "environment (HPCMTL_SLURM_TIME)",
        "command line (--time)",
    ][level]
    assert found["time"] == (60 * level or None)
    assert found.level("time") == Level(level)
    assert found.to_dict().get("time") == ({"value": f"00:0{level}:00", "from": named} if named else None)
    assert found.to_dict()["requeues"] == {"value": 5, "from": "default"}


def test_further_directives_add_up(home):
    """Settings that the levels leave out and add are all there, with all their names."""
    profile(home, "default", "extra: [--mem=0]\nmodules: gcc\n")
    told = settings(home, {"extra": ["--gpus=1"]}, {"extra": "--hint=x"}, HPCMTL_SLURM_MODULES="a, b").to_dict()

    assert told["extra"]["value"] == ["--mem=0", "--hint=x", "--gpus=1"]
    assert told["extra"]["from"].count(",") == 2
    assert told["modules"]["value"] == ["a", "b"]


def test_numbers_of_the_environment_are_texts(home):
    """Each key of a number takes its decimal text; a time, an account and a queue of digits stay texts."""
    numbers = ("nodes", "ntasks_per_node", "cpus_per_task", "gpus_per_task", "requeues", "stop_seconds", "throttle")
    environ = {f"HPCMTL_SLURM_{key.upper()}": str(at) for at, key in enumerate(numbers, 2)}
    found = settings(home, **environ, HPCMTL_SLURM_TIME="90", HPCMTL_SLURM_ACCOUNT="007", HPCMTL_SLURM_QOS="1")

    assert [found[key] for key in numbers] == [2, 3, 4, 5, 6, 7, 8]
    assert [found[key] for key in ("time", "account", "qos")] == [5400, "007", "1"]


def test_the_profile_is_chosen_by_the_highest_level(home, tmp_path):
    """A profile is named by option, environment or job file; by name or as a file; else `default` is taken if there."""
    for name in "abc":
        profile(home, name, f"qos: {name}\n")
    file = tmp_path / "other.yaml"
    file.write_text("qos: other\n")

    assert settings(home)["qos"] is None
    assert settings(home, {}, {"site": "a"})["qos"] == "a"
    assert settings(home, {}, {"site": "a"}, HPCMTL_SITE="b")["qos"] == "b"
    assert settings(home, {"site": "c"}, {"site": "a"}, HPCMTL_SITE="b")["qos"] == "c"
    assert settings(home, {"site": str(file)})["qos"] == "other"
    assert sites_directory({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}).as_posix() == "/h/.config/hpcmtl/sites"


@pytest.mark.parametrize(
    ("options", "environ", "message"),
    [
        ({"time": "soon"}, {}, r"command line: --time: 'soon' is no time limit"),
        ({"qos": "a b"}, {}, r"--qos: found 'a b'; write one word"),
        ({"launcher": "mpirum"}, {}, r"--launcher: found 'mpirum'; did you mean 'mpirun'"),
        (
            {},
            {"HPCMTL_SLURM_PARTITON": "x"},
            r"HPCMTL_SLURM_PARTITON: unknown key 'partiton'; did you mean 'partition'",
        ),
        ({}, {"HPCMTL_SLURM_NODES": "0"}, r"HPCMTL_SLURM_NODES: found 0;"),
        ({}, {"HPCMTL_SLURM_NODES": "two"}, r"HPCMTL_SLURM_NODES: found 'two'; write a number$"),
        ({}, {"HPCMTL_SLURM_THROTTLE": "2.5"}, r"HPCMTL_SLURM_THROTTLE: found 2.5"),
        ({"site": "lange"}, {}, r"site lange: no profile of that name in .*; did you mean 'large'"),
        ({"site": "./none.yaml"}, {}, r"there is no such file"),
        ({"site": "large"}, {}, r"large\.yaml: acount \(line 2\): unknown key 'acount'; did you mean 'account'"),
    ],
)
def test_what_is_no_setting_is_refused(home, options, environ, message):
    """The message names option, variable, or file with key and line, and what comes near."""
    profile(home, "large", "qos: x\nacount: y\n")

    with pytest.raises(InputError, match=message):
        settings(home, options, **environ)


def test_a_directory_is_no_profile(tmp_path):
    """Without any profile nothing is found, and only a name that was given is missed."""
    assert find_site(None, {"XDG_CONFIG_HOME": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [(None, 120), (1, 1), (20, 10), (60, 30), (120, 60), (599, 60), (1200, 120), (3600, 300), (10**6, 300)],
)
def test_time_to_stop(limit, seconds):
    """A tenth of the limit within one and five minutes, and never more than half of a short one."""
    assert stop_seconds(limit) == seconds
