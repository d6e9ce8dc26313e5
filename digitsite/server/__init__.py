"""HTTP receiver: an ASGI application that runs Django's WSGI handler in a bounded pool of threads.

The web server (granian) gives every request to `receiver.Receiver` on its event loop. Request bodies are received
there, with a deadline, a minimum rate and a byte budget, and large responses are sent from there, so neither a slow
sender nor a slow reader occupies a thread. See docs/adr/0001-receive-without-a-thread.md.

`python -m digitsite.server --host 127.0.0.1 --port 8000` starts the web server.
"""
