"""The sample session of `affectd demo` and `affectd bench`.

`tests/sample` makes it.
"""

from pathlib import Path

SAMPLE = Path(__file__).parent / "sample.mp4"
"""Its chat lies beside it."""
