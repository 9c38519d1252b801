"""What the user can mend."""


class InputError(ValueError):
    """Something in the user's files or parameters, told in one line.

    The message reads ``<file, exposure or parameter>: what is wrong: what to do``.
    """
