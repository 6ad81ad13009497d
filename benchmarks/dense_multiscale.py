"""Dense evaluation at three scales against PyTorch (Sect. 3.2, Table 4).

  python -m benchmarks.dense_multiscale [--images=FOLDER] [--scales 256 384 512]
      [--count 1] [--full] [--rounds 7] [--width 1]

As `benchmarks.dense`; the posteriors are averaged over the scales.
"""

from benchmarks import _dense, _peers
from vggjax import huge_pages

if __name__ == "__main__":
  huge_pages.begin_again()
  _dense.run(_peers.arguments(__doc__, scales=(256, 384, 512), count=1))
