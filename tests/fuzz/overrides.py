"""Config overrides: python -m tests.fuzz.overrides. See the package."""

import math
import sys

TOKENS = (
  *(b"=", b"nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"True", b"None"),
  *(b"(1,2)", b"(1,'a')", b"()", b"[]", b"{}", b"'", b'"', b"9" * 40, b"\n"),
  *(b"__import__('os').getcwd()", b"1.5", b"x" * 999, "é☃".encode(), b"\x00"),
  *(b".", b"..", b"0x10", b"1_000", b"1j", b"lambda: 0", b"(" * 300),
)


def seeds():
  """Some keys at a time, with values that are allowed."""
  from vggjax import config as configuration

  lines = [
    f"{key}={value!r}" if not isinstance(value, str) else f"{key}={value}"
    for key, value in configuration.defaults().items()
    if key != "dataset.validation_split"
  ]
  parts = [lines[i : i + 3] for i in range(0, len(lines), 3)]
  return {str(i): "\n".join(part).encode() for i, part in enumerate(parts)}


def check(data):
  """A config of the right types, finite and in range, or refused."""
  from vggjax import config as configuration
  from vggjax.errors import InputError

  lines = data.decode("utf-8", "surrogateescape").split("\n")
  arguments = ["--config=classification.py:A-256", "--workdir=runs/x"]
  arguments += [f"--config.{line}" for line in lines]
  try:
    config, _ = configuration.parse_arguments(arguments)
  except InputError as error:
    config, message = None, str(error)
  if config is None:
    assert message
    assert "\n" not in message
    return "refused"
  known = configuration.defaults()
  values = configuration.flatten(config)
  assert values.keys() == known.keys()
  for key, value in values.items():
    assert type(value) is type(known[key]), key
    assert not isinstance(value, float) or math.isfinite(value), key
    if isinstance(value, tuple):
      assert all(type(item) is int for item in value), key
  configuration.check(config)
  return "read"


if __name__ == "__main__":
  from fuzz import engine, overrides

  sys.exit(engine.main(overrides))
