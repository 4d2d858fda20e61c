"""The error that is the user's to mend."""


class InputError(ValueError):
    """A config, file or run directory that the program was given is at fault.

    The message is one line that names the file, row, column or key, the value and what was expected; launch scripts
    print it without a traceback.
    """
