"""VGGFeatures: against torch, and as scikit-learn wants its transformers."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch_nets
from PIL import Image
from torch_nets import unit

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_checks, get_tags

import vggjax
from vggjax.errors import InputError
from vggjax.features import VGGFeatures

pytestmark = pytest.mark.usefixtures("quick_compile")
ROOT = Path(vggjax.__file__).parents[1]
MEAN = (120.0, 110.0, 100.0)
NO_TABLE = "images have no columns, and fit looks at none: "
# The checks that ask of an estimator what only a table can have.
OF_TABLES = {
  "check_n_features_in_after_fitting": NO_TABLE + "n_features_in_ is not set",
  "check_n_features_in": NO_TABLE + "n_features_in_ is not set",
  "check_transformer_general": NO_TABLE + "their number may change",
  "check_complex_data": NO_TABLE + "complex numbers are not refused in fit",
  "check_estimators_nan_inf": NO_TABLE + "NaN is not refused in fit",
  "check_estimators_empty_data_messages": NO_TABLE + "nor their absence",
  "check_estimator_sparse_tag": NO_TABLE + "sparse ones are not refused",
  "check_fit1d": NO_TABLE + "a table of one axis is not refused in fit",
  "check_fit2d_predict1d": "transform refuses it, but not by a ValueError",
}


def weights(network="B"):
  return vggjax.Weights(
    network, torch_nets.small_params(network), MEAN, **torch_nets.SMALL
  )


def pictures(count=4):
  random = np.random.default_rng(5)
  shapes = ((40, 51), (64, 33), (39, 39), (90, 35))
  return [
    random.integers(0, 256, (*shapes[i % 4], 3), np.uint8) for i in range(count)
  ]


def make(given=None, **options):
  """One whose programs compile quickly."""
  options = {"scales": 32, "layer": "conv1_1", **options}
  return VGGFeatures(given or weights("A"), **options)


def torch_descriptor(network, image, scale, layer):
  net = torch_nets.torch_net(network, torch_nets.small_params(network))
  return torch_nets.descriptor(net, image, scale, layer, MEAN)


class TestDescriptors:
  @pytest.mark.parametrize("aggregate", ["average", "max", "stack"])
  def test_are_torchs(self, aggregate):
    found = VGGFeatures(
      weights(), scales=(33, 45), layer="fc7", aggregate=aggregate
    ).fit_transform(pictures())
    wanted = {"average": [], "max": [], "stack": []}
    for image in pictures():
      a, b = (torch_descriptor("B", image, q, "fc7") for q in (33, 45))
      wanted["average"].append(unit((a + b) / 2))
      wanted["max"].append(unit(np.maximum(a, b)))
      wanted["stack"].append(unit(np.concatenate([unit(a), unit(b)])))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted[aggregate], atol=2e-5)
    assert np.abs(np.subtract(wanted["max"], wanted["average"])).max() > 1e-3

  def test_of_two_networks_are_stacked(self):
    model = make([weights("A"), weights("B")], layer="fc6")
    found = model.fit_transform(pictures())
    wanted, slipped = [], []
    for image in pictures():
      both = [torch_descriptor(net, image, 32, "fc6") for net in "AB"]
      wanted.append(unit(np.concatenate([unit(x) for x in both])))
      slipped.append(unit(np.concatenate(both)))
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.abs(np.subtract(wanted, slipped)).max() > 1e-2

  def test_without_the_mirror_image(self):
    image = pictures(1)[0]
    # The second is its own mirror image.
    X = [image, np.concatenate([image, image[:, ::-1]], axis=1)]
    with_it, without = (make(mirror=m).fit_transform(X) for m in (True, False))
    differences = np.abs(with_it - without).max(axis=1)
    assert differences[0] > 1e-4
    assert differences[1] < 1e-6

  def test_images_and_paths_and_arrays_of_them(self, tmp_path):
    images = [np.ascontiguousarray(p[:33, :33]) for p in pictures()]
    paths = [tmp_path / f"{i}.png" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
      Image.fromarray(image).save(path)
    model = make().fit(images)
    wanted = model.transform(images)
    assert np.ptp(wanted, axis=0).max() > 1e-3
    for X in (
      np.stack(images),
      paths,
      [str(p) for p in paths],
      np.array([str(p) for p in paths]),
      np.array(paths, object),
      (images[0], paths[1], images[2], str(paths[3])),
    ):
      np.testing.assert_allclose(model.transform(X), wanted, atol=1e-6)

  def test_the_number_and_the_names(self):
    for given, options, count in (
      (weights("A"), {"layer": "pool1"}, 4),
      (weights("A"), {"layer": "conv3_2", "scales": (32, 40)}, 16),
      (weights("A"), {"scales": (32, 40, 48), "aggregate": "stack"}, 12),
      (
        [weights("A"), weights("B")],
        {"layer": "fc7", "scales": [32, 40], "aggregate": "stack"},
        1024,
      ),
    ):
      model = make(given, **options).fit(None)
      assert model.n_features_out == count
      assert model.transform(pictures(1)).shape == (1, count)
      names = model.get_feature_names_out()
      assert names[0] == "vggfeatures0"
      assert len(set(names)) == count


class TestWeights:
  def test_of_a_file(self, tmp_path):
    path = tmp_path / "a.safetensors"
    vggjax.save_weights(path, weights("A"))
    wanted = make().fit_transform(pictures())
    for given in (path, str(path), [path], (str(path),)):
      found = make(given).fit_transform(pictures())
      np.testing.assert_array_equal(found, wanted)
    both = make([path, weights("B")]).fit_transform(pictures())
    np.testing.assert_allclose(both[:, :4], wanted / 2**0.5, atol=1e-6)

  def test_of_a_run(self, saved):
    model = make(str(saved)).fit(None)
    best = vggjax.load_weights(saved)
    np.testing.assert_array_equal(
      model.transform(pictures()), make(best).fit_transform(pictures())
    )

  def test_a_pickle_holds_them(self, tmp_path):
    path = tmp_path / "a.safetensors"
    vggjax.save_weights(path, weights("A"))
    model = make(path).fit(None)
    stored = pickle.dumps(model)
    path.unlink()
    np.testing.assert_array_equal(
      pickle.loads(stored).transform(pictures()), model.transform(pictures())
    )
    with pytest.raises(NotFittedError):
      pickle.loads(pickle.dumps(make(path))).transform(pictures())

  def test_clones_share_them(self):
    for given in (weights("A"), [weights("A"), weights("B")]):
      model = make(given, aggregate="max").fit(None).set_output(transform=None)
      model.set_output(transform="default")
      copied = clone(model)
      assert copied.weights is given
      assert copied.get_params() == model.get_params()
      assert copied._sklearn_output_config == {"transform": "default"}
      assert not hasattr(copied, "weights_")
      assert model.weights is given
    copied = clone(make([1, 2]))
    assert copied.weights == [1, 2]


class TestScikitLearn:
  def images(self):
    """Two classes that differ by their stripes' direction."""
    random = np.random.default_rng(2)
    X, y = [], []
    for i in range(16):
      image = random.integers(0, 100, (36, 36, 3), np.uint8)
      stripes = image if i % 2 else image.transpose(1, 0, 2)
      stripes[::4] += random.integers(20, 80, dtype=np.uint8)
      X.append(image)
      y.append(("standing", "lying")[i % 2])
    return X, np.array(y)

  def test_in_a_pipeline(self):
    X, y = self.images()
    pipeline = make_pipeline(make(), LinearSVC(C=100))
    pipeline.fit(X[:12], y[:12])
    assert pipeline.score(X[12:], y[12:]) == 1
    assert pipeline[:-1].get_feature_names_out().shape == (4,)

  def test_in_a_grid_search(self):
    X, y = self.images()
    folds = StratifiedKFold(2)
    pipeline = make_pipeline(make(scales=(32, 36)), LinearSVC(C=0.1))
    grid = {
      "vggfeatures__aggregate": ["max", "stack"],
      "vggfeatures__layer": ["conv1_1", "conv2_1"],
    }
    search = GridSearchCV(
      pipeline, grid, cv=folds, refit=False, error_score="raise"
    ).fit(X, y)
    given = weights("A")
    wanted = []
    for options in search.cv_results_["params"]:
      features = vggjax.extract_features(
        given.create_model(),
        given.params,
        X,
        (32, 36),
        mean=MEAN,
        layer=options["vggfeatures__layer"],
        aggregate=options["vggfeatures__aggregate"],
      )
      scores = [
        LinearSVC(C=0.1).fit(features[a], y[a]).score(features[b], y[b])
        for a, b in folds.split(features, y)
      ]
      wanted.append(np.mean(scores))
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], wanted)
    assert np.ptp(wanted) > 0

  def test_into_a_data_frame(self):
    pandas = pytest.importorskip("pandas")
    model = make().set_output(transform="pandas")
    frame = model.fit_transform(pictures())
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == [f"vggfeatures{i}" for i in range(4)]

  def test_before_fit(self):
    for use in (
      lambda m: m.transform(pictures()),
      lambda m: m.get_feature_names_out(),
      lambda m: m.n_features_out,
    ):
      with pytest.raises(NotFittedError, match="is not fitted yet"):
        use(make())

  def test_tags(self):
    tags = get_tags(make())
    assert not tags.input_tags.two_d_array
    assert not tags.input_tags.three_d_array
    assert tags.input_tags.one_d_array
    assert tags.input_tags.string
    assert tags.requires_fit
    assert not tags.target_tags.required
    assert not tags.no_validation
    assert tags.transformer_tags.preserves_dtype == []

  def test_its_checks(self):
    """With tables whose rows are turned into images on their way."""
    with pytest.warns(match="Can't test estimator VGGFeatures which requires"):
      estimator_checks.check_estimator(make())
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # Of the checks that were skipped.
      results = estimator_checks.check_estimator(
        OnTables(weights("A"), scales=32, layer="conv1_1"),
        expected_failed_checks=OF_TABLES,
      )
    status = {r["check_name"]: r["status"] for r in results}
    assert len(status) > 30
    # It needs a variable in the environment before SciPy is imported.
    skipped = {name for name, s in status.items() if s == "skipped"}
    assert skipped <= {"check_array_api_input"}
    for name in OF_TABLES.keys() & status.keys():
      assert status[name] == "xfail", name


class OnTables(VGGFeatures):
  """Takes each row of a table for an image, of its values in turn."""

  def __sklearn_tags__(self):
    tags = super().__sklearn_tags__()
    tags.input_tags.two_d_array = True
    tags.input_tags.one_d_array = False
    return tags

  def transform(self, X):
    rows = np.asarray(X)
    if rows.ndim == 2:
      pixels = np.clip(128 + 20 * rows.astype(float), 0, 255).astype(np.uint8)
      rows = np.stack([np.resize(row, (32, 32, 3)) for row in pixels])
    return super().transform(rows)


class TestRefused:
  @pytest.mark.parametrize(
    ("options", "message"),
    [
      ({"given": [3]}, "weights has a int; each must be a path, a name or W"),
      ({"given": 3}, "weights is of type int; it must be a path, a name, W"),
      ({"given": ["absent.pth"]}, "absent.pth: no such file"),
      ({"scales": 31.5}, "scales is of type float; it must be one or several"),
      ({"scales": None}, "scales is of type NoneType"),
      ({"scales": ()}, r"^scales is \(\); it must hold one or more"),
      ({"scales": (32, 31)}, r"^scales is \(32, 31\); .* at least 32 pixels"),
      ({"scales": "256"}, r"^scales is \('2', '5', '6'\)"),
      ({"layer": "fc8"}, "layer 'fc8' is not one of conv1_1, "),
      ({"layer": None}, "layer is of type NoneType; it must be a layer's name"),
      ({"given": [weights("B"), weights("A")], "layer": "conv1_2"}, "conv1_2"),
      ({"aggregate": "sum"}, "aggregate 'sum' is not one of average, max"),
      ({"mirror": "no"}, "mirror is of type str; it must be True or False"),
      ({"batch_size": 12.0}, "batch_size is of type float"),
      ({"batch_size": 12}, "batch size is 12; it must be a multiple of the 8"),
      ({"batch_size": -8}, "batch size is -8; it must be a multiple"),
    ],
  )
  def test_parameters(self, options, message):
    model = make(**options)  # Not here.
    with pytest.raises(InputError, match=message) as caught:
      model.fit(pictures())
    assert "\n" not in str(caught.value)
    assert not hasattr(model, "weights_")

  def test_no_weights(self):
    with pytest.raises(InputError, match="weights is empty; give at least one"):
      VGGFeatures([]).fit(None)

  @pytest.mark.parametrize(
    ("X", "message"),
    [
      ("one.png", "X is a str; it must be a list of images"),
      (Path("one.png"), "X is a .*Path; it must be a list of images"),
      (pictures(1)[0], r"X is a ndarray of uint8 \[40, 51, 3\]; it must be a"),
      (np.zeros((4, 3)), r"X is a ndarray of float64 \[4, 3\]; it must be"),
      (np.zeros((2, 32, 32, 3)), r"of float64 \[2, 32, 32, 3\]; it must be"),
      (np.zeros((2, 32, 32, 4), np.uint8), r"of uint8 \[2, 32, 32, 4\]; it"),
      (np.zeros(3), r"X\[0\] is a float64; it must be an image, uint8"),
      (7, "X is a int; it must be a list of images"),
      ([pictures(1)[0], None], r"X\[1\] is a NoneType; it must be an image"),
      ([np.zeros((40, 40, 3))], r"image 0 is float64 \[40, 40, 3\]; it must"),
      ([np.zeros((40, 40), np.uint8)], r"image 0 is uint8 \[40, 40\]; it must"),
      ([], "images is empty; give at least one"),
      (["absent.png"], "absent.png: no such image file"),
    ],
  )
  def test_images(self, X, message):
    with pytest.raises(InputError, match=message):
      make().fit(X).transform(X)


class TestImport:
  def run(self, code):
    return subprocess.run(
      [sys.executable, "-c", code],
      cwd=ROOT,
      capture_output=True,
      text=True,
      timeout=300,
    )

  def test_is_lazy(self):
    result = self.run(
      "import sys, vggjax.features as f; print('sklearn' in sys.modules);"
      "f.VGGFeatures; print('sklearn' in sys.modules); f.VGG"
    )
    assert result.stdout.split() == ["False", "True"]
    assert "module 'vggjax.features' has no attribute 'VGG'" in result.stderr

  def test_without_scikit_learn(self):
    result = self.run(
      "import sys; sys.modules['sklearn'] = sys.modules['sklearn.base'] = None;"
      "from vggjax.features import VGGFeatures"
    )
    assert result.stderr.splitlines()[-1] == (
      "vggjax.errors.InputError: VGGFeatures needs scikit-learn: pip install "
      "'vggjax[transfer]'"
    )
