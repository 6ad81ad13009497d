"""Features, against a torch network and plain averages."""

import numpy as np
import pytest
import torch_nets
from torch_nets import unit

import vggjax
from vggjax.errors import InputError
from vggjax.features.extract import feature_buckets, layer_names

pytestmark = pytest.mark.usefixtures("quick_compile")
MEAN = (120.0, 110.0, 100.0)
LAYERS = ("conv1_1", "pool1", "conv3_2", "pool5", "fc6", "fc7")


def pictures():
  random = np.random.default_rng(5)
  shapes = ((40, 51), (64, 33), (39, 39), (90, 35))
  return [random.integers(0, 256, (*s, 3), np.uint8) for s in shapes]


def network(pool):
  params = torch_nets.small_params("B")
  model = vggjax.create_model("B", **torch_nets.SMALL, pool=pool)
  return model, params, torch_nets.torch_net("B", params, pool=pool)


def torch_descriptor(net, image, scale, layer):
  return torch_nets.descriptor(net, image, scale, layer, MEAN)


@pytest.mark.parametrize("pool", ["ceil", "floor"])
@pytest.mark.parametrize("layer", LAYERS)
def test_features_are_torchs(pool, layer):
  model, params, net = network(pool)
  found = vggjax.extract_features(
    model, params, pictures(), 37, mean=MEAN, layer=layer
  )
  wanted = [unit(torch_descriptor(net, p, 37, layer)) for p in pictures()]
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, wanted, atol=2e-5)
  # They could be told apart.
  assert np.ptp(found, axis=0).max() > 1e-3


def test_aggregates():
  model, params, net = network("ceil")
  scales = (33, 45)
  each = [
    [torch_descriptor(net, p, q, "fc7") for p in pictures()] for q in scales
  ]
  stacked = [
    unit(np.concatenate([unit(a), unit(b)])) for a, b in zip(*each, strict=True)
  ]
  wanted = {
    "average": [unit((a + b) / 2) for a, b in zip(*each, strict=True)],
    "max": [unit(np.maximum(a, b)) for a, b in zip(*each, strict=True)],
    "stack": stacked,
  }
  for aggregate, values in wanted.items():
    found = vggjax.extract_features(
      model, params, pictures(), scales, mean=MEAN, aggregate=aggregate
    )
    np.testing.assert_allclose(found, values, atol=2e-5, err_msg=aggregate)
  assert np.abs(np.subtract(wanted["max"], wanted["average"])).max() > 1e-3


def test_networks_alike_share_programs():
  model, params, _ = network("ceil")
  other = torch_nets.random_params(model)
  made = [
    feature_buckets(net, p, mean=mean, layer=layer)._function
    for net, p, mean, layer in (
      (model, params, MEAN, "fc7"),
      (model.clone(), other, list(MEAN), "fc7"),
      (model, params, MEAN, "fc6"),
      (model, params, (1, 2, 3), "fc7"),
      (network("floor")[0], params, MEAN, "fc7"),
    )
  ]
  assert made[1] is made[0]
  assert len({id(function) for function in made}) == 4


def test_of_a_feature_net():
  _, params, net = network("floor")
  options = {**torch_nets.SMALL, "num_outputs": 0}
  model = vggjax.create_model("B", **options, pool="floor")
  params = {k: v for k, v in params.items() if not k.startswith("fc")}
  found = vggjax.extract_features(
    model, params, pictures(), 40, mean=MEAN, layer="conv4_2"
  )
  wanted = [unit(torch_descriptor(net, p, 40, "conv4_2")) for p in pictures()]
  np.testing.assert_allclose(found, wanted, atol=2e-5)
  assert layer_names(model)[-1] == "pool5"
  for function in (vggjax.dense_posteriors, vggjax.multicrop_posteriors):
    with pytest.raises(InputError, match="no FC layers, and so give no scores"):
      function(model, params, pictures(), 40, mean=MEAN)


def test_of_boxes():
  model, params, net = network("ceil")
  boxes = [
    (3.4, 2.0, 47.9, 39.6),  # The pixels that it touches count.
    (-5.0, 1.0, 33.0, 70.0),  # Beyond the image there is nothing.
    (0, 0, 39, 39),
    (1.5, 20.5, 30.5, 60.5),
  ]
  parts = [(2, 40, 3, 48), (1, 64, 0, 33), (0, 39, 0, 39), (20, 61, 1, 31)]
  found = vggjax.extract_features(
    model, params, pictures(), 37, mean=MEAN, boxes=boxes
  )
  cut = [
    picture[top:bottom, left:right]
    for picture, (top, bottom, left, right) in zip(
      pictures(), parts, strict=True
    )
  ]
  wanted = [unit(torch_descriptor(net, p, 37, "fc7")) for p in cut]
  np.testing.assert_allclose(found, wanted, atol=2e-5)
  whole = vggjax.extract_features(model, params, pictures(), 37, mean=MEAN)
  assert np.abs(whole - found).max(axis=1)[[0, 1, 3]].min() > 1e-3


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"layer": "fc8"}, "'fc8' is not one of conv1_1"),
    ({"aggregate": "sum"}, "'sum' is not one of average, max, stack"),
    ({"test_scales": 31}, "at least 32 pixels"),
    ({"test_scales": ()}, "must hold one or more"),
    ({"mean": (1, 2)}, "mean must be 3 numbers"),
    ({"images": []}, "images is empty"),
    ({"boxes": [(0, 0, 9, 9)]}, "4 images and 1 boxes"),
    ({"boxes": [(0, 0, 9)] * 4}, r"image 0: box \[0, 0, 9\] must be four"),
    ({"boxes": [(60, 0, 70, 9)] * 4}, r"box \[60.0, .* covers nothing of the"),
    ({"boxes": [(9, 0, 9, np.nan)] * 4}, "must be four numbers"),
    ({"images": ["absent.png"]}, "absent.png: no such image file"),
  ],
)
def test_bad_input(options, message):
  model, params, _ = network("ceil")
  given = {"images": pictures(), "test_scales": 37, "mean": MEAN, **options}
  with pytest.raises(InputError, match=message):
    vggjax.extract_features(model, params, **given)
