"""The shapes of ImageNet's images, as of its first 128 for validation."""

# (height, width) in pixels: how many of the 128.
SHAPES = {
  (375, 500): 37,
  (500, 375): 14,
  (333, 500): 8,
  (334, 500): 6,
  (500, 500): 4,
  (400, 500): 3,
  (374, 500): 2,
  (383, 500): 2,
  (384, 500): 2,
  (450, 600): 2,
  (500, 334): 2,
  (90, 120): 1,
  (248, 700): 1,
  (296, 360): 1,
  (322, 500): 1,
  (332, 500): 1,
  (349, 500): 1,
  (354, 500): 1,
  (359, 500): 1,
  (363, 500): 1,
  (368, 500): 1,
  (376, 500): 1,
  (378, 500): 1,
  (380, 253): 1,
  (386, 500): 1,
  (394, 500): 1,
  (395, 500): 1,
  (395, 600): 1,
  (400, 264): 1,
  (409, 500): 1,
  (424, 500): 1,
  (426, 500): 1,
  (429, 500): 1,
  (432, 500): 1,
  (436, 650): 1,
  (440, 450): 1,
  (454, 500): 1,
  (464, 900): 1,
  (478, 620): 1,
  (480, 640): 1,
  (491, 369): 1,
  (500, 332): 1,
  (500, 333): 1,
  (500, 359): 1,
  (500, 366): 1,
  (500, 386): 1,
  (500, 389): 1,
  (500, 398): 1,
  (500, 400): 1,
  (500, 459): 1,
  (500, 470): 1,
  (510, 709): 1,
  (550, 688): 1,
  (550, 750): 1,
  (659, 800): 1,
  (720, 540): 1,
  (1000, 900): 1,
}


def common_shapes(number: int) -> list[tuple[int, int]]:
  """That many of the shapes that are not rare, in ImageNet's proportions.

  Without the rare ones few programs are compiled.
  """
  common = {shape: count for shape, count in SHAPES.items() if count > 1}
  total = sum(common.values())
  # The place of each image among all of them decides its shape.
  places = iter((i + 0.5) * total / number for i in range(number))
  place, end, result = next(places, None), 0, []
  for shape, count in common.items():
    end += count
    while place is not None and place < end:
      result.append(shape)
      place = next(places, None)
  return result
