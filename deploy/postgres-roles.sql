-- Who may do what in meterd's database. Run it in that database as the owner of the tables (and with
-- the right to make roles) after `meterd db upgrade`, and again after each upgrade:
--
--     psql -v ON_ERROR_STOP=1 -f postgres-roles.sql "$DATABASE_URL"
--
-- The owner is whoever ran `meterd db upgrade`: only the owner can change tables and triggers, and
-- nothing but `meterd archive`, which drops partitions, and `meterd legacy` needs that role at any other
-- time: give it to the operator who archives, never to the daemon. The roles below have no password, so nobody can log in
-- as one of them before you have given it one: \password meterd_daemon

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'meterd_daemon', 'meterd_gateway', 'meterd_backend', 'meterd_operator', 'meterd_recovery'
    ]
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        END IF;
    END LOOP;
END
$$;

-- PostgreSQL 14 lets everybody make tables in this schema.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public
    TO meterd_daemon, meterd_gateway, meterd_backend, meterd_operator, meterd_recovery;

-- From nothing, so that what a release needs no more is taken back.
REVOKE ALL ON
    chat_time_records, ledger_entries, command_journal, policies, recorder_states, operations, opening_free_times,
    opening_states, journal_archives, layout, meterd_schema_version
    FROM PUBLIC, meterd_daemon, meterd_gateway, meterd_backend, meterd_operator, meterd_recovery;

-- The daemon: the recorder writes, the supervisor looks ended chats up. Nothing is ever deleted.
GRANT SELECT, INSERT, UPDATE ON chat_time_records, recorder_states TO meterd_daemon;
GRANT SELECT, INSERT ON
    ledger_entries, command_journal, policies, operations, opening_free_times, layout TO meterd_daemon;
GRANT SELECT ON opening_states, journal_archives, meterd_schema_version TO meterd_daemon;

-- The gateway, `meterd chat` and `meterd audit` read, and that is all. What operators decide reaches
-- these tables through Redis and the daemon.
GRANT SELECT ON
    chat_time_records, ledger_entries, command_journal, policies, recorder_states, operations, opening_free_times,
    opening_states, journal_archives, layout, meterd_schema_version
    TO meterd_gateway, meterd_operator, meterd_recovery;

-- A backend whose client is given a postgres_url: chats that ended more than a day ago.
GRANT SELECT ON chat_time_records TO meterd_backend;

-- `meterd legacy` is run once, by the owner: the tables legacy_* are nobody else's. The old tables are
-- read with whatever role legacy.url names; give that of the gateway SELECT on them where they are in
-- this database, and that of backends whose client is given legacy=.

-- `meterd recover` names the memory that it has rebuilt, and notes who did it.
GRANT UPDATE ON recorder_states TO meterd_recovery;
GRANT INSERT ON operations TO meterd_recovery;
