"""From bytes to pictures, sound and lines."""
