"""Voices of a user's manifest, to train the speech network on.

A row's sound has the row's emotion, and its group is its speaker. Copies of a recording are used once, and never on
both sides of a split. Calm and boredom are none of a manifest's labels.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from models.data.corpora.speech import Clip
from models.data.user.cleaning import LeftOut, UnusableError, usable, without_copies
from models.data.user.manifest import USER_CORPUS, Sample, check_enough, read_manifest
from models.data.user.media import sound_of
from models.speech.activity import VoiceActivity
from models.speech.segment import SEGMENT_SAMPLES

_MODALITY = "audio"

Recording = tuple[Clip, bytes]
"""A row's clip, and a digest of its sound, which takes the place of the sound itself in memory."""


def read_user_voices(folder: Path) -> tuple[list[Clip], list[Clip], LeftOut]:
    """The clips for training, those for validation, and what was left out.

    Their sound is read by `sound_of`.

    Raises ManifestError for a manifest that cannot be used, TooFewRowsError for too few voices in it.
    """
    voice_activity, left_out = VoiceActivity(), LeftOut()

    def recordings(sample: Sample) -> Sequence[Recording]:
        if sample.emotion is None:
            raise UnusableError("no emotion")
        if sample.audio is None:
            return []
        pcm = sound_of(sample.audio)
        pairs = (pcm[start : start + SEGMENT_SAMPLES] for start in range(0, len(pcm), SEGMENT_SAMPLES))
        if not any(voice_activity(pair).voiced.any() for pair in pairs):
            raise UnusableError("no voice")
        clip = Clip(sample.audio, USER_CORPUS, f"{USER_CORPUS}-{sample.group}", sample.emotion)
        return [(clip, hashlib.sha256(pcm.tobytes()).digest())]

    with_sound = [sample for sample in read_manifest(folder) if sample.audio is not None]
    usable_recordings = usable(with_sound, _MODALITY, recordings, left_out)
    unique = without_copies(usable_recordings, lambda recording: recording[1], _MODALITY, left_out)
    train, valid = ([clip for s, (clip, _) in unique if s.split == split] for split in ("train", "valid"))
    check_enough(folder, "voice", *([clip.emotion for clip in part] for part in (train, valid)))
    return train, valid, left_out
