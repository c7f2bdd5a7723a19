"""What models are measured with. Knows no corpus."""
