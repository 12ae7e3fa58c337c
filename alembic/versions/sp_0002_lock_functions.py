"""The lock functions.

They stand in ``public``, each under ``search_path = pg_catalog, pg_temp``: with a hostile
search path a plain wrapper would call somebody else's ``pg_try_advisory_xact_lock``,
answer true and hold nothing. Whoever changes the derivation of a key must take the old
and the new lock for one release, or old and new workers would not exclude each other.
"""

from alembic import context, op

revision = "sp_0002"
down_revision = "sp_0001"
branch_labels = None
depends_on = None

# The first 8 bytes, big-endian and signed, of sha256(namespace || the uuid's 16 bytes).
KEY = """
CREATE FUNCTION public.{name}({argument} uuid) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF {argument} IS NULL THEN
    RAISE EXCEPTION '{name}: {argument} must not be null' USING ERRCODE = '22004';
  END IF;
  RETURN ('x' || encode(substring(sha256(
    convert_to('{namespace}', 'UTF8') || uuid_send({argument})) FOR 8), 'hex'))::bit(64)::bigint;
END
$$
"""

# pg_locks shows a bigint key as two unsigned halves with objsubid 1.
HOLDER = """
CREATE FUNCTION public.plan_lock_holder(
  p_key bigint, OUT pid integer, OUT since timestamptz, OUT application_name text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT l.pid, a.xact_start, a.application_name
  FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND l.classid::bigint = (p_key >> 32) & 4294967295
    AND l.objid::bigint = p_key & 4294967295
  LIMIT 1
$$
"""

REFUSE_SNAPSHOTS = """
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION '{name}: needs READ COMMITTED, the transaction is %',
      upper(current_setting('transaction_isolation'))
      USING ERRCODE = '25001',
      HINT = 'A snapshot older than the lock does not see what the last holder wrote.';
  END IF;
  IF p_wait_ms IS NULL OR p_wait_ms < 0 THEN
    RAISE EXCEPTION '{name}: p_wait_ms must be 0 or more' USING ERRCODE = '22023';
  END IF;
"""

# An advisory lock taken inside the block's subtransaction stays when the block ends well
# and is gone when it fails, so a failed wait holds nothing and the transaction goes on.
# set_config inside a failed block is undone with it; after a good one it is put back.
ACQUIRE = """
CREATE FUNCTION public.acquire_plan_group_lock(
  p_group_id uuid, p_wait_ms integer DEFAULT 0,
  OUT acquired boolean, OUT outcome text, OUT lock_key bigint, OUT waited_ms integer,
  OUT holder_pid integer, OUT holder_since timestamptz, OUT holder_application text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  asked_at timestamptz;
  lock_timeout_before text;
BEGIN
{checks}
  lock_key := public.plan_group_lock_key(p_group_id);
  waited_ms := 0;
  acquired := pg_try_advisory_xact_lock(lock_key);
  IF acquired THEN
    outcome := 'acquired';
    RETURN;
  END IF;
  SELECT h.pid, h.since, h.application_name
    INTO holder_pid, holder_since, holder_application
    FROM public.plan_lock_holder(lock_key) h;
  IF p_wait_ms = 0 THEN
    outcome := 'busy';
    RETURN;
  END IF;
  asked_at := clock_timestamp();
  lock_timeout_before := current_setting('lock_timeout');
  BEGIN
    PERFORM set_config('lock_timeout', p_wait_ms::text, true);
    PERFORM pg_advisory_xact_lock(lock_key);
    PERFORM set_config('lock_timeout', lock_timeout_before, true);
    acquired := true;
    outcome := 'waited';
  EXCEPTION WHEN lock_not_available THEN
    outcome := 'timeout';
  END;
  waited_ms := extract(epoch FROM clock_timestamp() - asked_at) * 1000;
  IF NOT acquired THEN
    SELECT h.pid, h.since, h.application_name
      INTO holder_pid, holder_since, holder_application
      FROM public.plan_lock_holder(lock_key) h;
  END IF;
END
$$
"""

CHECK = """
CREATE FUNCTION public.check_plan_group_lock(
  p_group_id uuid,
  OUT held boolean, OUT held_by_me boolean, OUT lock_key bigint,
  OUT holder_pid integer, OUT holder_since timestamptz, OUT holder_application text,
  OUT waiting integer)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  lock_key := public.plan_group_lock_key(p_group_id);
  SELECT h.pid, h.since, h.application_name
    INTO holder_pid, holder_since, holder_application
    FROM public.plan_lock_holder(lock_key) h;
  held := holder_pid IS NOT NULL;
  held_by_me := held AND holder_pid = pg_backend_pid();
  SELECT count(*) INTO waiting FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND NOT l.granted
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND l.classid::bigint = (lock_key >> 32) & 4294967295
    AND l.objid::bigint = lock_key & 4294967295;
END
$$
"""

FUNCTIONS = (
    "check_plan_group_lock(uuid)",
    "acquire_plan_group_lock(uuid, integer)",
    "plan_lock_holder(bigint)",
    "plan_group_lock_key(uuid)",
)


def upgrade() -> None:
    op.execute(
        KEY.format(
            name="plan_group_lock_key", argument="p_group_id", namespace="studyplan.plan_group:"
        )
    )
    op.execute(HOLDER)
    checks = REFUSE_SNAPSHOTS.format(name="acquire_plan_group_lock")
    op.execute(ACQUIRE.format(checks=checks))
    op.execute(CHECK)
    roles = context.config.attributes.get("grant_to") or context.get_x_argument(
        as_dictionary=True
    ).get("grant_to")
    for function in FUNCTIONS:
        op.execute(f"REVOKE EXECUTE ON FUNCTION public.{function} FROM PUBLIC")
        if roles:
            quoted = ", ".join(
                '"{}"'.format(role.strip().replace('"', '""')) for role in str(roles).split(",")
            )
            op.execute(f"GRANT EXECUTE ON FUNCTION public.{function} TO {quoted}")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION public.{function}")
