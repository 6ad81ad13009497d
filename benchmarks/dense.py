"""Dense evaluation at Q = 256 against PyTorch (Sect. 3.2).

  python -m benchmarks.dense [--images=FOLDER] [--scales 256] [--count 6]
      [--full] [--rounds 7] [--width 1]

Net D in float32, from decoded images to posteriors, mirror images included;
compilation is not timed. PyTorch takes an image and its mirror image at once,
unpadded. The last line is its time over ours, the median of the rounds; --full
times all images.
"""

from benchmarks import _dense, _peers
from vggjax import huge_pages

if __name__ == "__main__":
  huge_pages.begin_again()
  _dense.run(_peers.arguments(__doc__, scales=(256,), count=6))
