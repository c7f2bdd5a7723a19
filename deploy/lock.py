"""Writes the locked packages anew, each file of each platform by its SHA-256: `make lock`.

constraints.txt is what the service runs on, deploy/constraints-dev.txt what training and tests need beside it, and
deploy/constraints-cuda.txt what PyTorch's CUDA builds need. Versions stay as they are while pyproject.toml allows them;
`--upgrade`, or `--upgrade-package NAME`, takes newer ones. PyTorch's builds for the CPU lie in an index of their own:
deploy/torch-cpu.sha256 holds the digests of those that were tried, as `sha256sum` prints them.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

DEPLOY = Path(__file__).parent
PROJECT = DEPLOY.parent
RUN, DEV, CUDA = PROJECT / "constraints.txt", DEPLOY / "constraints-dev.txt", DEPLOY / "constraints-cuda.txt"
CUDA_NAMES = re.compile(r"cuda-|nvidia-|triton$")
HEADS = {
    RUN: "What the service runs on: pip install --only-binary :all: --require-hashes --no-deps -r constraints.txt",
    DEV: "What training, evaluation and tests need beside constraints.txt.",
    CUDA: "What PyTorch's CUDA builds need beside constraints.txt; nothing but on Linux.",
}


def resolved(arguments: list[str], known: str) -> dict[str, str]:
    """Each package's lines, by its name. known: earlier lines, whose versions are kept where they can be."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lock.txt"
        out.write_text(known, encoding="utf-8")
        command = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11", "--no-config"]
        command += ["--generate-hashes", "--no-annotate", "--no-header", "--quiet", "-o", str(out), *arguments]
        subprocess.run(command, cwd=PROJECT, check=True)
        blocks = re.split(r"\n(?=[A-Za-z0-9])", out.read_text(encoding="utf-8").strip())
    return {block.partition("==")[0]: block for block in blocks}


def with_cpu_builds(torch: str) -> str:
    """The lines of torch, with the digests of the CPU builds of that version."""
    version = torch.split()[0].partition("==")[2]
    builds = [line.split() for line in (DEPLOY / "torch-cpu.sha256").read_text(encoding="utf-8").splitlines()]
    digests = [digest for digest, wheel in builds if wheel.startswith(f"torch-{version}+cpu-")]
    if not digests:
        print(
            f"deploy/torch-cpu.sha256 has no build of torch {version}: the CPU build will be refused", file=sys.stderr
        )
    return torch + "".join(f" \\\n    --hash=sha256:{digest}" for digest in digests if digest not in torch)


def main(options: list[str]) -> None:
    """options: of `uv pip compile`."""
    known = "\n".join(file.read_text(encoding="utf-8") for file in (RUN, DEV, CUDA) if file.exists())
    everything = resolved(["--extra", "dev", *options], known)
    everything["torch"] = with_cpu_builds(everything["torch"])
    needed = resolved([], "\n".join(everything.values()))
    files: dict[Path, list[str]] = {RUN: [], DEV: [], CUDA: []}
    for name, lines in everything.items():
        files[CUDA if CUDA_NAMES.match(name) else RUN if name in needed else DEV].append(lines)
    for file, blocks in files.items():
        file.write_text(f"# {HEADS[file]}\n# Written by `make lock`.\n" + "\n".join(blocks) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
