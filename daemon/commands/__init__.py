"""What each command does, apart from the service itself."""
