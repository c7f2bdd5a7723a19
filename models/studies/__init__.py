"""The fusion study, whose tables `make reproduce` prints."""
