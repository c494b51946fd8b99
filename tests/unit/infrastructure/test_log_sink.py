import os

import pytest

from infrastructure.log_sink import LINE_BYTES, Sink


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


def test_a_line_goes_out_whole(pipe):
    sink = Sink(pipe[1])

    sink.write(b"hello\n")

    assert os.read(pipe[0], 100) == b"hello\n"
    assert sink.dropped == 0


def test_a_closed_pipe_costs_lines_and_nothing_else(pipe):
    sink = Sink(pipe[1])
    os.close(pipe[0])

    for _ in range(3):
        sink.write(b"hello\n")

    assert sink.dropped == 3


def test_a_reader_that_stopped_never_makes_a_writer_wait(pipe):
    sink = Sink(pipe[1])
    line = b"x" * (LINE_BYTES - 1) + b"\n"

    for _ in range(200):
        sink.write(line)

    assert 0 < sink.dropped < 200
    kept = os.read(pipe[0], 1 << 20)
    assert kept == line * (200 - sink.dropped)


def test_lines_go_out_again_when_the_reader_comes_back(pipe):
    sink = Sink(pipe[1])
    for _ in range(100):
        sink.write(b"x" * LINE_BYTES)
    os.read(pipe[0], 1 << 20)

    dropped = sink.dropped
    sink.write(b"hello\n")

    assert sink.dropped == dropped
    assert os.read(pipe[0], 100) == b"hello\n"


def test_a_full_volume_costs_lines_and_nothing_else():
    fd = os.open("/dev/full", os.O_WRONLY)
    sink = Sink(fd)

    sink.write(b"hello\n")

    os.close(fd)
    assert sink.dropped == 1
