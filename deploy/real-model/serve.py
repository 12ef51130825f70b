"""Serves a model with llama.cpp's server on a free port of loopback: serve.py FILE

It serves until its standard input ends, so that it outlives nobody who has started it.
"""

import sys

import xllamacpp

parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.model_alias = {"random"}
parameters.hostnames = ["127.0.0.1"]
parameters.port = 0
parameters.offline = True
parameters.ui = False
# One call at a time: who waits for a slot that was not freed waits for ever.
parameters.n_parallel = 1
parameters.n_ctx = 0
parameters.endpoint_slots = True
parameters.endpoint_metrics = True
parameters.cpuparams.n_threads = 1
parameters.cpuparams_batch.n_threads = 1
# The same question has the same answer.
parameters.sampling.seed = 1
server = xllamacpp.Server(parameters)
print(f"real-model: listening on {server.listening_address} (random weights)", flush=True)
sys.stdin.read()
