"""The lock functions.

They stand in ``public``, each under ``search_path = pg_catalog, pg_temp``: with a hostile
search path a plain wrapper would call somebody else's ``pg_try_advisory_xact_lock``,
answer true and hold nothing. Whoever changes the derivation of a key must take the old
and the new lock for one release, or old and new workers would not exclude each other.
"""

from alembic import op

revision = "sp_0002"
down_revision = "sp_0001"
branch_labels = None
depends_on = None

# The first 8 bytes, big-endian and signed, of sha256(namespace || the uuid's 16 bytes). The
# namespace is written as bytes, which PostgreSQL decodes once for each plan: converting text on
# every call costs as much as the lock. No backslashes: what '\\x…' means depends on
# standard_conforming_strings.
DERIVATION = """('x' || encode(substring(sha256(
    decode('{namespace}', 'hex') || uuid_send({argument})) FOR 8), 'hex'))::bit(64)::bigint"""

KEY = """
CREATE FUNCTION public.{name}({argument} uuid) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF {argument} IS NULL THEN
    RAISE EXCEPTION '{name}: {argument} must not be null' USING ERRCODE = '22004';
  END IF;
  RETURN {derivation};
END
$$
"""

# Parts of the three functions below: a function of their own would cost a refusal a tenth more.
# pg_locks shows a bigint key as two unsigned halves with objsubid 1. pg_stat_activity would look
# at every backend where one is asked for, and pg_database would leave three more locks in
# pg_locks for every other refusal at the same time to look through.
THIS_LOCK = """l.locktype = 'advisory' AND l.objsubid = 1
      AND l.database = (SELECT me.datid FROM pg_stat_get_activity(pg_backend_pid()) me)
      AND l.classid::bigint = (lock_key >> 32) & 4294967295
      AND l.objid::bigint = lock_key & 4294967295"""
# PostgreSQL does not publish when a lock was granted. A wall clock may be set between two reads.
HELD_MS = """CASE WHEN a.xact_start IS NOT NULL THEN
        greatest(0, least(2147483647,
          extract(epoch FROM clock_timestamp() - a.xact_start) * 1000))::integer
      END"""
# A prepared transaction has no process: pg_stat_get_activity(NULL) would return all of them. The
# gid is any text; a client's encoding may lack its characters, so only ASCII is shown.
HOLDER_GID = f"""SELECT regexp_replace(p.gid, '[^ -~]', '?', 'g') INTO holder_gid
    FROM pg_locks l
    JOIN pg_locks x ON x.locktype = 'transactionid' AND x.granted AND x.pid IS NULL
      AND x.virtualtransaction = l.virtualtransaction
    JOIN pg_prepared_xact() p ON p.transaction = x.transactionid
    WHERE {THIS_LOCK} AND l.granted AND l.pid IS NULL
    ORDER BY p.prepared, p.gid
    LIMIT 1;"""
# Without clearing, a transaction would see other sessions as they were when it first looked. The
# caller's own shared lock is not what refuses it.
HOLDER = f"""PERFORM pg_stat_clear_snapshot();
    SELECT l.pid, a.xact_start, {HELD_MS}, a.application_name
    INTO holder_pid, holder_since, holder_held_ms, holder_application
    FROM pg_locks l LEFT JOIN LATERAL pg_stat_get_activity(l.pid) a ON l.pid IS NOT NULL
    WHERE {THIS_LOCK} AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
    LIMIT 1;
    IF FOUND AND holder_pid IS NULL THEN
      {HOLDER_GID}
    END IF;"""

# All keys or none, in the order of the keys: two that ask for the same keys in different
# orders would deadlock. Advisory locks taken inside a block's subtransaction stay when the
# block ends well and are gone when it fails, so a refusal holds nothing and the transaction
# goes on. set_config inside a failed block is undone with it; after a good one it is put back.
# Refused if read-only: a lock on a standby excludes nobody on the primary.
#
# The wait ends before statement_timeout (57014) or transaction_timeout (25P04, the session is
# ended) would strike, so that there is time for the answer: a tenth earlier, at least 100 ms (or
# half of a shorter timeout) and at most 1 s.
BOUND_MS = """(
        SELECT greatest(1, least(p_wait_ms, min(
          t.ms - least(t.ms / 2, greatest(100, least(1000, t.ms / 10)))
          - greatest(0, extract(epoch FROM clock_timestamp() - t.since) * 1000))))
        FROM (VALUES
          (extract(epoch FROM current_setting('statement_timeout')::interval) * 1000,
            statement_timestamp()),
          (extract(epoch FROM current_setting('transaction_timeout', true)::interval) * 1000,
            transaction_timestamp())) AS t (ms, since)
        WHERE t.ms > 0)"""
ACQUIRE_MANY = f"""
CREATE FUNCTION public.acquire_plan_locks(
  p_keys bigint[], p_wait_ms integer DEFAULT 0,
  OUT acquired boolean, OUT outcome text, OUT lock_key bigint, OUT waited_ms integer,
  OUT holder_pid integer, OUT holder_since timestamptz, OUT holder_held_ms integer,
  OUT holder_application text, OUT holder_gid text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  sorted_keys bigint[];
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
        THEN 'A lock taken on a standby excludes nobody on the primary. Connect to the primary.'
        ELSE 'Nothing can be written under the lock. Begin the transaction READ WRITE; '
          || 'default_transaction_read_only may be set for the role, database or server.' END;
  END IF;
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION USING
      ERRCODE = '25001',
      MESSAGE = 'acquire_plan_locks: needs READ COMMITTED, the transaction is '
        || upper(current_setting('transaction_isolation')),
      HINT = 'A snapshot older than the lock does not see what the last holder wrote.';
  END IF;
  IF p_wait_ms IS NULL OR p_wait_ms < 0 THEN
    RAISE EXCEPTION 'acquire_plan_locks: p_wait_ms must be 0 or more' USING ERRCODE = '22023';
  END IF;
  IF p_keys IS NULL OR array_position(p_keys, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'acquire_plan_locks: keys must not be null' USING ERRCODE = '22004';
  END IF;
  sorted_keys := ARRAY(SELECT DISTINCT k FROM unnest(p_keys) k ORDER BY k);
  IF cardinality(sorted_keys) NOT BETWEEN 1 AND 100 THEN
    RAISE EXCEPTION 'acquire_plan_locks: 1 to 100 keys are allowed' USING ERRCODE = '22023';
  END IF;
  waited_ms := 0;
  lock_timeout_before := current_setting('lock_timeout');
  acquired := true;
  outcome := 'acquired';
  BEGIN
    FOREACH lock_key IN ARRAY sorted_keys LOOP
      CONTINUE WHEN pg_try_advisory_xact_lock(lock_key);
      IF p_wait_ms = 0 THEN
        outcome := 'busy';
        RAISE lock_not_available;
      END IF;
      IF waiting_since IS NULL THEN
        waiting_since := clock_timestamp();
        bound_ms := {BOUND_MS};
      ELSE
        -- The bound is one for all keys: what earlier ones took is not waited again.
        waited_ms := greatest(waited_ms, least(bound_ms,
          extract(epoch FROM clock_timestamp() - waiting_since) * 1000));
      END IF;
      PERFORM set_config('lock_timeout', greatest(1, bound_ms - waited_ms)::text, true);
      PERFORM pg_advisory_xact_lock(lock_key);
      outcome := 'waited';
    END LOOP;
    PERFORM set_config('lock_timeout', lock_timeout_before, true);
  EXCEPTION WHEN lock_not_available THEN
    acquired := false;
    outcome := CASE WHEN p_wait_ms = 0 THEN 'busy' ELSE 'timeout' END;
  END;
  IF waiting_since IS NOT NULL THEN
    waited_ms := greatest(waited_ms, least(p_wait_ms,
      extract(epoch FROM clock_timestamp() - waiting_since) * 1000));
  END IF;
  IF NOT acquired THEN
    {HOLDER}
  END IF;
END
$$
"""

ACQUIRE = """
CREATE FUNCTION public.acquire_plan_group_lock(
  p_group_id uuid, p_wait_ms integer DEFAULT 0,
  OUT acquired boolean, OUT outcome text, OUT lock_key bigint, OUT waited_ms integer,
  OUT holder_pid integer, OUT holder_since timestamptz, OUT holder_held_ms integer,
  OUT holder_application text, OUT holder_gid text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT * INTO acquired, outcome, lock_key, waited_ms,
    holder_pid, holder_since, holder_held_ms, holder_application, holder_gid
    FROM public.acquire_plan_locks(ARRAY[public.plan_group_lock_key(p_group_id)], p_wait_ms);
END
$$
"""

# The function that the package itself calls: any keys, the identity of the transaction and its
# limits. Null means that the one lock asked for was free and the limits are as asked; otherwise
# it is the record, and under "kept" the limits that the session already had, which stay. A
# record of eight columns, and limits set by the client's statement, cost more than the lock. The
# two common paths, a free lock and an immediate refusal, need no subtransaction. Before
# PostgreSQL 17 there is no transaction_timeout.
ENTER = f"""
CREATE FUNCTION public.acquire_plan_locks_with_limits(
  p_keys bigint[], p_wait_ms integer, p_identity text,
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
  answer jsonb;
  kept jsonb;
BEGIN
  IF p_wait_ms >= 0 AND cardinality(p_keys) = 1 AND p_keys[1] IS NOT NULL
    AND current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
    AND current_setting('transaction_read_only') = 'off'
  THEN
    lock_key := p_keys[1];
    IF NOT pg_try_advisory_xact_lock(lock_key) THEN
      IF p_wait_ms = 0 THEN
        {HOLDER}
        RETURN jsonb_build_object(
          'acquired', false, 'outcome', 'busy', 'lock_key', lock_key, 'waited_ms', 0,
          'holder_pid', holder_pid, 'holder_since', holder_since,
          'holder_held_ms', holder_held_ms, 'holder_application', holder_application,
          'holder_gid', holder_gid);
      END IF;
      SELECT to_jsonb(l) INTO answer FROM public.acquire_plan_locks(p_keys, p_wait_ms) l;
    END IF;
  ELSE
    SELECT to_jsonb(l) INTO answer FROM public.acquire_plan_locks(p_keys, p_wait_ms) l;
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
  IF kept IS NULL THEN
    RETURN answer;
  END IF;
  RETURN coalesce(answer, jsonb '{{"acquired": true, "outcome": "acquired"}}')
    || jsonb_build_object('kept', kept);
END
$$
"""

# Whatever ends a transaction ends its local settings too: COMMIT and ROLLBACK in a text, AND
# CHAIN, the driver's own methods. What commits asks for the identity in the same call.
REQUIRE = """
CREATE FUNCTION public.require_plan_transaction(p_identity text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF current_setting('studyplan.transaction', true) IS DISTINCT FROM p_identity THEN
    RAISE EXCEPTION USING
      ERRCODE = 'SP001',
      MESSAGE = 'require_plan_transaction: this is not the transaction that took the lock',
      HINT = 'A COMMIT or ROLLBACK inside the unit of work has ended that one.';
  END IF;
END
$$
"""

CHECK = f"""
CREATE FUNCTION public.check_plan_group_lock(
  p_group_id uuid,
  OUT held boolean, OUT held_by_me boolean, OUT lock_key bigint,
  OUT holder_pid integer, OUT holder_since timestamptz, OUT holder_held_ms integer,
  OUT holder_application text, OUT holder_gid text, OUT waiting integer)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  lock_key := public.plan_group_lock_key(p_group_id);
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

# Raised with the functions' signatures; the package asks for it at start-up.
VERSION = """
CREATE FUNCTION public.plan_lock_version() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT 1 $$
"""

FUNCTIONS = (
    "plan_lock_version()",
    "check_plan_group_lock(uuid)",
    "require_plan_transaction(text)",
    "acquire_plan_locks_with_limits(bigint[], integer, text, text, text, text)",
    "acquire_plan_group_lock(uuid, integer)",
    "acquire_plan_locks(bigint[], integer)",
    "student_lock_key(uuid)",
    "plan_group_lock_key(uuid)",
)


def upgrade() -> None:
    for kind, argument in (("plan_group", "p_group_id"), ("student", "p_student_id")):
        namespace = f"studyplan.{kind}:".encode().hex()
        derivation = DERIVATION.format(namespace=namespace, argument=argument)
        name = f"{kind}_lock_key"
        op.execute(KEY.format(name=name, argument=argument, derivation=derivation))
    for statement in (ACQUIRE_MANY, ACQUIRE, ENTER, REQUIRE, CHECK, VERSION):
        op.execute(statement)
    for function in FUNCTIONS:
        op.execute(f"REVOKE EXECUTE ON FUNCTION public.{function} FROM PUBLIC")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION public.{function}")
