"""Small files in the layout of the fusion corpora, with labels that can be learned."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from models.data.fusion.corpora import RAVDESS_LABELS

ACTORS = 10
CLIPS = 16
VIDEOS = 12


def write_ravdess(data: Path, **changed: object) -> None:
    """Clips in the order of their emotions, actors taking turns, as in the original. changed: arrays of the npz."""
    (data / "speech").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = [
        {"file": f"ravdess/{clip:02d}-{actor:02d}.flac", "actor": f"{actor:02d}", "emotion": RAVDESS_LABELS[clip % 8]}
        | {"fold": str(actor % 5)}
        for clip in range(CLIPS)
        for actor in range(ACTORS)
    ]
    with (data / "speech" / "ravdess.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    label = np.array([RAVDESS_LABELS.index(row["emotion"]) for row in rows])
    actor = np.array([int(row["actor"]) for row in rows])
    shown = 3.0 * np.eye(8)[label] + rng.normal(size=(len(rows), 8)) + actor[:, None]  # actors have levels of their own
    arrays: dict[str, object] = {
        "names": np.array([Path(row["file"]).stem for row in rows]),
        "au": rng.normal(size=(len(rows), 35)).astype(np.float32),
        "face_logits": shown.astype(np.float32),
        "speech_logits": (shown + rng.normal(size=shown.shape)).astype(np.float32),
        "posterior_classes": np.array(RAVDESS_LABELS),
    }
    np.savez(data / "speech" / "ravdess_face_au.npz", **{**arrays, **changed})  # type: ignore[arg-type]


def write_mosi(
    data: Path, split: str = "train", words: bool = False, changed: Mapping[str, object] | None = None
) -> None:
    """Utterances in no order. changed: arrays; None leaves one out."""
    (data / "fusion").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    rows = [(f"video{video:02d}", place) for video in range(VIDEOS) for place in range(1, 5 + video)]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    label = rng.integers(0, 2, len(rows))
    sign = np.where(label == 1, 1.0, -1.0)[:, None]
    arrays: dict[str, object] = {
        "text": (sign + rng.normal(size=(len(rows), 10))).astype(np.float32),
        "audio": rng.normal(size=(len(rows), 7)).astype(np.float32),
        "video": (0.5 * sign + rng.normal(size=(len(rows), 10))).astype(np.float32),
        "label": label.astype(np.int8),
        "video_id": np.array([video for video, _ in rows]),
        "order": np.array([place for _, place in rows], dtype=np.int16),
    }
    if words:
        arrays["transcript"] = np.array(["I LOVED IT" if said else "IT WAS AWFUL" for said in label])
    kept = {name: array for name, array in {**arrays, **(changed or {})}.items() if array is not None}
    np.savez(data / "fusion" / f"mosi_{split}.npz", **kept)  # type: ignore[arg-type]
