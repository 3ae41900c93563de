-- The map of an installation, layout 1. `{schema}` is the schema that it has to itself.
CREATE TABLE {schema}.kv (k bytea PRIMARY KEY, v bytea NOT NULL, version bigint NOT NULL)
    WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE TABLE {schema}.lease (name bytea PRIMARY KEY, holder bytea NOT NULL, token bigint NOT NULL, expires_ms bigint NOT NULL)
    WITH (fillfactor = 50);

-- The last version or token given out. Who writes locks this row, so there is one writer at a time.
CREATE TABLE {schema}.sequence (id int PRIMARY KEY CHECK (id = 0), last bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO {schema}.sequence VALUES (0, 0);

-- The last batch of each writer and what it came to, for a writer that did not hear the answer.
CREATE TABLE {schema}.lane (id bytea PRIMARY KEY, turn bigint NOT NULL, at timestamptz NOT NULL, status int[] NOT NULL,
    number bigint[] NOT NULL, expires bigint[] NOT NULL, who bytea[] NOT NULL) WITH (fillfactor = 50);

CREATE TABLE {schema}.layout (id int PRIMARY KEY CHECK (id = 0), version int NOT NULL);
INSERT INTO {schema}.layout VALUES (0, 1);

-- Counters: big-endian integers of 64 bits in a row.
CREATE FUNCTION {schema}.words_1(v bytea) RETURNS bigint[] LANGUAGE sql IMMUTABLE STRICT AS $body$
    SELECT coalesce(array_agg(('x' || encode(substr(v, 8 * i + 1, 8), 'hex'))::bit(64)::bigint ORDER BY i), '{}')
    FROM generate_series(0, length(v) / 8 - 1) AS i
$body$;

-- Sums of counters; they wrap.
CREATE FUNCTION {schema}.sum_1(old bytea, more bytea[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS $body$
    SELECT coalesce(string_agg(int8send((mod(mod(s + 9223372036854775808, 18446744073709551616)
        + 18446744073709551616, 18446744073709551616) - 9223372036854775808)::bigint), ''::bytea ORDER BY i), ''::bytea)
    FROM (
        SELECT i, sum(w) AS s FROM (
            SELECT o.w, o.i FROM unnest({schema}.words_1(coalesce(old, ''::bytea))) WITH ORDINALITY AS o(w, i)
            UNION ALL
            SELECT a.w, a.i FROM unnest(more) AS m(b), unnest({schema}.words_1(m.b)) WITH ORDINALITY AS a(w, i)
        ) AS every GROUP BY i
    ) AS sums
$body$;

-- Makes a batch of jobs, each of one or more steps, as one. `p_now` is the time by which leases expire; NULL is the clock
-- of the database. Steps and results are described in `writer.rs`.
CREATE FUNCTION {schema}.apply_1(p_lane bytea, p_turn bigint, p_now bigint, p_job int[], p_op int[], p_k bytea[],
    p_v bytea[], p_n bigint[], p_m bigint[],
    OUT status int[], OUT number bigint[], OUT expires bigint[], OUT who bytea[])
LANGUAGE plpgsql VOLATILE AS $body$
#variable_conflict use_column
DECLARE
    l_last bigint;
    l_first bigint;
    l_turn bigint;
    l_now bigint := p_now;
    l_job int := 0;
    l_index int := 0;
    l_over boolean := false;
    l_holds boolean;
    l_token bigint;
    l_holder bytea;
    l_expires bigint;
    l_added_k bytea[] := '{}';
    l_added_v bytea[] := '{}';
    l_added_version bigint[] := '{}';
    r record;
BEGIN
    SELECT s.last INTO STRICT l_last FROM {schema}.sequence s WHERE s.id = 0 FOR UPDATE;
    SELECT l.turn, l.status, l.number, l.expires, l.who INTO l_turn, status, number, expires, who
        FROM {schema}.lane l WHERE l.id = p_lane;
    IF l_turn = p_turn THEN
        RETURN;
    ELSIF l_turn > p_turn THEN
        RAISE EXCEPTION 'this batch was given up by its writer' USING ERRCODE = 'MP001';
    END IF;
    status := '{}'; number := '{}'; expires := '{}'; who := '{}';
    l_first := l_last;
    IF l_now IS NULL THEN
        l_now := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    END IF;
    FOR i IN 1 .. coalesce(array_length(p_op, 1), 0) LOOP
        IF p_job[i] <> l_job THEN
            l_job := p_job[i];
            l_index := 0;
            l_over := false;
            status[l_job] := -1; number[l_job] := 0; expires[l_job] := 0; who[l_job] := ''::bytea;
        END IF;
        CONTINUE WHEN l_over;
        IF p_op[i] < 10 THEN
            IF p_op[i] = 1 THEN
                SELECT NOT EXISTS (SELECT 1 FROM {schema}.kv t WHERE t.k = p_k[i]) INTO l_holds;
            ELSIF p_op[i] = 2 THEN
                SELECT EXISTS (SELECT 1 FROM {schema}.kv t WHERE t.k = p_k[i]) INTO l_holds;
            ELSIF p_op[i] = 3 THEN
                SELECT EXISTS (SELECT 1 FROM {schema}.kv t WHERE t.k = p_k[i] AND t.version = p_n[i]) INTO l_holds;
            ELSIF p_op[i] = 4 THEN
                SELECT coalesce((SELECT ({schema}.words_1(t.v))[1] FROM {schema}.kv t WHERE t.k = p_k[i]), 0) >= p_n[i]
                    INTO l_holds;
            ELSIF p_op[i] = 5 THEN
                IF p_v[i] IS NULL THEN
                    SELECT NOT EXISTS (SELECT 1 FROM {schema}.kv t WHERE t.k >= p_k[i]) INTO l_holds;
                ELSE
                    SELECT NOT EXISTS (SELECT 1 FROM {schema}.kv t WHERE t.k >= p_k[i] AND t.k < p_v[i]) INTO l_holds;
                END IF;
            ELSIF p_op[i] = 6 THEN
                SELECT EXISTS (SELECT 1 FROM {schema}.lease t WHERE t.name = p_k[i] AND t.token = p_n[i]) INTO l_holds;
            ELSIF p_op[i] = 7 THEN
                SELECT NOT EXISTS (SELECT 1 FROM {schema}.lease t WHERE t.name = p_k[i] AND t.expires_ms > l_now)
                    INTO l_holds;
            ELSE
                RAISE EXCEPTION 'unknown precondition %', p_op[i];
            END IF;
            IF NOT l_holds THEN
                status[l_job] := l_index;
                l_over := true;
            END IF;
            l_index := l_index + 1;
        ELSIF p_op[i] = 10 THEN
            l_last := l_last + 1;
            number[l_job] := l_last;
        ELSIF p_op[i] = 11 THEN
            INSERT INTO {schema}.kv AS t (k, v, version) VALUES (p_k[i], p_v[i], l_last)
                ON CONFLICT (k) DO UPDATE SET v = excluded.v, version = excluded.version;
        ELSIF p_op[i] = 12 THEN
            DELETE FROM {schema}.kv t WHERE t.k = p_k[i];
        ELSIF p_op[i] = 13 THEN
            IF p_v[i] IS NULL THEN
                DELETE FROM {schema}.kv t WHERE t.k >= p_k[i];
            ELSE
                DELETE FROM {schema}.kv t WHERE t.k >= p_k[i] AND t.k < p_v[i];
            END IF;
        ELSIF p_op[i] = 14 THEN
            INSERT INTO {schema}.kv AS t (k, v, version)
                VALUES (p_k[i], {schema}.sum_1(''::bytea, ARRAY[p_v[i]]), l_last)
                ON CONFLICT (k) DO UPDATE SET v = {schema}.sum_1(t.v, ARRAY[p_v[i]]), version = excluded.version;
        ELSIF p_op[i] = 15 THEN
            l_added_k := array_append(l_added_k, p_k[i]);
            l_added_v := array_append(l_added_v, p_v[i]);
            l_added_version := array_append(l_added_version, l_last);
        ELSIF p_op[i] = 21 THEN
            SELECT t.holder, t.token, t.expires_ms INTO l_holder, l_token, l_expires
                FROM {schema}.lease t WHERE t.name = p_k[i];
            IF FOUND AND l_expires > l_now AND p_m[i] IS DISTINCT FROM l_token THEN
                status[l_job] := 0;
                who[l_job] := l_holder;
            ELSE
                l_last := l_last + 1;
                number[l_job] := l_last;
                expires[l_job] := l_now + p_n[i];
                INSERT INTO {schema}.lease AS t (name, holder, token, expires_ms)
                    VALUES (p_k[i], p_v[i], l_last, l_now + p_n[i])
                    ON CONFLICT (name) DO UPDATE
                    SET holder = excluded.holder, token = excluded.token, expires_ms = excluded.expires_ms;
            END IF;
        ELSIF p_op[i] = 22 THEN
            UPDATE {schema}.lease t SET expires_ms = l_now + p_n[i] WHERE t.name = p_k[i] AND t.token = p_m[i];
            IF FOUND THEN
                expires[l_job] := l_now + p_n[i];
            ELSE
                status[l_job] := 0;
            END IF;
        ELSIF p_op[i] = 23 THEN
            DELETE FROM {schema}.lease t WHERE t.name = p_k[i] AND t.token = p_m[i];
        ELSE
            RAISE EXCEPTION 'unknown step %', p_op[i];
        END IF;
    END LOOP;
    IF array_length(l_added_k, 1) > 0 THEN
        FOR r IN SELECT a.k, max(a.version) AS version, array_agg(a.v) AS adds
            FROM unnest(l_added_k, l_added_v, l_added_version) AS a(k, v, version) GROUP BY a.k
        LOOP
            INSERT INTO {schema}.kv AS t (k, v, version) VALUES (r.k, {schema}.sum_1(''::bytea, r.adds), r.version)
                ON CONFLICT (k) DO UPDATE SET v = {schema}.sum_1(t.v, r.adds), version = excluded.version;
        END LOOP;
    END IF;
    IF l_last <> l_first THEN
        UPDATE {schema}.sequence s SET last = l_last WHERE s.id = 0;
    END IF;
    INSERT INTO {schema}.lane AS l (id, turn, at, status, number, expires, who)
        VALUES (p_lane, p_turn, clock_timestamp(), status, number, expires, who)
        ON CONFLICT (id) DO UPDATE SET turn = excluded.turn, at = excluded.at, status = excluded.status,
            number = excluded.number, expires = excluded.expires, who = excluded.who;
END
$body$;
