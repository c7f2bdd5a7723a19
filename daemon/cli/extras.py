"""Which extra a command lacks.

A plain install leaves some packages out; an error says what to install.
"""

EXTRA_BY_MODULE = {"scipy": "train", "sklearn": "train", "tensorboard": "train"}
"""The optional dependencies of pyproject.toml, by what is imported."""


class MissingExtra(Exception):
    """A package of an extra is not installed.

    The message says how to install it.
    """


def missing_extra(error: BaseException) -> MissingExtra | None:
    """The MissingExtra that `error` amounts to, if it does."""
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    extra = EXTRA_BY_MODULE.get(module)
    if extra is None:
        return None
    return MissingExtra(f"this needs {module}, which a plain install leaves out: pip install 'affectd[{extra}]'")
