"""Clients that come back at once, and whose logins fail, do not take PgBouncer down with them when they are cut."""

import contextlib
import threading
import time

import psycopg

CLIENTS, ROUNDS = 4, 4  # what this is about is a race: older PgBouncers lost it in every second round or so


@contextlib.contextmanager
def coming_back(url):
    """Clients that work, and connect again as soon as they are refused or cut."""
    is_over = threading.Event()

    def come_back():
        while not is_over.is_set():
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
                while not is_over.is_set():
                    connection.execute("SELECT 1")

    threads = [threading.Thread(target=come_back) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_pgbouncer_lives_when_logins_at_the_server_fail_before_the_cut(dataplane, shop):
    for number in range(ROUNDS):
        with coming_back(dataplane.url(shop.name, shop.password)):
            shop.change_password(f"fresh-{number}")
            item = shop.item()
            dataplane.databases(item)
            time.sleep(0.8)
            assert dataplane.tenants(item)[0]["error"] is None
            time.sleep(1)
        assert dataplane.processes["pgbouncer"].poll() is None
        dataplane.connect(shop.name, shop.password).close()
