"""A chat: a server and its clients over real sockets, in one program. `python -m examples.chat --help` says how."""
