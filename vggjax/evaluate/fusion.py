"""Averages of posteriors: over scales, protocols and networks (Sect. 4.4)."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vggjax.errors import InputError
from vggjax.evaluate.store import Posteriors


def fuse(members: Sequence[Posteriors]) -> Posteriors:
  """The mean of several posteriors of the same images (Sect. 4.4).

  Args:
    members: one or more, of the same examples in the same order.

  Returns:
    The mean; `about` lists the members'.

  Raises:
    InputError: if there is none, or their examples or labels differ.
  """
  if not members:
    raise InputError("there are no posteriors to fuse")
  first = members[0]
  for other in members[1:]:
    for what, a, b in (
      ("examples", first.ids, other.ids),
      ("labels", first.labels, other.labels),
      ("classes", first.posteriors.shape, other.posteriors.shape),
    ):
      if not np.array_equal(a, b):
        raise InputError(
          f"posteriors of different {what} cannot be fused: those of "
          f"{first.about} and of {other.about}"
        )
  total = np.zeros(first.posteriors.shape)
  for member in members:
    total += member.posteriors
  return dataclasses.replace(
    first,
    posteriors=(total / len(members)).astype(np.float32),
    about={"fusion_of": [member.about for member in members]},
  )
