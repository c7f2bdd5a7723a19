"""Event time: watermarks, sessions, windows, units of encoding."""
