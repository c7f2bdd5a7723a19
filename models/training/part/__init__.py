"""What a part's training leaves: its folder, weights, figures and held-out logits."""
