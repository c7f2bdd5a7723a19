"""The model card: a page for people, written from the manifest alone, so that no figure in it is typed by hand."""

from models.artifact import Manifest


def model_card(manifest: Manifest) -> str:
    """Returns Markdown."""
    return f"# {manifest.name} {manifest.version}\n"
