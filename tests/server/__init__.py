"""The HTTP receiver (digitsite/server): its parts by themselves, and a real web server under slow and odd clients."""
