"""Speech: voice activity, Whisper features, emotion network."""
