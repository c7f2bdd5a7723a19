"""Live chat: a file, standard input, a socket, or HTTP."""
