"""Create the lock functions.

They are in the schema ``studyplan``, each with ``search_path = pg_catalog, pg_temp``. Under another
search path a function could call ``pg_try_advisory_xact_lock`` of another schema, which might
return true without acquiring a lock. The schema ``public`` has the two functions that other
clients call.

A revision that changes the derivation of a key must acquire both the old and the new lock for one
release. Otherwise old and new workers would not exclude each other.

On Citus a call without a table runs on the node that the client is connected to, so two nodes
would grant the same lock. The package's statements read the tenant's shard in the query that
contains the call, so that Citus executes the call on the node of the shard. Therefore the functions
must not read a distributed table.
"""

from alembic import op

revision = "sp_0002"
down_revision = "sp_0001"
branch_labels = None
depends_on = None

# Replaces only the revision in the schema's comment, because the first revision records more in it.
STAMP = """
DO $$
BEGIN
  EXECUTE 'COMMENT ON SCHEMA studyplan IS ' || quote_literal(regexp_replace(
    obj_description('studyplan'::regnamespace::oid, 'pg_namespace'),
    '^studyplan-domain, revision [a-z0-9_]+', 'studyplan-domain, revision {revision}'));
END
$$
"""

# The key is the first 8 bytes, big-endian and signed, of sha256(namespace || the 16 bytes of each
# uuid). The namespace is a constant of bytes, which PostgreSQL decodes once per plan: converting
# text in every call would cost as much as the lock. A literal such as '\x00' is not used, because
# its meaning depends on standard_conforming_strings.
KEY = """
CREATE FUNCTION studyplan.{name}({arguments}) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF {any_null} THEN
    RAISE EXCEPTION '{name}: ids must not be null' USING ERRCODE = '22004';
  END IF;
  RETURN ('x' || encode(substring(sha256(
    decode('{namespace}', 'hex') || {bytes}) FOR 8), 'hex'))::bit(64)::bigint;
END
$$
"""

# The following constants are parts of the functions below and not functions, because a call would
# make a refusal a tenth slower.
#
# pg_locks shows a bigint key as two unsigned halves with objsubid 1. The database is read from
# pg_stat_get_activity for this backend: the view pg_stat_activity reads all backends, and reading
# pg_database adds three locks to pg_locks, which all simultaneous refusals would have to scan.
THIS_LOCK = """l.locktype = 'advisory' AND l.objsubid = 1
      AND l.database = (SELECT me.datid FROM pg_stat_get_activity(pg_backend_pid()) me)
      AND l.classid::bigint = (lock_key >> 32) & 4294967295
      AND l.objid::bigint = lock_key & 4294967295"""
# PostgreSQL does not report when a lock was granted, so the time since the start of the holder's
# transaction is used. It is limited to valid values because the wall clock may be set in between.
HELD_MS = """CASE WHEN a.xact_start IS NOT NULL THEN
        greatest(0, least(2147483647,
          extract(epoch FROM clock_timestamp() - a.xact_start) * 1000))::integer
      END"""
# A prepared transaction has no process, and pg_stat_get_activity(NULL) would return all processes.
# It is found by its transaction id, on which it holds a lock too. The gid is arbitrary text that
# the client's encoding may not be able to represent, so characters outside ASCII are replaced.
HOLDER_GID = f"""SELECT regexp_replace(p.gid, '[^ -~]', '?', 'g') INTO holder_gid
    FROM pg_locks l
    JOIN pg_locks x ON x.locktype = 'transactionid' AND x.granted AND x.pid IS NULL
      AND x.virtualtransaction = l.virtualtransaction
    JOIN pg_prepared_xact() p ON p.transaction = x.transactionid
    WHERE {THIS_LOCK} AND l.granted AND l.pid IS NULL
    ORDER BY p.prepared, p.gid
    LIMIT 1;"""
# The statistics snapshot is cleared because a transaction otherwise sees other sessions as they
# were when it first read them. The caller's own shared lock is excluded, because it is not the
# reason for the refusal. If several transactions share the lock, one of them is reported.
HOLDER = f"""PERFORM pg_stat_clear_snapshot();
    SELECT l.pid, a.xact_start, {HELD_MS}, a.application_name
    INTO holder_pid, holder_since, holder_held_ms, holder_application
    FROM pg_locks l LEFT JOIN LATERAL pg_stat_get_activity(l.pid) a ON l.pid IS NOT NULL
    WHERE {THIS_LOCK} AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
    LIMIT 1;
    IF FOUND AND holder_pid IS NULL THEN
      {HOLDER_GID}
    END IF;"""

# acquire_plan_locks acquires all keys or none, in key order, because two requests for the same keys
# in different orders would deadlock. A block with an EXCEPTION clause is a subtransaction: advisory
# locks that were acquired in it are kept if the block succeeds and released if it fails. A refused
# request therefore holds none of them, and the transaction can continue. set_config in a failed
# block is rolled back with it; after a successful block the previous lock_timeout is restored. A
# read-only transaction is refused, because a lock on a standby does not exclude requests on the
# primary.
#
# A shared lock cannot become an exclusive one, because two transactions that share it would wait
# for each other. The local setting studyplan.holds_shared records that a shared lock is held. It
# ends with the locks, also if they were acquired in a savepoint that is rolled back.
#
# With p_behind_shared_ms an exclusive request waits, but only if all holders of the lock share it.
# The check and the start of the wait must be atomic: a request that first read the holders and then
# waited could wait for an exclusive holder that came in between, and generate after a request with
# which it overlaps. Therefore it first tries to acquire the shared lock. That succeeds only if no
# other transaction holds or awaits the exclusive lock, and from then on no other can acquire it.
# Then it waits for the exclusive lock while it holds the shared one. Two such requests would wait
# for each other, so only one is admitted: the one that holds an additional lock, whose key is the
# two halves of the bigint. Locks with two integer keys have a separate key space in PostgreSQL.
#
# The wait ends before statement_timeout (57014) or transaction_timeout (25P04, which ends the
# session) expires, so that there is time for the answer: earlier by a tenth of the timeout, at
# least 100 ms (half of a timeout below 200 ms) and at most 1 s.
BOUND_MS = """(
        SELECT greatest(1, least(max_wait_ms, min(
          t.ms - least(t.ms / 2, greatest(100, least(1000, t.ms / 10)))
          - greatest(0, extract(epoch FROM clock_timestamp() - t.since) * 1000))))
        FROM (VALUES
          (extract(epoch FROM current_setting('statement_timeout')::interval) * 1000,
            statement_timestamp()),
          (extract(epoch FROM current_setting('transaction_timeout', true)::interval) * 1000,
            transaction_timestamp())) AS t (ms, since)
        WHERE t.ms > 0)"""
# In parentheses, because PL/pgSQL reads a condition up to the first THEN outside parentheses.
TRY = """(CASE WHEN p_shared THEN pg_try_advisory_xact_lock_shared(lock_key)
        ELSE pg_try_advisory_xact_lock(lock_key) END)"""
TRY_BEHIND_SHARED = """(CASE WHEN pg_try_advisory_xact_lock(
          (lock_key >> 32)::integer, ((lock_key << 32) >> 32)::integer)
        THEN pg_try_advisory_xact_lock_shared(lock_key) ELSE false END)"""
ACQUIRE_MANY = f"""
CREATE FUNCTION studyplan.acquire_plan_locks(
  p_keys bigint[], p_wait_ms integer DEFAULT 0,
  p_shared boolean DEFAULT false, p_behind_shared_ms integer DEFAULT NULL,
  OUT acquired boolean, OUT outcome text, OUT lock_key bigint, OUT waited_ms integer,
  OUT holder_pid integer, OUT holder_since timestamptz, OUT holder_held_ms integer,
  OUT holder_application text, OUT holder_gid text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  sorted_keys bigint[];
  max_wait_ms integer := p_wait_ms;
  waiting_since timestamptz;
  lock_timeout_before text;
  bound_ms integer;
BEGIN
  IF current_setting('transaction_read_only') = 'on' THEN
    RAISE EXCEPTION USING
      ERRCODE = '25006',
      MESSAGE = 'acquire_plan_locks: ' || CASE WHEN pg_is_in_recovery()
        THEN 'this server is a standby' ELSE 'the transaction is read-only' END,
      HINT = CASE WHEN pg_is_in_recovery()
        THEN 'A lock on a standby does not exclude requests on the primary. Connect to the primary.'
        ELSE 'Nothing can be written under the lock. Begin the transaction READ WRITE; '
          || 'default_transaction_read_only may be set for the role, database or server.' END;
  END IF;
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION USING
      ERRCODE = '25001',
      MESSAGE = 'acquire_plan_locks: the lock needs READ COMMITTED, but the transaction is '
        || upper(current_setting('transaction_isolation')),
      HINT = 'A snapshot that is older than the lock does not contain what its previous holder '
        || 'wrote.';
  END IF;
  IF p_wait_ms IS NULL OR p_wait_ms < 0 THEN
    RAISE EXCEPTION 'acquire_plan_locks: p_wait_ms must be 0 or more' USING ERRCODE = '22023';
  END IF;
  IF p_behind_shared_ms < 0 THEN
    RAISE EXCEPTION 'acquire_plan_locks: p_behind_shared_ms must be 0 or more'
      USING ERRCODE = '22023';
  END IF;
  IF p_shared IS NULL THEN
    RAISE EXCEPTION 'acquire_plan_locks: p_shared must not be null' USING ERRCODE = '22004';
  END IF;
  IF NOT p_shared AND current_setting('studyplan.holds_shared', true) = 'on' THEN
    RAISE EXCEPTION USING
      ERRCODE = 'SP002',
      MESSAGE = 'acquire_plan_locks: the transaction holds a shared lock',
      HINT = 'Two transactions that share a lock would wait for each other. End this transaction, '
        || 'and acquire the exclusive lock in a new one.';
  END IF;
  IF p_keys IS NULL OR array_position(p_keys, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'acquire_plan_locks: keys must not be null' USING ERRCODE = '22004';
  END IF;
  sorted_keys := ARRAY(SELECT DISTINCT k FROM unnest(p_keys) k ORDER BY k);
  IF cardinality(sorted_keys) NOT BETWEEN 1 AND 100 THEN
    RAISE EXCEPTION 'acquire_plan_locks: 1 to 100 keys are allowed' USING ERRCODE = '22023';
  END IF;
  IF p_wait_ms = 0 AND NOT p_shared THEN
    max_wait_ms := coalesce(p_behind_shared_ms, 0);
  END IF;
  waited_ms := 0;
  lock_timeout_before := current_setting('lock_timeout');
  acquired := true;
  outcome := 'acquired';
  BEGIN
    FOREACH lock_key IN ARRAY sorted_keys LOOP
      CONTINUE WHEN {TRY};
      IF max_wait_ms = 0 OR p_wait_ms = 0 AND NOT {TRY_BEHIND_SHARED} THEN
        outcome := 'busy';
        RAISE lock_not_available;
      END IF;
      IF waiting_since IS NULL THEN
        waiting_since := clock_timestamp();
        bound_ms := {BOUND_MS};
      ELSE
        -- One bound applies to all keys, so the time waited for earlier keys is subtracted.
        waited_ms := greatest(waited_ms, least(bound_ms,
          extract(epoch FROM clock_timestamp() - waiting_since) * 1000));
      END IF;
      PERFORM set_config('lock_timeout', greatest(1, bound_ms - waited_ms)::text, true);
      PERFORM CASE WHEN p_shared THEN pg_advisory_xact_lock_shared(lock_key)
        ELSE pg_advisory_xact_lock(lock_key) END;
      outcome := 'waited';
    END LOOP;
    PERFORM set_config('lock_timeout', lock_timeout_before, true);
    IF p_shared THEN
      PERFORM set_config('studyplan.holds_shared', 'on', true);
    END IF;
  EXCEPTION WHEN lock_not_available THEN
    acquired := false;
    outcome := CASE outcome WHEN 'busy' THEN 'busy' ELSE 'timeout' END;
  END;
  IF waiting_since IS NOT NULL THEN
    waited_ms := greatest(waited_ms, least(max_wait_ms,
      extract(epoch FROM clock_timestamp() - waiting_since) * 1000));
  END IF;
  IF NOT acquired THEN
    {HOLDER}
  END IF;
END
$$
"""

GROUP_LOCK = """
  p_group_id uuid, p_wait_ms integer DEFAULT 0,
  OUT acquired boolean, OUT outcome text, OUT lock_key bigint, OUT waited_ms integer,
  OUT holder_pid integer, OUT holder_since timestamptz, OUT holder_held_ms integer,
  OUT holder_application text, OUT holder_gid text"""
ACQUIRE = f"""
CREATE FUNCTION studyplan.acquire_plan_group_lock({GROUP_LOCK})
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT l.acquired, l.outcome, l.lock_key, l.waited_ms,
      l.holder_pid, l.holder_since, l.holder_held_ms, l.holder_application, l.holder_gid
    INTO acquired, outcome, lock_key, waited_ms,
      holder_pid, holder_since, holder_held_ms, holder_application, holder_gid
    FROM studyplan.acquire_plan_locks(
      ARRAY[studyplan.plan_group_lock_key(p_group_id)], p_wait_ms) l;
END
$$
"""

# The function that the package itself calls: it acquires locks and sets the transaction's identity
# and limits. It returns null if the only requested lock was free and the limits were set as
# requested. Otherwise it returns the record of acquire_plan_locks, and under "kept" the limits that
# the session already had, which are kept. Returning a record of several columns, and setting the
# limits in the client's statement, would cost more than the lock.
#
# The two common paths, a free lock and an immediate refusal, need no subtransaction. If
# p_behind_shared_ms is 0 and all holders share the lock, a refused request keeps the two locks that
# make it the next one until the transaction ends, so that it can wait in another call.
#
# transaction_timeout does not exist before PostgreSQL 17. If Citus is loaded, the record contains
# "has_nodes", because later queries about this transaction must be sent to the same node.
ENTER = f"""
CREATE FUNCTION studyplan.acquire_plan_locks_with_limits(
  p_keys bigint[], p_wait_ms integer, p_shared boolean, p_behind_shared_ms integer, p_identity text,
  p_idle_timeout text, p_transaction_timeout text, p_lock_timeout text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lock_key bigint;
  holder_pid integer;
  holder_since timestamptz;
  holder_held_ms integer;
  holder_application text;
  holder_gid text;
  behind_shared boolean := false;
  answer jsonb;
  kept jsonb;
BEGIN
  IF p_wait_ms >= 0 AND coalesce(p_behind_shared_ms, 0) >= 0 AND p_shared IS NOT NULL
    AND cardinality(p_keys) = 1 AND p_keys[1] IS NOT NULL
    AND current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
    AND current_setting('transaction_read_only') = 'off'
    AND (p_shared OR current_setting('studyplan.holds_shared', true) IS DISTINCT FROM 'on')
  THEN
    lock_key := p_keys[1];
    IF {TRY} THEN
      IF p_shared THEN
        PERFORM set_config('studyplan.holds_shared', 'on', true);
      END IF;
    ELSIF p_wait_ms = 0 AND coalesce(p_behind_shared_ms, 0) = 0 THEN
      IF p_behind_shared_ms = 0 AND NOT p_shared THEN
        behind_shared := {TRY_BEHIND_SHARED};
      END IF;
      {HOLDER}
      RETURN jsonb_build_object(
        'acquired', false, 'outcome', 'busy', 'lock_key', lock_key, 'waited_ms', 0,
        'holder_pid', holder_pid, 'holder_since', holder_since,
        'holder_held_ms', holder_held_ms, 'holder_application', holder_application,
        'holder_gid', holder_gid, 'behind_shared', behind_shared);
    ELSE
      SELECT to_jsonb(l) INTO answer
        FROM studyplan.acquire_plan_locks(p_keys, p_wait_ms, p_shared, p_behind_shared_ms) l;
    END IF;
  ELSE
    SELECT to_jsonb(l) INTO answer
      FROM studyplan.acquire_plan_locks(p_keys, p_wait_ms, p_shared, p_behind_shared_ms) l;
  END IF;
  IF current_setting('idle_in_transaction_session_timeout') = '0' THEN
    PERFORM set_config('idle_in_transaction_session_timeout', p_idle_timeout, true);
  ELSE
    kept := jsonb_build_object('idle_in_transaction_session_timeout',
      current_setting('idle_in_transaction_session_timeout'));
  END IF;
  IF current_setting('transaction_timeout', true) = '0' THEN
    PERFORM set_config('transaction_timeout', p_transaction_timeout, true);
  ELSIF current_setting('transaction_timeout', true) IS NOT NULL THEN
    kept := coalesce(kept, jsonb '{{}}')
      || jsonb_build_object('transaction_timeout', current_setting('transaction_timeout'));
  END IF;
  IF current_setting('lock_timeout') = '0' THEN
    PERFORM set_config('lock_timeout', p_lock_timeout, true);
  ELSE
    kept := coalesce(kept, jsonb '{{}}')
      || jsonb_build_object('lock_timeout', current_setting('lock_timeout'));
  END IF;
  IF answer IS NULL OR answer -> 'acquired' = 'true' THEN
    PERFORM set_config('studyplan.transaction', p_identity, true);
  END IF;
  IF current_setting('citus.shard_count', true) IS NOT NULL THEN
    IF answer IS NULL AND kept IS NULL THEN
      RETURN jsonb '{{"has_nodes": true}}';
    END IF;
    answer := coalesce(answer, jsonb '{{"acquired": true, "outcome": "acquired"}}')
      || jsonb '{{"has_nodes": true}}';
  END IF;
  IF kept IS NULL THEN
    RETURN answer;
  END IF;
  RETURN coalesce(answer, jsonb '{{"acquired": true, "outcome": "acquired"}}')
    || jsonb_build_object('kept', kept);
END
$$
"""

# A local setting ends with its transaction, whether that is ended by a statement (COMMIT, ROLLBACK,
# with or without AND CHAIN) or by a method of the driver. The package calls this function in the
# round trip of the COMMIT.
REQUIRE = """
CREATE FUNCTION studyplan.require_plan_transaction(p_identity text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF current_setting('studyplan.transaction', true) IS DISTINCT FROM p_identity THEN
    RAISE EXCEPTION USING
      ERRCODE = 'SP001',
      MESSAGE = 'require_plan_transaction: this is not the transaction that acquired the lock',
      HINT = 'That transaction was ended by a COMMIT or ROLLBACK inside the unit of work.';
  END IF;
  RETURN true;
END
$$
"""

# The same check for the fence, which is an UPDATE. The function is declared IMMUTABLE although it
# is not: Citus evaluates a condition of an UPDATE on the client's node if it has no column, and
# rejects it if it has a column and is not immutable. The argument with the tenant's column prevents
# PostgreSQL from folding the call into a constant.
IS_TRANSACTION = """
CREATE FUNCTION studyplan.is_plan_transaction(p_tenant_id uuid, p_identity text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN coalesce(current_setting('studyplan.transaction', true) = p_identity, false);
END
$$
"""

# Acquires the students' locks and gives the transaction a new identity, if it has the old one. If
# this happened in a savepoint that only the server knows about, rolling it back releases these
# locks and restores the old identity, so the check of the new one fails.
STUDENTS = """
CREATE FUNCTION studyplan.acquire_student_locks(
  p_keys bigint[], p_wait_ms integer, p_identity text, p_renewed text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  answer jsonb;
BEGIN
  SELECT to_jsonb(l) INTO answer FROM studyplan.acquire_plan_locks(p_keys, p_wait_ms) l;
  IF answer -> 'acquired' = 'true'
    AND current_setting('studyplan.transaction', true) = p_identity
  THEN
    PERFORM set_config('studyplan.transaction', p_renewed, true);
  END IF;
  RETURN answer;
END
$$
"""

# Whether the current role may write plans by COPY. PostgreSQL rejects COPY FROM under row-level
# security, which would abort the transaction, and COPY does not apply the rules of a table.
COPYABLE = """
CREATE FUNCTION studyplan.plans_are_copyable() RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN NOT row_security_active('studyplan.student_plans') AND NOT EXISTS (
    SELECT FROM pg_class WHERE oid = 'studyplan.student_plans'::regclass AND relhasrules);
END
$$
"""

# The status of a lock. pg_locks is read only once, so that the columns are consistent.
GROUP_LOCK_STATUS = """
  p_group_id uuid,
  OUT held boolean, OUT held_by_me boolean, OUT lock_key bigint,
  OUT holder_pid integer, OUT holder_since timestamptz, OUT holder_held_ms integer,
  OUT holder_application text, OUT holder_gid text, OUT waiting integer"""
CHECK = f"""
CREATE FUNCTION studyplan.check_plan_group_lock({GROUP_LOCK_STATUS})
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  lock_key := studyplan.plan_group_lock_key(p_group_id);
  PERFORM pg_stat_clear_snapshot();
  WITH locks AS MATERIALIZED (
    SELECT l.pid, l.granted, l.granted AND l.pid IS NOT DISTINCT FROM pg_backend_pid() AS mine
    FROM pg_locks l WHERE {THIS_LOCK}
  )
  SELECT s.any_granted, s.any_mine, s.not_granted,
      h.pid, h.xact_start, h.held_ms, h.application_name
    INTO held, held_by_me, waiting,
      holder_pid, holder_since, holder_held_ms, holder_application
    FROM (
      SELECT coalesce(bool_or(l.granted), false) AS any_granted,
        coalesce(bool_or(l.mine), false) AS any_mine,
        count(*) FILTER (WHERE NOT l.granted) AS not_granted
      FROM locks l
    ) s LEFT JOIN (
      SELECT l.pid, a.xact_start, {HELD_MS} AS held_ms, a.application_name
      FROM locks l LEFT JOIN LATERAL pg_stat_get_activity(l.pid) a ON l.pid IS NOT NULL
      WHERE l.granted
      ORDER BY l.mine DESC, a.xact_start, l.pid
      LIMIT 1
    ) h ON true;
  IF held AND holder_pid IS NULL THEN
    {HOLDER_GID}
  END IF;
END
$$
"""

# Wrappers in the schema public, for clients that call the functions by these names.
PUBLIC = """
CREATE FUNCTION public.{name}({arguments})
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT * INTO {columns} FROM studyplan.{name}({given});
END
$$
"""

# Increment the version when a signature changes. The package checks it at start-up.
VERSION = """
CREATE FUNCTION studyplan.plan_lock_version() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT 1 $$
"""

ENTER_TYPES = "bigint[], integer, boolean, integer, text, text, text, text"
FUNCTIONS = (
    "public.check_plan_group_lock(uuid)",
    "public.acquire_plan_group_lock(uuid, integer)",
    "studyplan.plan_lock_version()",
    "studyplan.plans_are_copyable()",
    "studyplan.check_plan_group_lock(uuid)",
    "studyplan.is_plan_transaction(uuid, text)",
    "studyplan.require_plan_transaction(text)",
    "studyplan.acquire_student_locks(bigint[], integer, text, text)",
    f"studyplan.acquire_plan_locks_with_limits({ENTER_TYPES})",
    "studyplan.acquire_plan_group_lock(uuid, integer)",
    "studyplan.acquire_plan_locks(bigint[], integer, boolean, integer)",
    "studyplan.student_lock_key(uuid, uuid)",
    "studyplan.plan_group_lock_key(uuid)",
)


def upgrade() -> None:
    op.execute(STAMP.format(revision=revision))
    op.execute(_key("plan_group", "p_group_id"))
    op.execute(_key("student", "p_tenant_id", "p_student_id"))
    for statement in (
        ACQUIRE_MANY,
        ACQUIRE,
        ENTER,
        STUDENTS,
        REQUIRE,
        IS_TRANSACTION,
        CHECK,
        COPYABLE,
        VERSION,
        _public("acquire_plan_group_lock", GROUP_LOCK),
        _public("check_plan_group_lock", GROUP_LOCK_STATUS),
    ):
        op.execute(statement)
    for function in FUNCTIONS:
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.execute(STAMP.format(revision=down_revision))


def _key(kind: str, *ids: str) -> str:
    return KEY.format(
        name=f"{kind}_lock_key",
        arguments=", ".join(f"{id_} uuid" for id_ in ids),
        any_null=" OR ".join(f"{id_} IS NULL" for id_ in ids),
        namespace=f"studyplan.{kind}:".encode().hex(),
        bytes=" || ".join(f"uuid_send({id_})" for id_ in ids),
    )


def _public(name: str, arguments: str) -> str:
    """Return the statement that creates a wrapper in ``public`` of a function in ``studyplan``."""
    parsed = [argument.split() for argument in arguments.split(",")]
    given = (parts[0] for parts in parsed if parts[0] != "OUT")
    columns = (parts[1] for parts in parsed if parts[0] == "OUT")
    return PUBLIC.format(
        name=name, arguments=arguments, given=", ".join(given), columns=", ".join(columns)
    )
