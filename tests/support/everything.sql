-- Everything that a tenant can make in its database, for tests/support/everything.py.
CREATE SCHEMA other; CREATE SCHEMA "Odd.schema $1";
COMMENT ON SCHEMA other IS 'it''s other'; COMMENT ON SCHEMA public IS 'ours now';
CREATE COLLATION other.c_again FROM "C"; CREATE COLLATION other.posix (provider = libc, locale = 'C');
CREATE TYPE other.state AS ENUM ('new', 'old', ''); ALTER TYPE other.state ADD VALUE 'middle' BEFORE 'old';
CREATE DOMAIN other.code AS varchar(8) COLLATE "C" DEFAULT 'x' NOT NULL CONSTRAINT short CHECK (length(VALUE) < 7);
COMMENT ON DOMAIN other.code IS 'a code'; COMMENT ON CONSTRAINT short ON DOMAIN other.code IS 'short enough';
CREATE DOMAIN other.codes AS other.code[];
CREATE TYPE other.pair AS (a other.state, b other.code[]); COMMENT ON COLUMN other.pair.a IS 'first';
CREATE TYPE other.floats AS RANGE (subtype = float8, subtype_diff = float8mi, multirange_type_name = other.many_floats);
CREATE TABLE other.typed OF other.pair;
INSERT INTO other.typed VALUES ('middle', ARRAY['a', 'b']::other.code[]), (NULL, '{}');

CREATE TABLE other.identities (
  a int GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT BY -3 MINVALUE -100 MAXVALUE 5 CYCLE CACHE 7),
  b serial, c text COLLATE other.c_again DEFAULT 'a''b' || E'\\' NOT NULL, d numeric(30, 10) DEFAULT 'NaN',
  e int GENERATED ALWAYS AS (length(c) * 2) STORED, f other.many_floats, g other.codes, h bit(5), i varbit, j "char",
  k timestamptz DEFAULT now(), l interval day to second(2), m money, n point, o polygon, p macaddr8, q jsonpath,
  r xml, s pg_lsn, t tsquery, u int4multirange, v name, w regclass,
  CONSTRAINT "key of ""b""" PRIMARY KEY (b) INCLUDE (c), UNIQUE NULLS NOT DISTINCT (d, h) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT later CHECK (b > 0) NOT VALID, EXCLUDE USING gist (n WITH ~=) WHERE (b > 100));
INSERT INTO other.identities (c, d, f, g, h, i, j, l, m, n, o, p, q, r, s, t, u, v, w)
  SELECT CASE g % 3 WHEN 0 THEN E'\\N' WHEN 1 THEN E'\ttab\r\n\x01' ELSE '' END, g + 0.0000000001,
         other.many_floats(other.floats(g, g + 0.5)), ARRAY['c' || g], g::bit(5), B'101', 'x',
         g * '1 day 2 s'::interval, g, point(g, -g), '((0,0),(1,1),(1,0))', '08:00:2b:01:02:03:04:05',
         '$.a[*] ? (@ > 1)', '<a b="c">&amp;</a>', '16/B374D848', 'fat & (rat | ''cat'')', '{[1,3),[5,9)}', 'n', 'pg_class'
    FROM generate_series(1, 40) AS g;
ALTER TABLE other.identities ALTER c SET STORAGE external, ALTER c SET STATISTICS 77, ALTER c SET (n_distinct = -0.5);
ALTER TABLE other.identities SET (fillfactor = 70, autovacuum_enabled = off), REPLICA IDENTITY FULL;
ALTER TABLE other.identities CLUSTER ON "key of ""b""";
COMMENT ON TABLE other.identities IS 'multi
line'; COMMENT ON COLUMN other.identities.c IS '-- no comment'; COMMENT ON CONSTRAINT later ON other.identities IS 'l';
CREATE INDEX CONCURRENTLY "Index; of c" ON other.identities USING btree (c text_pattern_ops DESC NULLS LAST, b) INCLUDE (d)
  WITH (fillfactor = 60) WHERE c <> '';
COMMENT ON INDEX other."Index; of c" IS 'index';
CREATE INDEX ON other.identities USING brin (k); CREATE INDEX ON other.identities USING hash (c);
CREATE STATISTICS other.stats (ndistinct, dependencies, mcv) ON b, c FROM other.identities;
COMMENT ON STATISTICS other.stats IS 'stats';

CREATE TABLE other.parents (id int PRIMARY KEY, child int, at date);
CREATE TABLE other.children (id int PRIMARY KEY, parent int REFERENCES other.parents ON DELETE CASCADE ON UPDATE SET NULL);
INSERT INTO other.parents VALUES (1, 1, '0044-03-15 BC'), (2, 2, 'infinity'); INSERT INTO other.children VALUES (1, 2), (2, 1);
ALTER TABLE other.parents ADD FOREIGN KEY (child) REFERENCES other.children DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE other.lists (k text, v int, PRIMARY KEY (k, v)) PARTITION BY LIST (k);
CREATE TABLE other.lists_a PARTITION OF other.lists FOR VALUES IN ('a', NULL) PARTITION BY RANGE (v);
CREATE TABLE other.lists_a_low PARTITION OF other.lists_a (v DEFAULT 7) FOR VALUES FROM (MINVALUE) TO (10);
CREATE TABLE "Odd.schema $1"."lists rest" PARTITION OF other.lists DEFAULT;
INSERT INTO other.lists VALUES ('a', 1), ('z', 99), ('', 3);
CREATE TABLE other.refers (k text, v int, FOREIGN KEY (k, v) REFERENCES other.lists MATCH FULL);
INSERT INTO other.refers VALUES ('z', 99), (NULL, NULL);
CREATE TABLE other.base (a int NOT NULL, b text DEFAULT 'base', CHECK (a > 0));
CREATE TABLE other.derived (c int, b text DEFAULT 'derived') INHERITS (other.base);
INSERT INTO other.derived VALUES (1, 'x', 2), (2, NULL, 3);
CREATE UNLOGGED TABLE other.unlogged (a int); INSERT INTO other.unlogged SELECT generate_series(1, 9);
CREATE UNLOGGED SEQUENCE other.unlogged_numbers;
CREATE SEQUENCE other.alone AS smallint INCREMENT 5 MINVALUE 3 START 8; SELECT nextval('other.alone'), nextval('other.alone');
CREATE SEQUENCE other.untouched; COMMENT ON SEQUENCE other.alone IS 'alone';
CREATE TABLE other.empty (); CREATE TABLE other."no rows" (a int);
CREATE TABLE "Odd.schema $1"."Ta""ble \ %s {0} $$" ("co""l 'x' \" int, "select" text, "ünï" text);
INSERT INTO "Odd.schema $1"."Ta""ble \ %s {0} $$" VALUES (1, '$dbhost$', 'ö'), (2, '\.', E'\\.\n\\.');

CREATE FUNCTION other.add(a int, b int DEFAULT 2, VARIADIC c int[] DEFAULT '{}') RETURNS int LANGUAGE sql IMMUTABLE STRICT
  PARALLEL SAFE COST 7 SET work_mem = '8MB' SET search_path = other, pg_temp AS $$ SELECT a + b $$;
CREATE FUNCTION other.standard(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a * 2; SELECT a * 3; END;
CREATE FUNCTION other.rows_of(OUT x int, OUT y text) RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER ROWS 5
  AS $f$ BEGIN RETURN QUERY SELECT 1, 'GRANT ALL ON t TO somebody;
COPY x FROM stdin;
\.
'; END $f$;
CREATE PROCEDURE other.work(INOUT a int) LANGUAGE plpgsql AS 'BEGIN a := a + 1; COMMIT; END';
CREATE FUNCTION other.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce(NEW, OLD); END $$;
CREATE AGGREGATE other.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', PARALLEL = safe);
CREATE OPERATOR other.@+@ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl, COMMUTATOR = OPERATOR(other.@+@));
CREATE CAST (other.pair AS text) WITH INOUT;
CREATE TEXT SEARCH DICTIONARY other.plain_words (TEMPLATE = simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION other.words (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION other.words ALTER MAPPING FOR asciiword WITH other.plain_words, english_stem;
COMMENT ON FUNCTION other.add IS 'adds'; COMMENT ON AGGREGATE other.total(int) IS 't'; COMMENT ON PROCEDURE other.work IS 'w';
COMMENT ON OPERATOR other.@+@ (int, int) IS 'o'; COMMENT ON CAST (other.pair AS text) IS 'c';
COMMENT ON TEXT SEARCH CONFIGURATION other.words IS 'fts'; COMMENT ON TYPE other.state IS 's'; COMMENT ON COLLATION other.c_again IS 'c';

CREATE VIEW other.v WITH (security_invoker = on, security_barrier) AS SELECT a, e, other.add(a) AS more FROM other.identities
  WHERE a OPERATOR(other.@+@) 1 > 0 WITH LOCAL CHECK OPTION;
CREATE RECURSIVE VIEW other.tree (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM tree WHERE n < 5;
CREATE MATERIALIZED VIEW other.m AS SELECT c, count(*) AS n FROM other.identities GROUP BY c;
CREATE MATERIALIZED VIEW other.m2 AS SELECT sum(n) AS n FROM other.m;
CREATE MATERIALIZED VIEW other.not_yet AS SELECT 1 AS one WITH NO DATA;
CREATE UNIQUE INDEX ON other.m (c); COMMENT ON MATERIALIZED VIEW other.m IS 'm'; COMMENT ON VIEW other.v IS 'v';
ALTER VIEW other.v ALTER more SET DEFAULT 3;
CREATE TRIGGER fresh AFTER INSERT ON other.identities REFERENCING NEW TABLE AS rows_ FOR EACH STATEMENT
  EXECUTE FUNCTION other.keep();
CREATE TRIGGER first AFTER INSERT OR UPDATE OF c ON other.identities FOR EACH STATEMENT
  EXECUTE FUNCTION other.keep('a''b', 'c');
CREATE TRIGGER second BEFORE DELETE ON other.lists FOR EACH ROW WHEN (OLD.v > 5) EXECUTE FUNCTION other.keep();
CREATE CONSTRAINT TRIGGER third AFTER INSERT ON other.parents DEFERRABLE FOR EACH ROW EXECUTE FUNCTION other.keep();
ALTER TABLE other.identities DISABLE TRIGGER first; ALTER TABLE other.parents ENABLE ALWAYS TRIGGER third;
COMMENT ON TRIGGER third ON other.parents IS 'third';
CREATE RULE both_too AS ON INSERT TO other.base WHERE NEW.a > 100 DO ALSO INSERT INTO other."no rows" VALUES (NEW.a);
COMMENT ON RULE both_too ON other.base IS 'rule';
ALTER TABLE other.parents ENABLE ROW LEVEL SECURITY; ALTER TABLE other.parents FORCE ROW LEVEL SECURITY;
CREATE POLICY nobody ON other.parents AS RESTRICTIVE FOR UPDATE TO PUBLIC USING (false) WITH CHECK (id > 0);
CREATE POLICY reading ON other.parents FOR SELECT USING (current_setting('app.at', true)::date > at);
COMMENT ON POLICY reading ON other.parents IS 'policy';
CREATE PUBLICATION sends FOR TABLE other.children (id) WHERE (id > 1) WITH (publish = 'insert');
SELECT lo_create(4711); SELECT lo_put(4711, 0, decode('00ff0a', 'hex')); COMMENT ON LARGE OBJECT 4711 IS 'large';
GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC;
REVOKE EXECUTE ON FUNCTION other.rows_of FROM PUBLIC; GRANT SELECT (c), UPDATE ON other.identities TO PUBLIC;
REVOKE DELETE ON other.parents FROM CURRENT_USER; GRANT USAGE ON SCHEMA other TO PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA other GRANT SELECT ON TABLES TO PUBLIC;

CREATE FUNCTION public.tidy(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(btrim(t))';
CREATE FUNCTION public.is_tidy(t text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN tidy(t) = t; END $$;
CREATE TABLE other.tidied (name text CHECK (public.is_tidy(name)), twice text GENERATED ALWAYS AS (public.tidy(name)) STORED);
CREATE INDEX ON other.tidied (public.is_tidy(name)); INSERT INTO other.tidied VALUES ('bob');
