"""tenant_restore: what is restored equals what was dumped, and what fails leaves the live database as it was."""

import gzip
import os
import signal
import threading
import time
import tracemalloc

import psycopg
import pytest
from psycopg import sql

from agent_modules.module_utils.dbhost import scratch
from agent_modules.module_utils.dbhost.errors import TenantError
from tests.support import dumps, rich

ROWS = 500


@pytest.fixture
def rich_shop(dataplane, shop):
    """A tenant with data of many kinds."""
    with dataplane.connect(shop.name, shop.password) as connection:
        rich.fill(connection, ROWS)
    return shop


@pytest.fixture
def filled(dataplane, shop):
    """A tenant with something to lose."""
    with dataplane.connect(shop.name, shop.password) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
        connection.execute("CREATE TABLE kinds (id int PRIMARY KEY, feeling mood, word text)")
        connection.execute("INSERT INTO kinds SELECT g, 'ok', md5(g::text) FROM generate_series(1, %s) AS g", [ROWS])
    return shop


def back_up(dataplane, tenant):
    """The tenant, the source to restore from, and what the report said."""
    backup = dumps.wanted(tenant.name)
    made = dumps.back_up(dataplane, backup)
    return tenant, dumps.kept(backup, made), made


@pytest.fixture
def saved(dataplane, filled):
    """A backup of a small database."""
    return back_up(dataplane, filled)


@pytest.fixture
def rich_saved(dataplane, rich_shop):
    """A backup of data of many kinds."""
    return back_up(dataplane, rich_shop)


def sums(dataplane, tenant):
    with dataplane.connect(tenant.name, tenant.password) as connection:
        return rich.checksum(connection)


def counted(made):
    """A dump's manifest without the fingerprint of writes, which is the one database's own."""
    return {key: value for key, value in made["manifest"].items() if key != "activity"}


def databases(dataplane):
    with dataplane.superuser() as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()}


def untouched(dataplane, tenant, before):
    """The live database is as it was, open, and alone."""
    own = scratch.names_of(tenant.name)
    assert sums(dataplane, tenant) == before
    assert not databases(dataplane) & {own.new, own.old, own.kept}
    with dataplane.superuser() as connection:  # a pooled session would not tell
        query = "SELECT datallowconn FROM pg_database WHERE datname = %s"
        assert connection.execute(query, [own.live]).fetchall() == [(True,)]
    assert (
        list((dataplane.state_dir / "incoming").glob("*")) == []
        if (dataplane.state_dir / "incoming").exists()
        else True
    )


def test_it_works(dataplane, rich_saved):
    tenant, source, made = rich_saved
    before = sums(dataplane, tenant)
    with dataplane.connect(tenant.name, tenant.password) as connection:
        connection.execute("DROP TABLE kinds CASCADE; DELETE FROM events; CREATE TABLE since (i int)")
    done = dumps.restore(dataplane, tenant.name, source, expect=made["manifest"])
    assert (done["error"], done["matches"], done["differences"]) == (None, True, [])
    assert done["manifest"] == counted(made)
    untouched(dataplane, tenant, before)


def test_a_second_restore_gives_the_same_again(dataplane, saved):
    tenant, source, made = saved
    for _ in range(2):
        assert dumps.restore(dataplane, tenant.name, source, expect=made["manifest"])["error"] is None
    assert counted(dumps.back_up(dataplane, dumps.wanted(tenant.name))) == counted(made)


def test_another_database_gets_the_same(dataplane, rich_saved, tenants):
    tenant, source, made = rich_saved
    other = tenants()
    dataplane.converge(other.item())
    done = dumps.restore(dataplane, other.name, source, "new", expect=made["manifest"])
    assert (done["error"], done["matches"]) == (None, True)
    assert sums(dataplane, other) == sums(dataplane, tenant)
    assert [found["changes"] for found in dataplane.converge(other.item(repair_ownership=True))] == [[]]


def test_scratch_says_whether_it_is_the_same_and_leaves_nothing(dataplane, saved):
    tenant, source, made = saved
    with dataplane.connect(tenant.name, tenant.password) as connection:
        connection.execute("DELETE FROM kinds WHERE id = 1")
    before = sums(dataplane, tenant)
    done = dumps.restore(dataplane, tenant.name, source, "scratch", expect=made["manifest"])
    assert (done["error"], done["matches"]) == (None, True)
    untouched(dataplane, tenant, before)
    wrong = {**made["manifest"], "tables_rows": {**made["manifest"]["tables_rows"], "public.kinds": 7}}
    done = dumps.restore(dataplane, tenant.name, source, "scratch", expect=wrong)
    assert (done["error"], done["matches"]) == (None, False)
    assert done["differences"] == [f"public.kinds: 7 rows expected, {ROWS} rows found."]
    untouched(dataplane, tenant, before)


def test_a_changed_schema_has_another_fingerprint(dataplane, saved):
    tenant, source, made = saved
    with dataplane.connect(tenant.name, tenant.password) as connection:
        connection.execute("ALTER TABLE kinds ALTER id TYPE bigint")
    now = dumps.back_up(dataplane, dumps.wanted(tenant.name))["manifest"]
    assert now["schema_sha256"] != made["manifest"]["schema_sha256"]
    assert now["rows"] == made["manifest"]["rows"]
    done = dumps.restore(dataplane, tenant.name, source, "scratch", expect=now)
    assert done["differences"] == ["The schema is not the same: its fingerprints differ."]


def test_one_that_is_not_what_was_expected_never_takes_over(dataplane, saved):
    tenant, source, made = saved
    before = sums(dataplane, tenant)
    done = dumps.restore(dataplane, tenant.name, source, expect={**made["manifest"], "rows": 1})
    assert (done["error"]["code"], done["matches"]) == ("manifest_differs", False)
    untouched(dataplane, tenant, before)


def test_clients_are_cut_at_the_swap_and_come_back(dataplane, saved):
    tenant, source, _ = saved
    with dataplane.connect(tenant.name, tenant.password) as client:
        client.execute("CREATE TABLE since (i int)")
        assert dumps.restore(dataplane, tenant.name, source)["error"] is None
        with pytest.raises(psycopg.Error):
            client.execute("SELECT * FROM since")
    with dataplane.connect(tenant.name, tenant.password) as client:
        assert client.execute("SELECT to_regclass('since')").fetchone() == (None,)


@pytest.mark.parametrize("options", [["-Fc"], ["-Ft"], ["-Fp"], ["-Fp", "--inserts"]], ids=" ".join)
def test_an_upload_of_any_format_is_taken(dataplane, rich_shop, tenants, options):
    data = dumps.archive(dataplane, rich_shop, *options)
    if options == ["-Fp"]:
        data = gzip.compress(data)
    other = tenants()
    dataplane.converge(other.item())
    done = dumps.restore(dataplane, other.name, dumps.uploaded(dataplane, data))
    assert done["error"] is None
    assert sums(dataplane, other) == sums(dataplane, rich_shop)


def test_owners_and_rights_of_elsewhere_are_left_out(dataplane, shop):
    lines = [
        "CREATE TABLE goods (name text);",
        "ALTER TABLE public.goods OWNER TO somebody;",
        "COPY public.goods (name) FROM stdin;",
        "GRANT ALL ON TABLE goods TO somebody;",
        "ALTER TABLE public.goods OWNER TO somebody;",
        "\\.",
        "GRANT ALL ON TABLE public.goods TO somebody;",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$",
        "SELECT 'REVOKE",
        "GRANT ALL ON TABLE public.goods TO somebody;",
        "' $_$;",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
        "SET transaction_timeout = 0;",
        "",
    ]
    done = dumps.restore(dataplane, shop.name, dumps.uploaded(dataplane, "\n".join(lines).encode()))
    assert done["error"] is None
    assert done["skipped"] == [
        {"statement": "ALTER … OWNER TO", "count": 1, "line": 2},
        {"statement": "GRANT", "count": 1, "line": 7},
        {"statement": "REVOKE", "count": 1, "line": 12},
    ]
    with dataplane.connect(shop.name, shop.password) as connection:
        assert connection.execute("SELECT count(*) FROM goods").fetchone() == (2,)
        assert "GRANT ALL" in str(connection.execute("SELECT f()").fetchone())


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda data: data[: len(data) // 2], "damaged_file"),
        (lambda data: data[:-8] + b"12345678", "damaged_file"),
        (lambda data: gzip.decompress(data)[:-4000], "incomplete_dump"),
        (lambda _data: b"", "not_a_dump"),
        (lambda _data: b"\x7fELF\0\0\0", "not_a_dump"),
        (lambda _data: b"PGDMP" + b"\xff" * 4000, "not_a_dump"),
        (
            lambda data: gzip.decompress(data).replace(b"CREATE TYPE public.mood", b"CREATE TYPO public.mood"),
            "restore_failed",
        ),
    ],
)
def test_a_spoilt_upload_leaves_the_live_database(dataplane, saved, spoil, code):
    tenant, source, _ = saved
    before = sums(dataplane, tenant)
    data = (dataplane.state_dir / "backups" / source["folder"] / source["filename"]).read_bytes()
    done = dumps.restore(dataplane, tenant.name, dumps.uploaded(dataplane, spoil(data)))
    assert done["error"]["code"] == code, done["error"]
    untouched(dataplane, tenant, before)


def test_a_file_that_changed_since_is_refused(dataplane, saved):
    tenant, source, _ = saved
    before = sums(dataplane, tenant)
    path = dataplane.state_dir / "backups" / source["folder"] / source["filename"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert dumps.restore(dataplane, tenant.name, source)["error"]["code"] == "damaged_file"
    path.unlink()
    assert dumps.restore(dataplane, tenant.name, source)["error"]["code"] == "no_such_file"
    untouched(dataplane, tenant, before)


def test_another_whole_file_is_refused(dataplane, saved):
    """One that can be read to its end, and is not the one that was made."""
    tenant, source, _ = saved
    before = sums(dataplane, tenant)
    for wrong in ({"sha256": "0" * 64}, {"size_bytes": source["size_bytes"] - 1}):
        assert dumps.restore(dataplane, tenant.name, {**source, **wrong})["error"]["code"] == "damaged_file"
    untouched(dataplane, tenant, before)


def test_a_gzip_bomb_stops_at_the_limit_and_is_never_in_memory(dataplane, shop):
    bomb = gzip.compress(b"-- nothing\n" * (1 << 18))  # 3 MB in 3 kB
    bomb *= 20
    tracemalloc.start()
    done = dumps.restore(dataplane, shop.name, dumps.uploaded(dataplane, bomb), text_limit=40 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done["error"]["code"] == "too_large"
    assert peak < 32 << 20


def test_a_dump_that_grows_in_the_database_is_stopped(dataplane, shop):
    text = b"CREATE TABLE big AS SELECT md5(g::text) AS word FROM generate_series(1, 90000) g; SELECT pg_sleep(60);\n"
    done = dumps.restore(dataplane, shop.name, dumps.uploaded(dataplane, text), database_limit=9 << 20)
    assert done["error"]["code"] == "too_large"
    untouched(dataplane, shop, sums(dataplane, shop))


def test_a_restore_stops_before_the_disk_is_full(dataplane, shop):
    text = b"SELECT pg_sleep(60);\n"
    done = dumps.restore(dataplane, shop.name, dumps.uploaded(dataplane, text), disk_reserve=1 << 60)
    assert (done["error"]["code"], done["error"]["retryable"]) == ("host_disk_full", True)


def test_an_older_generation_is_refused(dataplane, saved):
    tenant, source, _ = saved
    dataplane.converge(tenant.item())
    assert dumps.restore(dataplane, tenant.name, source, generation=0)["error"]["code"] == "stale_generation"


def test_a_database_that_is_not_there_is_not_made(dataplane, saved):
    _, source, _ = saved
    assert dumps.restore(dataplane, "nobody-here", source)["error"]["code"] == "no_database"
    assert "nobody-here" not in databases(dataplane)


@pytest.mark.parametrize("when", ["load", "renaming", "swapped"])
def test_a_killed_restore_leaves_one_whole_database(dataplane, saved, when, monkeypatch):
    """The process dies: while it loads, between the two renames, and between the swap and the drop of the old one."""
    tenant, source, made = saved
    before = sums(dataplane, tenant)
    child = os.fork()
    if child == 0:
        die = lambda *_arguments, **_options: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
        if when == "renaming":
            execute, second = scratch._execute, ("ALTER DATABASE {} RENAME TO {}", scratch.names_of(tenant.name).new)
            until_then = lambda *given: die() if given[1:3] == second else execute(*given)  # noqa: E731
            monkeypatch.setattr(scratch, "_execute", until_then)
        else:
            target = "loading.load" if when == "load" else "scratch.drop"
            monkeypatch.setattr(f"agent_modules.module_utils.dbhost.restoring.{target}", die)
        dumps.restore(dataplane, tenant.name, source)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    own = scratch.names_of(tenant.name)
    left = databases(dataplane)
    assert left & {own.new, own.old} == ({own.old} if when == "swapped" else {own.new})
    assert own.live in left
    if when != "renaming":  # then the live one is there, and shut until the next run
        assert sums(dataplane, tenant) == before
    assert dumps.restore(dataplane, tenant.name, source, expect=made["manifest"])["error"] is None
    untouched(dataplane, tenant, before)


def test_a_swap_that_fails_opens_the_live_database_again(dataplane, saved, monkeypatch):
    tenant, source, _ = saved
    before = sums(dataplane, tenant)

    def fail(*_arguments, **_options):
        raise TenantError("host_busy", "Not now.")

    monkeypatch.setattr(scratch, "_rename_both", fail)
    assert dumps.restore(dataplane, tenant.name, source)["error"]["code"] == "host_busy"
    untouched(dataplane, tenant, before)


def test_a_killed_server_process_fails_the_restore_alone(dataplane, saved):
    tenant, _, _ = saved
    before = sums(dataplane, tenant)
    own, ended = scratch.names_of(tenant.name), []

    def terminate():
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = %s"
        deadline = time.monotonic() + 60
        with dataplane.superuser() as connection:
            while not ended and time.monotonic() < deadline:
                ended.extend(connection.execute(query, [own.new, tenant.name]).fetchall())
                time.sleep(0.02)

    killer = threading.Thread(target=terminate)
    killer.start()
    text = b"CREATE TABLE half (i int);\nSELECT pg_sleep(120);\n"
    done = dumps.restore(dataplane, tenant.name, dumps.uploaded(dataplane, text))
    killer.join()
    assert ended
    assert (done["error"]["code"], done["error"]["retryable"]) == ("restore_failed", True)
    untouched(dataplane, tenant, before)


@pytest.mark.parametrize("held_as", [None, f"dbhost-held-{'a' * 16}"])
def test_what_a_killed_restore_left_goes_with_its_database(dataplane, saved, held_as):
    """Or the tenant role would own something in it, and stay."""
    tenant, _, _ = saved
    own = scratch.names_of(tenant.name)
    scratch.create(dumps.cluster(dataplane), own, 40)
    with dataplane.superuser(own.new) as connection:
        connection.execute(
            sql.SQL("CREATE TABLE goods (); ALTER TABLE goods OWNER TO {}").format(sql.Identifier(tenant.name))
        )
    item = tenant.item(state="absent", held_as=held_as)
    predicted = dataplane.converge(item, check=True)
    [gone] = dataplane.converge(item)
    assert (gone["error"], gone["changes"]) == (None, predicted[0]["changes"])
    assert not databases(dataplane) & {tenant.name, own.new}
    assert dataplane.converge(item)[0]["changes"] == []
    if held_as:
        assert dataplane.converge({"name": held_as, "state": "absent"})[0]["error"] is None


def damage(dataplane, tenant, table):
    """Overwrite a page of *table* on disk, as a bad disk would."""
    with dataplane.superuser(tenant.name) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT pg_relation_filepath(%s::regclass)", [table]).fetchone()
        with (dataplane.data_dir / row[0]).open("r+b") as file:
            file.seek(100)
            file.write(b"\xa5" * 7000)
        connection.execute("CREATE EXTENSION pg_buffercache")
        connection.execute("SELECT pg_buffercache_evict_relation(%s::regclass)", [table])


def test_a_damaged_database_is_restored_in_place_and_kept_aside(dataplane, saved):
    """It cannot be dumped; restoring reads nothing of it."""
    tenant, source, made = saved
    before = sums(dataplane, tenant)
    damage(dataplane, tenant, "kinds")
    assert "invalid page" in dumps.refused(dataplane, dumps.wanted(tenant.name)).message
    done = dumps.restore(dataplane, tenant.name, source, expect=made["manifest"], keep_replaced=True)
    own = scratch.names_of(tenant.name)
    assert (done["error"], done["changes"][-1]) == (None, f"Keep what was there as {own.kept}")
    assert sums(dataplane, tenant) == before
    assert databases(dataplane) & {own.new, own.old, own.kept} == {own.kept}
    # the next one that is kept takes its place, and it goes when its time is over or with its database
    assert dumps.restore(dataplane, tenant.name, source, keep_replaced=True)["error"] is None
    assert own.kept in databases(dataplane)
    assert dataplane.converge(tenant.item(state="absent"))[0]["error"] is None
    assert not databases(dataplane) & set(vars(own).values())


def test_what_was_kept_aside_goes_when_its_time_is_over(dataplane, saved, monkeypatch):
    tenant, source, _ = saved
    own = scratch.names_of(tenant.name)
    assert dumps.restore(dataplane, tenant.name, source, keep_replaced=True)["error"] is None
    assert dumps.restore(dataplane, tenant.name, source, "scratch")["error"] is None
    assert own.kept in databases(dataplane)
    monkeypatch.setattr(scratch, "KEPT_S", -60)
    assert dumps.restore(dataplane, tenant.name, source, keep_replaced=True)["error"] is None
    assert own.kept not in databases(dataplane)


def test_what_was_replaced_is_dropped_when_the_result_is_told(dataplane, saved):
    """DROP DATABASE waits for a checkpoint of the whole cluster."""
    tenant, source, made = saved
    before, waiting = sums(dataplane, tenant), []
    done = dumps.restore(dataplane, tenant.name, source, expect=made["manifest"], later=waiting.append)
    own = scratch.names_of(tenant.name)
    assert (done["error"], databases(dataplane) & {own.new, own.old}) == (None, {own.old})
    for step in waiting:
        step()
    untouched(dataplane, tenant, before)
