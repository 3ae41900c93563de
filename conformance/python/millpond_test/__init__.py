"""What the end-to-end tests share: the server as a process, encoders, players, and strict readers of what it wrote."""
