"""The HTTP and WebSocket view of the alerts; knows nothing of Faust."""
