"""The lock functions.

They stand in ``studyplan``, each under ``search_path = pg_catalog, pg_temp``: with a hostile
search path a plain wrapper would call somebody else's ``pg_try_advisory_xact_lock``,
answer true and hold nothing. ``public`` has the two that other clients call by name. Whoever
changes the derivation of a key must take the old and the new lock for one release, or old and
new workers would not exclude each other.

On Citus a call without a table runs on the node that the client is connected to, and two nodes
would grant one lock twice. The package's statements read the tenant's shard beside each call,
which takes the call there; so nothing here may read a table.
"""

from alembic import op

revision = "sp_0002"
down_revision = "sp_0001"
branch_labels = None
depends_on = None

# The comment keeps whatever else the first revision noted in it.
STAMP = """
DO $$
BEGIN
  EXECUTE 'COMMENT ON SCHEMA studyplan IS ' || quote_literal(regexp_replace(
    obj_description('studyplan'::regnamespace::oid, 'pg_namespace'),
    '^studyplan-domain, revision [a-z0-9_]+', 'studyplan-domain, revision {revision}'));
END
$$
"""

# The first 8 bytes, big-endian and signed, of sha256(namespace || the 16 bytes of each uuid). The
# namespace is written as bytes, which PostgreSQL decodes once for each plan: converting text on
# every call costs as much as the lock. No backslashes: what '\\x…' means depends on
# standard_conforming_strings.
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

# Parts of the functions below: a function of their own would cost a refusal a tenth more.
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
# caller's own shared lock is not what refuses it. Of several that share a lock one is named.
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
# A shared lock becomes no exclusive one: of two transactions that share one, each would wait for
# the other. The setting ends with the locks that it tells of, in a savepoint too.
#
# With p_behind_shared_ms an exclusive lock is waited for, but only behind shared ones. That must
# be decided at one moment: a request that looked who holds the lock and then waited could meet
# an exclusive holder, and be served after one with which it overlaps. So it takes the shared
# lock first: a try succeeds only if nobody has the exclusive lock or waits for it, and nobody
# gets it from then on. It waits for the exclusive lock with the shared one in hand. Only one may
# do so, or two would wait for each other: whoever has the place, a lock of the key's two halves.
#
# The wait ends before statement_timeout (57014) or transaction_timeout (25P04, the session is
# ended) would strike, so that there is time for the answer: a tenth earlier, at least 100 ms (or
# half of a shorter timeout) and at most 1 s.
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
# In parentheses, for PL/pgSQL reads a condition up to the first THEN outside them.
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
      HINT = 'Two that share a lock would wait for each other. End this transaction and take '
        || 'the exclusive lock in the next.';
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
        -- The bound is one for all keys: what earlier ones took is not waited again.
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

# The function that the package itself calls: any keys, the identity of the transaction and its
# limits. Null means that the one lock asked for was free and the limits are as asked; otherwise
# it is the record, and under "kept" the limits that the session already had, which stay. A
# record of eight columns, and limits set by the client's statement, cost more than the lock. The
# two common paths, a free lock and an immediate refusal, need no subtransaction. With a
# p_behind_shared_ms of 0 a refusal behind shared locks keeps what it takes to be the next, until
# the transaction ends, for the same request to wait in another call. Before PostgreSQL 17 there is
# no transaction_timeout. Where Citus is loaded the record says so: what is asked of this
# transaction later must be taken to the same node.
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

# Whatever ends a transaction ends its local settings too: COMMIT and ROLLBACK in a text, AND
# CHAIN, the driver's own methods. What commits asks for the identity in the same call.
REQUIRE = """
CREATE FUNCTION studyplan.require_plan_transaction(p_identity text) RETURNS boolean
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
  RETURN true;
END
$$
"""

# The same question in the fence, an UPDATE. Not IMMUTABLE in truth: on Citus, a condition of an
# UPDATE is evaluated on the client's node if it has no column, and refused if it has one and is
# not immutable. The tenant's column keeps PostgreSQL from folding the call into a constant.
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

# It renews the identity of the transaction that has the old one: if a savepoint that only the
# server knows is rolled back, these locks are released, and the identity is the old one again.
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

# For this role, in this transaction. PostgreSQL refuses COPY under row-level security, which
# would abort the transaction, and COPY passes over the rules of a table.
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

# For clients that know the functions by these names.
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

# Raised with the functions' signatures; the package asks for it at start-up.
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
    """The function of this name in ``public``, which calls the one in ``studyplan``."""
    words = [argument.split() for argument in arguments.split(",")]
    given = (one[0] for one in words if one[0] != "OUT")
    columns = (one[1] for one in words if one[0] == "OUT")
    return PUBLIC.format(
        name=name, arguments=arguments, given=", ".join(given), columns=", ".join(columns)
    )
