"""Where records enter: devices, files, chat."""
