"""ServerProcess and TcpLink, which the kit lends to its adopters."""

from __future__ import annotations

import socket
import sys

import pytest

from civitas.testing import ServerProcess, TcpLink

pytestmark = pytest.mark.slow

ECHO = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(100):
                connection.sendall(data)
"""
PATIENCE = 20.0


def echo():
    return ServerProcess([sys.executable, "-c", ECHO, "{port}"])


def connected(port):
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def answers(connection, text=b"hello"):
    connection.sendall(text)
    return connection.recv(100) == text


def test_it_lets_clients_in_and_comes_back_at_its_port_after_a_kill():
    with echo() as server:
        with connected(server.port) as connection:
            assert answers(connection)
            server.kill()
            assert is_over(connection)
        with pytest.raises(ConnectionRefusedError):
            connected(server.port)
        server.start()
        with connected(server.port) as connection:
            assert answers(connection)
    with pytest.raises(ConnectionRefusedError):
        connected(server.port)


def test_it_stands_still_and_goes_on():
    with echo() as server, connected(server.port) as connection:
        assert answers(connection)
        server.pause()
        connection.sendall(b"late")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        server.resume()
        connection.settimeout(PATIENCE)
        assert connection.recv(100) == b"late"


def test_a_server_that_does_not_come_up_says_what_it_wrote():
    server = ServerProcess([sys.executable, "-c", "raise SystemExit('no room')", "{port}"])
    with pytest.raises(RuntimeError, match=r"ended with 1; it wrote:\nno room"):
        server.start()
    silent = ServerProcess([sys.executable, "-c", "input()"], up_within=0.5)
    with pytest.raises(RuntimeError, match="ended with|does not let clients in"):
        silent.start()


def test_a_link_is_cut_and_mended():
    with echo() as server, TcpLink(server.port) as link:
        with connected(link.port) as connection:
            assert answers(connection)
            link.cut()
            assert is_over(connection)
        with pytest.raises(ConnectionRefusedError):
            connected(link.port)
        link.mend()
        with connected(link.port) as connection:
            assert answers(connection)


def is_over(connection):
    """Return whether the other end has closed, in whichever way."""
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True
