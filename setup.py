"""Installs vggjax; configs/ and experiments/ go with it as its subpackages."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
  r'__version__ = "(.+)"', (ROOT / "vggjax/__init__.py").read_text()
)[1]

CORE = [
  "absl-py>=2.1,<3",
  "etils[epath]>=1.9,<2",
  # JAX bounds the programs that it keeps by it.
  "filelock>=3.12,<5",
  "flax>=0.12,<0.13",
  "jax>=0.10,<0.12",
  "ml-collections>=1.0,<2",
  "numpy>=2.0,<3",
  "optax>=0.2.5,<0.3",
  "orbax-checkpoint>=0.11.30,<0.13",
  "pillow>=11,<14",
  "safetensors>=0.5,<1",
  "scipy>=1.13,<2",
  "tensorboardX>=2.6,<3",
  "tqdm>=4.66,<5",
]
EXTRAS = {
  "data": [
    # tensorflow-cpu has no wheels for ARM.
    "tensorflow-cpu>=2.20,<2.22; platform_machine == 'x86_64'",
    "tensorflow>=2.20,<2.22; platform_machine != 'x86_64'",
    "tensorflow-datasets>=4.9.9,<5",
    "array-record>=0.8,<1",
    # tensorflow-datasets 4.9.10 imports it without requiring it.
    "importlib-resources>=6,<8",
  ],
  "gcs": ["etils[epath]>=1.15,<2", "gcsfs>=2025.3,<2027"],
  "plots": ["matplotlib>=3.9,<4"],
  "weights": ["h5py>=3.11,<4", "huggingface_hub>=0.30,<3"],
  "torch": ["torch==2.13.0"],
  "transfer": ["scikit-learn>=1.5,<2"],
  "test": [
    "hypothesis>=6.100,<7",
    "protobuf>=5,<8",
    "pyarrow>=16,<27",
    "pytest>=8,<10",
    "pytest-xdist>=3.5,<4",
    "scikit-learn>=1.5,<2",
  ],
}
EXTRAS["all"] = sorted(
  {package for group in EXTRAS.values() for package in group}
)
# Coverage-guided fuzzing; it has no wheels for every system.
EXTRAS["fuzz"] = ["atheris>=2.3,<4"]
EXTRAS["lint"] = ["import-linter>=2.1,<3", "ruff>=0.9,<1"]

setup(
  name="vggjax",
  version=VERSION,
  description="Very Deep Convolutional Networks (VGG) in JAX, all of the paper",
  long_description=(ROOT / "README.md").read_text(),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  python_requires=">=3.11",
  packages=find_packages(include=["vggjax", "vggjax.*"]),
  package_data={
    "vggjax": ["*.txt"],
    "vggjax.data.datasets": ["*.txt"],
    "vggjax.experiments": ["*.css"],
  },
  install_requires=CORE,
  extras_require=EXTRAS,
  entry_points={"console_scripts": ["vggjax = vggjax.__main__:run"]},
)
