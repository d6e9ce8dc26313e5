"""HTTP receiver: an ASGI application that runs Django's WSGI handler in a bounded pool of threads.

The web server (granian) passes every request to `receiver.Receiver` on its event loop. The loop receives request
bodies, with a deadline, a minimum rate and a byte budget, and sends large responses, so that slow clients occupy no
thread. See docs/adr/0001-receive-without-a-thread.md.

`python -m digitsite.server --host 127.0.0.1 --port 8000` starts the web server.
"""
