"""How long one create takes, from POST to a client's first SELECT, against the bare SQL on the same cluster."""

import secrets
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
from psycopg import sql

from tests.support.stack import Stack

ROUNDS = 15
CROWD = 100


def by_api(client: httpx.Client) -> tuple[float, str]:
    """Seconds from POST to connected, and the database's id."""
    name = f"bench-{secrets.token_hex(4)}"
    started = time.perf_counter()
    answer = client.post("/databases", json={"name": name, "displayName": name})
    answer.raise_for_status()
    with psycopg.connect(answer.json()["connectionString"]) as connection:
        connection.execute("select 1")
    return time.perf_counter() - started, answer.json()["id"]


def by_sql(connection: psycopg.Connection[Any]) -> float:
    """Seconds for the bare statements, with no safety, no pooler, no record of it: the limit."""
    name = sql.Identifier(f"bench-raw-{secrets.token_hex(4)}")
    started = time.perf_counter()
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    connection.execute(sql.SQL("CREATE DATABASE {} STRATEGY wal_log").format(name))
    taken = time.perf_counter() - started
    connection.execute(sql.SQL("DROP DATABASE {}").format(name))
    connection.execute(sql.SQL("DROP ROLE {}").format(name))
    return taken


def user(stack: Stack) -> httpx.Client:
    email = f"bench-{secrets.token_hex(4)}@example.com"
    stack.user(email)
    return stack.client(stack.key(email))


def one_create(stack: Stack) -> dict[str, float]:
    """Medians of single creates, one after the other, alternating with the bare SQL."""
    client = user(stack)
    api_times, sql_times, delete_times = [], [], []
    with stack.provisioner() as connection:
        for _ in range(ROUNDS):
            taken, database_id = by_api(client)
            api_times.append(taken)
            started = time.perf_counter()
            client.delete(f"/databases/{database_id}").raise_for_status()
            delete_times.append(time.perf_counter() - started)
            sql_times.append(by_sql(connection))
    return {
        "create_s": statistics.median(api_times),
        "create_worst_s": max(api_times),
        "delete_s": statistics.median(delete_times),
        "bare_sql_s": statistics.median(sql_times),
        "create_to_bare_sql": statistics.median(api_times) / statistics.median(sql_times),
    }


def a_crowd(stack: Stack) -> dict[str, float]:
    """A hundred creates posted at once by five users, until the last is connectable."""
    clients = [user(stack) for _ in range(5)]
    started = time.perf_counter()
    with ThreadPoolExecutor(CROWD) as pool:
        times = [taken for taken, _ in pool.map(by_api, (clients[number % 5] for number in range(CROWD)))]
    wall = time.perf_counter() - started
    with stack.provisioner() as connection:
        bare = sum(by_sql(connection) for _ in range(ROUNDS)) / ROUNDS * CROWD
    return {
        "crowd_wall_s": wall,
        "crowd_median_s": statistics.median(times),
        "crowd_creates_per_s": CROWD / wall,
        "crowd_to_bare_sql": wall / bare,
    }
