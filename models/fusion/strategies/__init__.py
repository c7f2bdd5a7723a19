"""Trainable fusion strategies behind one interface."""
