-- Layout 1. {{schema}} is replaced by the quoted name of the schema. A replica of the
-- release before may still be running while the next layout is made, so a later layout
-- adds functions under new names and leaves those of the layout before it in place.

CREATE TABLE {{schema}}.layout (
	version integer NOT NULL
);
COMMENT ON TABLE {{schema}}.layout IS 'doorward: one row, the number of the layout';

-- The latest time of a batch, to the second. NULL: there was none.
CREATE TABLE {{schema}}.clock (
	at bigint
) WITH (fillfactor = 10);
INSERT INTO {{schema}}.clock VALUES (NULL);

-- It must not cache: a session's own stock of numbers would be given out late.
CREATE SEQUENCE {{schema}}.revisions AS bigint CACHE 1 NO CYCLE;

-- Times are milliseconds since 1970. entries holds name, value, name, value and so on,
-- so that Get needs no join. The free part of a page lets a Put that moves neither expiry
-- nor entries touch no index.
CREATE TABLE {{schema}}.records (
	revision  bigint  NOT NULL,
	expiry    bigint,
	namespace bytea   NOT NULL,
	kind      bytea   NOT NULL,
	id        bytea   NOT NULL,
	entries   bytea[] NOT NULL,
	value     bytea   NOT NULL,
	PRIMARY KEY (namespace, kind, id) WITH (fillfactor = 90)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
-- Values are sealed, and what is sealed can't be compressed.
ALTER TABLE {{schema}}.records ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX records_expiry ON {{schema}}.records (expiry) WHERE expiry IS NOT NULL;

CREATE TABLE {{schema}}.entries (
	namespace bytea NOT NULL,
	kind      bytea NOT NULL,
	name      bytea NOT NULL,
	value     bytea NOT NULL,
	id        bytea NOT NULL,
	PRIMARY KEY (namespace, kind, name, value, id) WITH (fillfactor = 90)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- What judging a batch found of one record. sum is the new value of a counter.
CREATE TYPE {{schema}}.found AS (
	revision bigint,
	live     boolean,
	expiry   bigint,
	entries  bytea[],
	sum      bigint
);

CREATE FUNCTION {{schema}}.list_1(of_namespace bytea, of_kind bytea, of_id bytea, listed bytea[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. cardinality(listed) BY 2 LOOP
		INSERT INTO {{schema}}.entries (namespace, kind, name, value, id)
			VALUES (of_namespace, of_kind, listed[i], listed[i + 1], of_id)
			ON CONFLICT DO NOTHING; -- one record may have the same entry twice
	END LOOP;
END
$$;

CREATE FUNCTION {{schema}}.unlist_1(of_namespace bytea, of_kind bytea, of_id bytea, listed bytea[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. cardinality(listed) BY 2 LOOP
		DELETE FROM {{schema}}.entries e
			WHERE e.namespace = of_namespace AND e.kind = of_kind AND e.name = listed[i] AND e.value = listed[i + 1] AND e.id = of_id;
	END LOOP;
END
$$;

-- apply_1 carries out a batch and returns 0; 1 when a condition did not hold and 2 when a
-- counter met its ceiling, both before anything is written. It returns rather than raises,
-- because what is raised fills the log of the server, at a stranger's will.
--
-- locks are the hashes of the keys in ascending order, writes says which of them are
-- written; a lock is held until the commit. An advisory lock guards an absent record as
-- well as one that exists, and costs a Check no write. As all batches lock in one order,
-- none waits in a circle. Each statement sees what was committed before it began, so what
-- is read after the locks were granted is the last state of each record; only a sweep,
-- which takes row locks and waits for nobody, may still remove one that it holds expired.
--
-- Actions are those of package storage. required is NULL for any revision and 0 for
-- absent. listed holds the entries of all operations one after the other, counts how many
-- elements belong to each.
CREATE FUNCTION {{schema}}.apply_1(
	batch_now bigint, locks bigint[], writes boolean[],
	actions smallint[], namespaces bytea[], kinds bytea[], ids bytea[], required bigint[],
	expiries bigint[], vals bytea[], counts integer[], listed bytea[],
	deltas bigint[], ceilings bigint[]
) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
	all_found {{schema}}.found[];
	f         {{schema}}.found;
	stored    bytea;
	total     numeric;
	next      bigint;
	until     bigint;
	new_value bytea;
	mine      bytea[];
	old       bytea[];
	seen      bigint;
	at_entry  integer := 1;
	done      boolean; -- an assignment calls a function without a query of its own, unlike PERFORM
BEGIN
	FOR i IN 1 .. cardinality(locks) LOOP
		IF writes[i] THEN
			done := pg_advisory_xact_lock(locks[i]) IS NULL;
		ELSE
			done := pg_advisory_xact_lock_shared(locks[i]) IS NULL;
		END IF;
	END LOOP;

	FOR i IN 1 .. cardinality(actions) LOOP
		SELECT r.revision, r.expiry IS NULL OR r.expiry > batch_now, r.expiry, r.entries, CASE actions[i] WHEN 4 THEN r.value END
			INTO f.revision, f.live, f.expiry, f.entries, stored
			FROM {{schema}}.records r
			WHERE r.namespace = namespaces[i] AND r.kind = kinds[i] AND r.id = ids[i];
		f.live := coalesce(f.live, false);
		IF actions[i] = 4 THEN
			total := deltas[i];
			IF f.live AND octet_length(stored) = 8 THEN
				total := total + ('x' || encode(stored, 'hex'))::bit(64)::bigint;
			END IF;
			IF total > 9223372036854775807 OR total < -9223372036854775808 OR ceilings[i] <> 0 AND total > ceilings[i] THEN
				RETURN 2;
			END IF;
			f.sum := total;
		ELSIF required[i] = 0 AND f.live OR required[i] <> 0 AND (NOT f.live OR f.revision <> required[i]) THEN
			RETURN 1;
		END IF;
		all_found[i] := f;
	END LOOP;

	IF NOT (true = ANY (writes)) THEN
		RETURN 0;
	END IF;

	-- The number is drawn while all locks are held, so that of two batches which share a
	-- record the later has the higher one.
	next := nextval('{{literal}}.revisions');

	FOR i IN 1 .. cardinality(actions) LOOP
		f := all_found[i];
		mine := listed[at_entry : at_entry + counts[i] - 1];
		at_entry := at_entry + counts[i];
		IF actions[i] = 2 THEN
			DELETE FROM {{schema}}.records r
				WHERE r.namespace = namespaces[i] AND r.kind = kinds[i] AND r.id = ids[i] AND r.revision = f.revision;
			IF FOUND THEN
				done := {{schema}}.unlist_1(namespaces[i], kinds[i], ids[i], f.entries) IS NULL;
			END IF;
		ELSIF actions[i] = 1 OR actions[i] = 4 THEN
			until := expiries[i];
			new_value := vals[i];
			old := '{}';
			IF actions[i] = 4 THEN
				new_value := int8send(f.sum);
				IF f.live THEN
					until := f.expiry;
					mine := f.entries;
				END IF;
			END IF;
			IF f.revision IS NOT NULL THEN
				UPDATE {{schema}}.records r
					SET revision = next, expiry = until, entries = mine, value = new_value
					WHERE r.namespace = namespaces[i] AND r.kind = kinds[i] AND r.id = ids[i] AND r.revision = f.revision;
				IF FOUND THEN
					old := f.entries;
				ELSIF f.live THEN
					RAISE 'doorward: a record was swept that the batch holds alive' USING ERRCODE = 'serialization_failure';
				ELSE
					f.revision := NULL; -- swept
				END IF;
			END IF;
			IF f.revision IS NULL THEN
				INSERT INTO {{schema}}.records (revision, expiry, namespace, kind, id, entries, value)
					VALUES (next, until, namespaces[i], kinds[i], ids[i], mine, new_value);
			END IF;
			IF old <> mine THEN
				done := {{schema}}.unlist_1(namespaces[i], kinds[i], ids[i], old) IS NULL;
				done := {{schema}}.list_1(namespaces[i], kinds[i], ids[i], mine) IS NULL;
			END IF;
		END IF;
	END LOOP;

	-- One row for all, written at most once a second and never waited for.
	SELECT c.at INTO seen FROM {{schema}}.clock c;
	IF seen IS NULL OR seen <= batch_now - 1000 THEN
		PERFORM FROM {{schema}}.clock c FOR UPDATE SKIP LOCKED;
		IF FOUND THEN
			UPDATE {{schema}}.clock c SET at = batch_now WHERE c.at IS NULL OR c.at < batch_now;
		END IF;
	END IF;
	RETURN 0;
END
$$;

-- sweep_1 deletes up to most records that had expired, and returns how many went. A record
-- that another sweep or a batch holds is left to it. The rows stay locked as they were
-- read, so none can be renewed before it is deleted.
CREATE FUNCTION {{schema}}.sweep_1(sweep_now bigint, most integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
	gone record;
	n    integer := 0;
BEGIN
	FOR gone IN
		SELECT r.namespace, r.kind, r.id, r.revision, r.entries
			FROM {{schema}}.records r
			WHERE r.expiry <= sweep_now
			ORDER BY r.expiry
			LIMIT most
			FOR UPDATE SKIP LOCKED
	LOOP
		DELETE FROM {{schema}}.records r
			WHERE r.namespace = gone.namespace AND r.kind = gone.kind AND r.id = gone.id AND r.revision = gone.revision;
		PERFORM {{schema}}.unlist_1(gone.namespace, gone.kind, gone.id, gone.entries);
		n := n + 1;
	END LOOP;
	RETURN n;
END
$$;
