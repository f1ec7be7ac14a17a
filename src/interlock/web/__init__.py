"""What surfaces share: the HTTP server, its hot-route protocol, request ids. No routes."""
