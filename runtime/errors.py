"""The errors that users see. Each says what went wrong, where, and what to do about it."""


class ConceptBenchError(Exception):
    """The work failed; what was done so far is kept. The command line exits with code 1."""

    exit_code = 1


class InputError(ConceptBenchError):
    """Wrong use or bad input: an option, a file, a line, a field. The command line exits with code 2."""

    exit_code = 2
