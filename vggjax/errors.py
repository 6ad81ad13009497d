"""The exceptions that carry a message meant for the user."""


class InputError(Exception):
  """Bad input: a file, a key or a value that the user can mend.

  The message is one line that names what is wrong and what to do. `main` and
  the command line print it without a traceback and exit with status 2.
  """


class NonFiniteError(RuntimeError):
  """The loss or the gradient is no longer a finite number."""


class StorageError(RuntimeError):
  """Something cannot be stored; the message says what is kept."""


class StoppedError(Exception):
  """Training has saved its state and stopped, because it was asked to."""
