"""From records to predictions: timeline, batches, device, publishing."""
