"""The installed version of affectd."""

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """The version; "unknown" in a source tree that is not installed."""
    try:
        return version("affectd")
    except PackageNotFoundError:
        return "unknown"
