"""Reasons of drops, dead letters and closed windows, as closed sets.

Their values are labels of metrics, words of the log, headers of dead letters and fields of predictions: public names
that do not change. A drop is a policy of ours, and the record may be a good one. A dead letter is a record that cannot
be used.
"""

from enum import StrEnum


class ClosedBy(StrEnum):
    """What closed a window.

    The label of `windows_closed`, and a field of a prediction.
    """

    WATERMARK = "watermark"
    """Event time: the watermark reached its end by what was received."""
    IDLE = "idle"
    """Silence: every stream was idle, and the watermark ran on."""
    END = "end"
    """The session ended."""
    DRAIN = "drain"
    """The daemon stops."""


class DropReason(StrEnum):
    """Why a policy dropped an event or record; label of `events_dropped`."""

    OVERRUN = "overrun"
    """The channel of a device was full: the oldest record went."""
    STOPPED = "stopped"
    """It came after its channel was closed, in a drain."""
    OVERFLOW = "overflow"
    """PortAudio lost sound of a microphone, or our queue behind it was full."""
    AHEAD_OF_CLOCK = "ahead_of_clock"
    """A microphone gave more sound than time has passed."""
    SAMPLED_OUT = "sampled_out"
    """A picture beyond `video.sample_hz`."""
    REPEAT = "repeat"
    """The same event again."""
    LATE = "late"
    """All windows of the event were closed, and past their grace."""
    ALREADY_SCORED = "already_scored"
    """Its windows were published before a restart: it was read again for those that were not."""
    RETENTION = "retention"
    """The log deleted it before it was read."""
    UNREADABLE = "unreadable"
    """The log cannot give it back: its batch is damaged."""
    MASKED = "masked"
    """Its participant (`participants.score`) or modality (`model.modalities`) is not to be scored."""
    INFERENCE = "inference"
    """The device is broken: another process reads it again, where it came from a log."""


class UntoldReason(StrEnum):
    """Why somebody has no row of their own; label of `participants_untold`."""

    TOO_MANY = "too_many"
    """There are more than `participants.most_participants` in the window."""
    CHANNELS = "channels"
    """A sound has another number of channels than there are names for."""
    NOT_FINITE = "not_finite"
    """The model gives no finite scores for what is theirs."""


class UtteranceOutcome(StrEnum):
    """What became of an utterance; label of `utterances`."""

    TRANSCRIBED = "transcribed"
    """Its words are in windows."""
    NO_WORDS = "no_words"
    """There is voice in it, and no word."""
    NO_SPEECH = "no_speech"
    """Words were read where the recogniser hears no speech."""
    LOW_CONFIDENCE = "low_confidence"
    """Words were read that the recogniser itself does not believe."""
    REPETITION = "repetition"
    """The same words again and again."""
    COMPRESSION = "compression"
    """Text that repeats itself in other ways."""
    KNOWN_PHRASE = "known_phrase"
    """A phrase that recognisers invent where there is nothing."""
    OVERLOAD = "overload"
    """Dropped: more was said than could be transcribed in time."""


class DeadLetterReason(StrEnum):
    """Why a record cannot be used; label of `dead_letters`.

    In Kafka it is the header `x-error-reason`.
    """

    CONTENT_TYPE = "content_type"
    """A type that is not read, or a parameter of it that does not hold."""
    CONTENT_ENCODING = "content_encoding"
    """It is compressed once more; only `identity` is read."""
    CORRUPT = "corrupt"
    """Picture or sound that is damaged, cut short, or something else than it says."""
    EMPTY = "empty"
    """There is nothing in it."""
    OVERSIZED = "oversized"
    """Too many bytes, pixels, scans, samples or seconds."""
    ABSURD_TIME = "absurd_time"
    """Its event time is before 1990, after 2099, or too far from when it was written or received."""
    INVALID_TIME = "invalid_time"
    """It has no event time that can be read."""
    MISSING_KEY = "missing_key"
    """Neither key nor `ce_subject` names its session."""
    INVALID_SESSION = "invalid_session"
    """Its session's name has not 1 to 256 printable characters of UTF-8."""
    INVALID_PARTICIPANT = "invalid_participant"
    """The name of a participant or a channel has not 1 to 256 printable characters of UTF-8."""
    INVALID_UTF8 = "invalid_utf8"
    """Text that is not UTF-8, and says nothing else."""
    INVALID_TEXT = "invalid_text"
    """Text that is not in the character set that it states."""
    INVALID_JSON = "invalid_json"
    """Not one JSON object with a `text`, each key once."""
    INVALID_SIGNAL = "invalid_signal"
    """A signal without a name, or with a value or confidence that is not in 0..1."""
    INVALID_CHAT_LINE = "invalid_chat_line"
    """A line of a chat script without `text` or with an `at_s` that cannot be."""
    INVALID_RECORD = "invalid_record"
    """A line of a recording that cannot be read."""
    UNDECODABLE = "undecodable"
    """A packet of a media file that its decoder refused."""
    FULL = "full"
    """Chat posted over HTTP while too many messages waited: it is to be posted again."""
    CLOSED = "closed"
    """Chat posted over HTTP before its source was open, or in a drain."""
    CRASHED = "crashed"
    """The process ended twice while it worked on this record."""
    INFERENCE = "inference"
    """The model cannot compute it, though the device works."""
    INTERNAL = "internal"
    """An error of ours that this record brought about."""


class BadRecord(Exception):
    """A record that cannot be used: it becomes a dead letter."""

    def __init__(self, reason: DeadLetterReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
