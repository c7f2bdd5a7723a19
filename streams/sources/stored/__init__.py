"""Sessions on disk: media files, chat scripts and recordings, played back."""
