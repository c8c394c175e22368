"""Warm start: a server with the heavy libraries imported forks a process for every stage that asks for one.

Importing torch, diffusers and transformers takes ten seconds of CPU, and DVC starts a process for each stage.
With OFT_WARM=1 that process becomes a thin client (client.py):

1. It connects to the server of its own kind (key.py), or starts one, over a Unix socket under .warm/. The
   server (server.py) says ``ready`` once it has imported its libraries.
2. It sends module, arguments, folder, environment and its standard streams (protocol.py). The server forks;
   the child (child.py) adopts all of these, says ``started PID`` and runs the module as ``python -m`` does.
3. It forwards signals, one byte each. The server answers ``exit STATUS`` when the child has ended, and the
   client ends the same way. When the client dies, the server kills the child's process group.

The server imports third-party libraries only, with the project out of its reach, so an edit of the project
always takes effect. It does nothing but import: when it forks it has no Python thread, no torch thread and no
CUDA context. OpenBLAS stops the threads that numpy's and scipy's copies start on import at a fork, and starts
them again where they are needed.

The server exits after OFT_WARM_IDLE_SECONDS (120) without a client, and when somebody changes or removes its
libraries or its socket. Forking after so many imports is known to be safe on Linux alone; elsewhere stages
start cold. They also start cold, with one line on stderr, if anything fails before the child has started.
"""

# Imports in this folder are relative: the server loads it under another name (__main__.py).
from .client import exit_with, run_in_server

__all__ = ["exit_with", "run_in_server"]
