"""Measures model folders on labelled data, and reports on them."""
