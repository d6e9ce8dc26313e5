"""Personal data, exports of labelled data, and demo data."""
