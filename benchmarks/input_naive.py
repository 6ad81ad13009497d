"""Training batches from JPEG files, against plain tf.data (Sect. 3.1).

  python -m benchmarks.input_naive [--images=FOLDER]

S in [256, 512], crop 224, mirrored and color-shifted, to numpy batches in
memory, on every core. The peer decodes whole images, rescales them by
tf.image.resize, antialiased, and crops; in the same parallel map, of the same
windows, less the color shift. The last line is our images a second over its.
"""

from benchmarks import _input
from vggjax.cores import core_count

BATCH = 32
# Of unrounded values that differ by less than 0.01.
TOLERANCE = 1


def naive(windows, batch_size):
  """uint8 [B, CROP, CROP, 3] each."""
  import tensorflow as tf

  from vggjax.data.reading import parallel_map

  def crop(path, full, offset, mirrored):
    image = tf.io.decode_jpeg(
      tf.io.read_file(path), 3, dct_method="INTEGER_ACCURATE"
    )
    image = tf.image.resize(image, full, antialias=True)
    image = tf.image.crop_to_bounding_box(
      image, offset[0], offset[1], _input.CROP, _input.CROP
    )
    image = tf.cond(
      mirrored, lambda: tf.image.flip_left_right(image), lambda: image
    )
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)

  columns = tuple(tf.constant(column) for column in zip(*windows, strict=True))
  places = tf.data.Dataset.from_tensor_slices(columns).repeat()
  batches = parallel_map(places, crop, per_core=4)
  batches = batches.batch(batch_size, drop_remainder=True)
  return batches.prefetch(2).as_numpy_iterator()


def main():
  """Prints the rates, then the ratio."""
  options = _input.parser(__doc__.splitlines()[0]).parse_args()
  source = _input.open_images(options.images, options.split, options.count)
  batch_size = min(BATCH, source.num_examples)
  windows = _input.draw_windows(source, _input.TRAIN_SCALE, 8)
  ours = _input.ours(source, _input.TRAIN_SCALE, batch_size)
  theirs = naive(windows, batch_size)
  _input.compare(ours, theirs, source.num_examples, TOLERANCE)
  rates = _input.race(
    {"ours": ours, "naive": theirs},
    batch_size,
    options.batches,
    options.repeats,
  )
  print(
    f"S in [256, 512], {core_count()} cores: ours {rates['ours']:.0f} "
    f"images/s, plain tf.data {rates['naive']:.0f}"
  )
  print(f"ratio {rates['ours'] / rates['naive']:.2f}")


if __name__ == "__main__":
  main()
