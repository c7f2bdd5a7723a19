"""Features, encoders, fusion, calibration, training and evaluation. Imports neither `streams` nor `daemon`."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported: nothing leaves unasked
