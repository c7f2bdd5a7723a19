"""The sample session that `affectd demo` plays and `affectd bench` measures with; `tests/sample` makes it."""

from pathlib import Path

SAMPLE = Path(__file__).parent / "sample.mp4"
"""Its chat lies beside it."""
