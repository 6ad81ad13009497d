"""Training batches from JPEG files, against Pillow in a DataLoader (Sect. 3.1).

  python -m benchmarks.input [--images=FOLDER]

S in [256, 512], crop 224, mirrored and color-shifted, to numpy batches in
memory, on every core. The DataLoader, of a worker a core, makes the same crops
less the color shift. Prints what JPEG decoding alone allows, how the rate falls
as S grows, and the rates on photos of 40 megapixels made here. The last line is
our images a second over the DataLoader's.
"""

import contextlib
import math
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks import _input, _loader
from vggjax.cores import core_count

BATCH = 32
SCALES = [256, 384, 512, 640]
# Pillow rounds after each of its two passes.
TOLERANCE = 2


def race(source, train_scale, batches, repeats, batch_size=BATCH, epochs=8):
  """Compares, then times: our and their images a second."""
  windows = _input.draw_windows(source, train_scale, epochs)
  batch_size = min(batch_size, source.num_examples)
  our_batches = _input.ours(source, train_scale, batch_size)
  with contextlib.closing(_loader.batches(windows, batch_size)) as theirs:
    _input.compare(our_batches, theirs, source.num_examples, TOLERANCE)
    rates = _input.race(
      {"ours": our_batches, "theirs": theirs},
      batch_size,
      batches,
      repeats,
    )
  return rates["ours"], rates["theirs"]


def decoding_rates(windows, batches, repeats):
  """Images a second that all cores decode: whole, and of each its window.

  Nothing is read from disk, rescaled or copied.
  """
  import tensorflow as tf

  from vggjax.data import preprocess
  from vggjax.data.reading import parallel_map
  from vggjax.data.resampling import source_window

  def part(encoded, full, offset):
    size = tf.cast(tf.image.extract_jpeg_shape(encoded)[:2], tf.int64)
    start, stop = source_window(size, full, offset, [_input.CROP] * 2)
    box = tf.cast(tf.concat([start, stop - start], 0), tf.int32)
    return tf.image.decode_and_crop_jpeg(
      encoded, box, channels=3, dct_method="INTEGER_ACCURATE"
    )

  columns = (
    tf.constant([Path(window.path).read_bytes() for window in windows]),
    tf.constant([window.full for window in windows], tf.int64),
    tf.constant([window.offset for window in windows], tf.int64),
  )
  number = min(BATCH, len(windows))
  rates = []
  for function in (lambda encoded, *_: preprocess.decode(encoded), part):
    shapes = parallel_map(
      tf.data.Dataset.from_tensor_slices(columns).repeat(),
      lambda *row, decode=function: tf.shape(decode(*row)),
      per_core=4,
    )
    sides = {"": shapes.batch(number).as_numpy_iterator()}
    rates.append(_input.race(sides, number, batches, repeats)[""])
  return rates


def write_large(source, folder, megapixels):
  """Four mosaics of a source's images, 4:3."""
  height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
  width = round(height * 4 / 3)
  paths = [source.root / path for path in source.paths]
  (folder / "validation" / "large").mkdir(parents=True)
  for number in range(4):
    mosaic = Image.new("RGB", (width, height))
    turn = number
    for top in range(0, height, 300):
      for left in range(0, width, 400):
        with Image.open(paths[turn % len(paths)]) as photo:
          mosaic.paste(photo.convert("RGB").resize((400, 300)), (left, top))
        turn += 1
    path = folder / "validation" / "large" / f"{number}.jpg"
    mosaic.save(path, quality=90)


def main():
  """Prints the cases, then the ratio."""
  parser = _input.parser(__doc__.splitlines()[0])
  parser.add_argument(
    "--megapixels", type=float, default=40, help="size of the large photos"
  )
  parser.add_argument(
    "--scales", type=int, nargs="*", default=SCALES, help="S of the table"
  )
  options = parser.parse_args()
  if min(options.scales, default=_input.CROP) < _input.CROP:
    parser.error(f"--scales: S must be at least {_input.CROP}")
  source = _input.open_images(options.images, options.split, options.count)
  cores = core_count()

  few = min(options.repeats, 3)  # Of all but the main case.
  windows = _input.draw_windows(source, _input.TRAIN_SCALE, 1)
  whole, part = decoding_rates(windows, options.batches, few)
  print(
    f"decoding alone, {cores} cores: {whole:.0f} whole images/s, of each the "
    f"window {part:.0f}"
  )
  ours, theirs = race(
    source, _input.TRAIN_SCALE, options.batches, options.repeats
  )
  print(
    f"S in [256, 512], {cores} cores: ours {ours:.0f} images/s, DataLoader "
    f"{theirs:.0f}; ours a core {ours / cores:.0f}, {ours / part:.0%} of what "
    "decoding the windows allows"
  )
  for scale in options.scales:
    some, other = race(source, (scale, scale), options.batches, few, epochs=1)
    print(
      f"S = {scale}: ours {some:.0f} images/s, DataLoader {other:.0f}, "
      f"ratio {some / other:.2f}"
    )
  with tempfile.TemporaryDirectory() as folder:
    write_large(source, Path(folder), options.megapixels)
    large = _input.open_images(Path(folder), "validation")
    batches = min(options.batches, 4)
    some, other = race(large, _input.TRAIN_SCALE, batches, few, 2, epochs=2)
  print(
    f"{options.megapixels:g} megapixels: ours {some:.1f} images/s, DataLoader "
    f"{other:.1f}, ratio {some / other:.2f}"
  )
  print(f"ratio {ours / theirs:.2f}")


if __name__ == "__main__":
  main()
