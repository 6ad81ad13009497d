"""Every key with its default, its unit and its section of the paper.

The defaults are the paper's. `vggjax.config` checks types and ranges.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """The paper's settings for net A at S = 256."""
  config = ConfigDict()
  # "train", "evaluate", or "transfer": features of trained networks and linear
  # classifiers of another data set.
  config.task = "train"
  # Name of the run, for messages and pictures.
  config.run = "A-256"
  # Of initialization, data order, augmentation and dropout. For the same bits
  # twice on a GPU besides: XLA_FLAGS=--xla_gpu_deterministic_ops=true.
  config.seed = 0

  # --- The network (Sect. 2) ---
  # A, A-LRN, B, B-shallow, C, D or E.
  config.network = "A"
  # Factor on the channels of every layer but the last, in (0, 4].
  config.width = 1.0
  # Side of the training crop, pixels, a multiple of 32.
  config.crop_size = 224
  # Rounding of odd sides in max-pooling: "ceil" (Caffe) or "floor".
  config.pool = "ceil"
  # Constants of A-LRN's normalization: "krizhevsky" or "caffe".
  config.lrn = "krizhevsky"
  # Of fc6 and fc7, in [0, 1).
  config.dropout_rate = 0.5
  # "normal" (N(0, init_std^2)) or "glorot".
  config.initializer = "normal"
  config.init_std = 0.01
  # What the last layer predicts: "classes"; or a box, "scr": the same for all
  # classes, "pcr": one for each class (App. A).
  config.objective = "classes"
  # Of the computation: "float32", "bfloat16", or "float64" (JAX_ENABLE_X64=1).
  config.dtype = "float32"

  # --- Warm start and stages (Sect. 3.1) ---
  # The folder of a finished training run (a bare name stands beside the
  # workdir), or weights that `load_weights` takes: a file, or a name such as
  # "torchvision:vgg16". Their mean is subtracted, too. "": random.
  config.init_from = ""
  # "paper": conv1_1, conv2_1, conv3_1, conv3_2 and fc6 to fc8; "all"; "body":
  # all but fc8, for other classes; "convs": all but fc6 to fc8.
  config.init_layers = "paper"
  # "all", or "fc": only fc6, fc7 and fc8 are trained (Sect. 4.4).
  config.train_layers = "all"

  # --- Optimization (Sect. 3.1) ---
  # Images a step, over all devices and processes.
  config.batch_size = 256
  # Parts a device's share of a batch is computed in, one after the other.
  config.microbatches = 1
  # What is computed again for the gradient instead of being kept: "none", or
  # "blocks", all inside the blocks of Table 1: less memory, more time, the same
  # update.
  config.rematerialize = "none"
  config.momentum = 0.9
  # The L2 multiplier.
  config.weight_decay = 5e-4
  # Twice the rate and no decay for biases. Not in the paper.
  config.caffe_bias = False
  config.learning_rate = 1e-2
  # "plateau": divided by 10 when the center-crop top-1 error on the validation
  # split, at Q = S, stalls; "fixed": at `boundaries`.
  config.schedule = "plateau"
  # Not in the paper: epochs without improvement before a drop, and what counts
  # as an improvement, percentage points.
  config.patience = 5
  config.min_improvement = 0.1
  # Drops of the learning rate by the plateau schedule.
  config.max_drops = 3
  # Steps at which the fixed schedule divides the rate by 10.
  config.boundaries = ()
  # Length of the run: 74 epochs are 370K steps of ImageNet.
  config.num_epochs = 74
  # Length in steps; one of the two is 0.
  config.num_steps = 0

  # --- Data (Sect. 3.1) ---
  config.dataset = ConfigDict()
  # A tfds name, "shapes" or "shapes/easy" (built in), or "folder:PATH".
  config.dataset.source = "imagenet2012"
  # Where tfds keeps its data sets; "": its default.
  config.dataset.data_dir = ""
  config.dataset.train_split = "train"
  # Watched while training; "": none (then the schedule must be "fixed").
  config.dataset.validation_split = "validation"
  # For folders without splits: which images go where.
  config.dataset.split_seed = 0
  # For folders of images with a list: the CSV of labels, and the classes in
  # their order, one a line; both relative to the folder; "": the usual names.
  config.dataset.labels_csv = ""
  config.dataset.class_list = ""
  # For folders: the boxes of the images, a CSV file or a folder of XML files
  # relative to the folder; "": the usual places.
  config.dataset.boxes = ""
  # On an unreadable image: "raise" names it and stops; "skip" looks through
  # the split beforehand, leaves such images out and tells how many.
  config.dataset.on_error = "raise"
  # S in pixels: drawn from the integers [S_min, S_max] for each image.
  config.train_scale = (256, 256)
  # Random horizontal flip.
  config.mirror = True
  # RGB color shift of Krizhevsky et al.; standard deviation of its alphas.
  config.color_shift = True
  config.color_shift_std = 0.1
  # What scales the eigenvectors: "eigenvalues", or their "sqrt" (MatConvNet).
  config.color_shift_scale = "eigenvalues"

  # --- Evaluation (Sect. 3.2) ---
  # The split whose error is measured.
  config.split = "validation"
  # Q in pixels, one or more; (): the middle of train_scale.
  config.test_scales = ()
  # "dense", "multicrop" (5 x 5 crops at each Q), "both" (the mean of the two),
  # or "center" (the central crop alone).
  config.protocol = "dense"
  # Whether the mirror image's posteriors are averaged in.
  config.test_mirror = True
  # How a score map becomes posteriors: "scores" (average, then soft-max),
  # "posteriors" (soft-max at each position, then average) or "sum".
  config.spatial = "scores"
  # 2: pool5 begins at two places along each side, for score maps twice as fine
  # (App. A). Not in the paper's system.
  config.pool5_offsets = 1
  # What finds the five classes whose boxes are predicted, and rates the boxes:
  # a training run beside the workdir, or weights, as in `init_from`; several,
  # joined by commas, are averaged. "": the true class alone, known.
  config.classifier = ""
  # Boxes that match at most this badly are merged, see `localize.merge`; tuned
  # on the validation split.
  config.merge_threshold = 0.7
  # Images computed at once over all devices; 0: as many as suit their size.
  config.test_batch_size = 0
  # The checkpoint: "best", "last", or a step.
  config.checkpoint = "best"
  # Precision of matrix products: "highest", "high" or "default".
  config.test_precision = "highest"

  # --- Transfer (App. B) ---
  # Besides, `dataset.train_split`; `dataset.validation_split`, on which the
  # SVM's C is chosen ("": on a fifth of the training images); `split`, which is
  # tested; and `test_scales` count.
  config.transfer = ConfigDict()
  # Training runs or weights, as in `init_from`, joined by commas; their
  # features are stacked.
  config.transfer.networks = ""
  # The layer whose map is averaged.
  config.transfer.layer = "fc7"
  # How scales are combined: "average", "max" or "stack".
  config.transfer.aggregate = "average"
  # What of an image is described: "image" (all of it), "box" (the one that
  # comes with it), or "both", stacked.
  config.transfer.region = "image"
  # "recall" (mean class recall; a class an image), or, for several labels an
  # image, the mean average precision: "ap" or "ap11" (VOC-2007's).
  config.transfer.measure = "recall"
  # Splits drawn at random from the images of all splits named; 0: the splits as
  # they are.
  config.transfer.random_splits = 0
  # Of a random split: images of each class to train on, and at most to test;
  # 0: all that are left.
  config.transfer.train_per_class = 30
  config.transfer.test_per_class = 0

  # --- The run ---
  # Devices of this process; 0: all.
  config.num_devices = 0
  # Steps between two lines of metrics.
  config.log_every = 50
  # Steps between two checkpoints; each epoch's end saves one besides.
  config.checkpoint_every = 2000
  # The newest checkpoints kept; the best is kept besides.
  config.keep_checkpoints = 2
  # Whether to show progress bars, and to write pictures at the end.
  config.progress = True
  config.pictures = True
  return config
