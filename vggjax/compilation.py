"""Compiled programs kept on disk, for the next process that needs them."""

import os

import jax

from vggjax.files import cache_folder

# Bytes; the programs longest unused go first.
LARGEST = 4 * 2**30
# A program that compiles faster is not kept, seconds.
LEAST_TIME = 0.02


def keep_programs() -> None:
  """Lets JAX keep compiled programs below `cache_folder`.

  JAX's own settings go before: JAX_COMPILATION_CACHE_DIR is another folder, and
  JAX_ENABLE_COMPILATION_CACHE=false keeps nothing.
  """
  if jax.config.jax_compilation_cache_dir is None:
    jax.config.update(
      "jax_compilation_cache_dir", str(cache_folder() / "programs")
    )
    jax.config.update("jax_compilation_cache_max_size", LARGEST)
  if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_TIME)
