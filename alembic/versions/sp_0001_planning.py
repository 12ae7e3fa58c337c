"""Create the tables of plan groups, of their parts, of students' time, and of plans.

The constraints are the last line of defence. A writer that does not acquire the lock still cannot
store two live plans of a student at the same time, two generations of a group with the same number,
or a row whose parent belongs to another tenant.

The tenant is the first column of every key, so that the tables can be distributed by it.
"""

from alembic import op

revision = "sp_0001"
down_revision = None
branch_labels = ("studyplan",)
depends_on = None

# Every name is qualified with its schema, so the search_path has no effect on what is created or
# read. In an application's own Alembic environment, this statement creates the schema. The
# package's environment creates it just before the first revision, for the version table, with the
# comment 'studyplan-domain'.
#
# The schema's comment records the revision, for any environment that runs it, and whether the
# schema existed before. In that case the downgrade keeps the schema and restores its original
# comment.
#
# The statement contains no percent signs, because some environments double them.
CREATE_SCHEMA = """
DO $$
DECLARE
  found text;
BEGIN
  IF to_regnamespace('studyplan') IS NULL THEN
    CREATE SCHEMA studyplan;
    COMMENT ON SCHEMA studyplan IS 'studyplan-domain, revision sp_0001';
    RETURN;
  END IF;
  found := obj_description(to_regnamespace('studyplan')::oid, 'pg_namespace');
  IF found = 'studyplan-domain' THEN
    COMMENT ON SCHEMA studyplan IS 'studyplan-domain, revision sp_0001';
  ELSIF starts_with(found, 'studyplan-domain, revision ') THEN
    RAISE EXCEPTION USING
      ERRCODE = '55000',
      MESSAGE = 'The schema studyplan was already created by another Alembic environment, '
        || 'probably by the upgrade of studyplan-domain itself. Use that environment, and remove '
        || 'the revisions of studyplan-domain from the version_locations of this one',
      DETAIL = found;
  ELSE
    EXECUTE 'COMMENT ON SCHEMA studyplan IS ' || quote_literal(
      'studyplan-domain, revision sp_0001; the schema was there before'
      || coalesce(': ' || found, ''));
  END IF;
END
$$
"""

# DROP SCHEMA fails if the schema still contains objects: in the package's own environment Alembic's
# version table, from which Alembic deletes a row after this revision, or objects of the
# application. The schema is then kept.
DROP_SCHEMA = """
DO $$
DECLARE
  found text := obj_description(to_regnamespace('studyplan')::oid, 'pg_namespace');
  kept text := 'studyplan-domain, revision sp_0001; the schema was there before';
BEGIN
  IF starts_with(found, kept) THEN
    EXECUTE 'COMMENT ON SCHEMA studyplan IS '
      || coalesce(quote_literal(nullif(substr(found, length(kept) + 3), '')), 'NULL');
    RETURN;
  END IF;
  DROP SCHEMA studyplan;
EXCEPTION WHEN dependent_objects_still_exist THEN
  IF to_regclass('studyplan.alembic_version') IS NULL THEN
    COMMENT ON SCHEMA studyplan IS NULL;
  ELSE
    COMMENT ON SCHEMA studyplan IS 'studyplan-domain';
  END IF;
END
$$
"""

# The exclusion constraints need btree_gist to compare uuid and other scalar columns in a GiST
# index. The comment marks an extension that this revision has created. The downgrade drops no other
# one.
CREATE_BTREE_GIST = """
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'btree_gist') THEN
    CREATE EXTENSION btree_gist SCHEMA public;
    COMMENT ON EXTENSION btree_gist IS 'created by studyplan-domain';
  END IF;
END
$$
"""

DROP_BTREE_GIST = """
DO $$
BEGIN
  IF EXISTS (
    SELECT FROM pg_extension
    WHERE extname = 'btree_gist'
      AND obj_description(oid, 'pg_extension') = 'created by studyplan-domain'
  ) THEN
    DROP EXTENSION btree_gist;
  END IF;
END
$$
"""

PLAN_GROUPS = """
CREATE TABLE studyplan.plan_groups (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  student_id uuid NOT NULL,
  name text NOT NULL,
  purpose text,
  status text NOT NULL DEFAULT 'draft',
  period_start date NOT NULL,
  period_end date NOT NULL,
  target_date date,
  time_zone text NOT NULL DEFAULT 'Asia/Seoul',
  study_days smallint NOT NULL DEFAULT 6,
  review_days smallint NOT NULL DEFAULT 1,
  level text NOT NULL DEFAULT 'middle',
  level_factor numeric,
  weakness_factor numeric NOT NULL DEFAULT 1.2,
  strategy_factor numeric NOT NULL DEFAULT 1.0,
  review_factor numeric NOT NULL DEFAULT 0.4,
  self_study_on_holidays boolean NOT NULL DEFAULT false,
  strategy text NOT NULL DEFAULT 'balanced',
  balance text NOT NULL DEFAULT 'room',
  shortest_session smallint NOT NULL DEFAULT 15,
  longest_sitting smallint NOT NULL DEFAULT 100,
  pause_minutes smallint NOT NULL DEFAULT 10,
  buffer_days smallint NOT NULL DEFAULT 0,
  generation integer NOT NULL DEFAULT 0,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_plan_groups PRIMARY KEY (tenant_id, id),
  CONSTRAINT uq_plan_groups_tenant_id_student_id_id UNIQUE (tenant_id, student_id, id),
  CONSTRAINT ck_plan_groups_status CHECK (
    status IN ('draft', 'saved', 'active', 'paused', 'completed', 'cancelled')),
  CONSTRAINT ck_plan_groups_period CHECK (
    period_start <= period_end AND period_end - period_start < 731),
  CONSTRAINT ck_plan_groups_cycle CHECK (
    study_days BETWEEN 1 AND 30 AND review_days BETWEEN 0 AND 7),
  CONSTRAINT ck_plan_groups_level CHECK (level IN ('high', 'middle', 'low')),
  CONSTRAINT ck_plan_groups_factors CHECK (
    level_factor > 0 AND level_factor <= 10
    AND weakness_factor > 0 AND weakness_factor <= 10
    AND strategy_factor > 0 AND strategy_factor <= 10
    AND review_factor > 0 AND review_factor <= 10),
  CONSTRAINT ck_plan_groups_target_date CHECK (target_date >= period_start),
  CONSTRAINT ck_plan_groups_strategy CHECK (strategy IN ('even', 'balanced')),
  CONSTRAINT ck_plan_groups_balance CHECK (balance IN ('room', 'minutes')),
  CONSTRAINT ck_plan_groups_shortest_session CHECK (shortest_session BETWEEN 0 AND 240),
  CONSTRAINT ck_plan_groups_longest_sitting CHECK (longest_sitting BETWEEN 1 AND 1440),
  CONSTRAINT ck_plan_groups_pause_minutes CHECK (pause_minutes BETWEEN 0 AND 120),
  CONSTRAINT ck_plan_groups_buffer_days CHECK (buffer_days BETWEEN 0 AND 730),
  CONSTRAINT ck_plan_groups_generation CHECK (generation >= 0)
)
"""

ONE_ACTIVE_GROUP = """
CREATE UNIQUE INDEX uq_plan_groups_active_student ON studyplan.plan_groups (tenant_id, student_id)
WHERE status = 'active'
"""

# For the pages of a tenant's groups, in this order.
PLAN_GROUPS_INDEX = """
CREATE INDEX ix_plan_groups_tenant_id_period_start_id
ON studyplan.plan_groups (tenant_id, period_start, id)
"""

# The unique constraint on positions is deferrable because it is then checked at the end of a
# statement and not per row, so that one UPDATE can exchange positions.
CONTENTS = """
CREATE TABLE studyplan.contents (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  group_id uuid NOT NULL,
  position smallint NOT NULL,
  type text NOT NULL,
  title text NOT NULL,
  subject text,
  allocation text NOT NULL,
  weekly_days smallint,
  first_unit integer NOT NULL,
  last_unit integer NOT NULL,
  minutes_per_unit smallint,
  difficulty text,
  wrap_up_minutes smallint NOT NULL DEFAULT 0,
  deadline date,
  day_shift smallint,
  version integer NOT NULL DEFAULT 1,
  CONSTRAINT pk_contents PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_contents_plan_groups FOREIGN KEY (tenant_id, group_id)
    REFERENCES studyplan.plan_groups (tenant_id, id) ON DELETE CASCADE,
  CONSTRAINT uq_contents_tenant_id_group_id_id UNIQUE (tenant_id, group_id, id),
  CONSTRAINT uq_contents_tenant_id_group_id_position UNIQUE (tenant_id, group_id, position)
    DEFERRABLE INITIALLY IMMEDIATE,
  CONSTRAINT ck_contents_type CHECK (type IN ('book', 'lecture', 'custom')),
  CONSTRAINT ck_contents_allocation CHECK (
    allocation = 'weakness' AND weekly_days IS NULL
    OR allocation = 'strategy' AND weekly_days IS NOT NULL AND weekly_days IN (2, 3, 4)),
  CONSTRAINT ck_contents_range CHECK (
    1 <= first_unit AND first_unit <= last_unit AND last_unit - first_unit < 20000),
  CONSTRAINT ck_contents_minutes CHECK (minutes_per_unit BETWEEN 1 AND 1440),
  CONSTRAINT ck_contents_length CHECK (
    type = 'book' AND (minutes_per_unit IS NULL OR difficulty IS NULL)
    OR type = 'lecture' AND minutes_per_unit IS NULL AND difficulty IS NULL
    OR type = 'custom' AND minutes_per_unit IS NOT NULL AND difficulty IS NULL),
  CONSTRAINT ck_contents_difficulty CHECK (
    difficulty IN ('foundation', 'standard', 'advanced', 'top')),
  CONSTRAINT ck_contents_wrap_up CHECK (wrap_up_minutes BETWEEN 0 AND 1440),
  CONSTRAINT ck_contents_day_shift CHECK (
    day_shift IS NULL OR allocation = 'strategy' AND day_shift BETWEEN 0 AND 29)
)
"""

LECTURE_EPISODES = """
CREATE TABLE studyplan.lecture_episodes (
  tenant_id uuid NOT NULL,
  content_id uuid NOT NULL,
  unit integer NOT NULL,
  group_id uuid NOT NULL,
  minutes smallint,
  CONSTRAINT pk_lecture_episodes PRIMARY KEY (tenant_id, content_id, unit),
  CONSTRAINT fk_lecture_episodes_contents FOREIGN KEY (tenant_id, group_id, content_id)
    REFERENCES studyplan.contents (tenant_id, group_id, id) ON DELETE CASCADE,
  CONSTRAINT ck_lecture_episodes_unit CHECK (unit >= 1),
  CONSTRAINT ck_lecture_episodes_minutes CHECK (minutes BETWEEN 1 AND 1440)
)
"""

LECTURE_EPISODES_INDEX = """
CREATE INDEX ix_lecture_episodes_tenant_id_group_id
ON studyplan.lecture_episodes (tenant_id, group_id)
"""

BLOCKS = """
CREATE TABLE studyplan.blocks (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  group_id uuid NOT NULL,
  kind text NOT NULL,
  weekday smallint NOT NULL,
  start_minute smallint NOT NULL,
  end_minute smallint NOT NULL,
  version integer NOT NULL DEFAULT 1,
  CONSTRAINT pk_blocks PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_blocks_plan_groups FOREIGN KEY (tenant_id, group_id)
    REFERENCES studyplan.plan_groups (tenant_id, id) ON DELETE CASCADE,
  CONSTRAINT ck_blocks_kind CHECK (kind IN ('study', 'self_study')),
  CONSTRAINT ck_blocks_weekday CHECK (weekday BETWEEN 0 AND 6),
  CONSTRAINT ck_blocks_span CHECK (
    0 <= start_minute AND start_minute < end_minute AND end_minute <= 1440)
)
"""

BLOCKS_INDEX = """
CREATE INDEX ix_blocks_tenant_id_group_id ON studyplan.blocks (tenant_id, group_id)
"""

NON_STUDY_BLOCKS = """
CREATE TABLE studyplan.non_study_blocks (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  group_id uuid NOT NULL,
  label text,
  weekday smallint NOT NULL,
  start_minute smallint NOT NULL,
  end_minute smallint NOT NULL,
  version integer NOT NULL DEFAULT 1,
  CONSTRAINT pk_non_study_blocks PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_non_study_blocks_plan_groups FOREIGN KEY (tenant_id, group_id)
    REFERENCES studyplan.plan_groups (tenant_id, id) ON DELETE CASCADE,
  CONSTRAINT ck_non_study_blocks_weekday CHECK (weekday BETWEEN 0 AND 6),
  CONSTRAINT ck_non_study_blocks_span CHECK (
    0 <= start_minute AND start_minute < end_minute AND end_minute <= 1440)
)
"""

NON_STUDY_BLOCKS_INDEX = """
CREATE INDEX ix_non_study_blocks_tenant_id_group_id
ON studyplan.non_study_blocks (tenant_id, group_id)
"""

# The spans of a kind are one value, so that a day is one row with one version. A multirange merges
# overlapping spans, and its bounds are checked here; it can be neither reversed nor unsorted.
SPECIAL_DAYS = """
CREATE TABLE studyplan.special_days (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  group_id uuid NOT NULL,
  date date NOT NULL,
  study int4multirange NOT NULL DEFAULT '{}',
  self_study int4multirange NOT NULL DEFAULT '{}',
  version integer NOT NULL DEFAULT 1,
  CONSTRAINT pk_special_days PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_special_days_plan_groups FOREIGN KEY (tenant_id, group_id)
    REFERENCES studyplan.plan_groups (tenant_id, id) ON DELETE CASCADE,
  CONSTRAINT uq_special_days_tenant_id_group_id_date UNIQUE (tenant_id, group_id, date),
  CONSTRAINT ck_special_days_study CHECK (study <@ int4range(0, 1440)),
  CONSTRAINT ck_special_days_self_study CHECK (self_study <@ int4range(0, 1440))
)
"""

EXCLUSIONS = """
CREATE TABLE studyplan.exclusions (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  student_id uuid NOT NULL,
  group_id uuid,
  date date NOT NULL,
  type text NOT NULL,
  reason text,
  version integer NOT NULL DEFAULT 1,
  CONSTRAINT pk_exclusions PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_exclusions_plan_groups FOREIGN KEY (tenant_id, student_id, group_id)
    REFERENCES studyplan.plan_groups (tenant_id, student_id, id) ON DELETE CASCADE,
  CONSTRAINT ck_exclusions_type CHECK (
    type IN ('vacation', 'personal', 'other', 'designated_holiday'))
)
"""

EXCLUSIONS_INDEX = """
CREATE INDEX ix_exclusions_tenant_id_student_id_date
ON studyplan.exclusions (tenant_id, student_id, date)
"""

EXCLUSIONS_GROUP_INDEX = """
CREATE INDEX ix_exclusions_tenant_id_group_id ON studyplan.exclusions (tenant_id, group_id)
"""

ACADEMY_SCHEDULES = """
CREATE TABLE studyplan.academy_schedules (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  student_id uuid NOT NULL,
  weekday smallint NOT NULL,
  start_minute smallint NOT NULL,
  end_minute smallint NOT NULL,
  travel_minutes smallint NOT NULL DEFAULT 0,
  name text,
  subject text,
  version integer NOT NULL DEFAULT 1,
  CONSTRAINT pk_academy_schedules PRIMARY KEY (tenant_id, id),
  CONSTRAINT ck_academy_schedules_weekday CHECK (weekday BETWEEN 0 AND 6),
  CONSTRAINT ck_academy_schedules_span CHECK (
    0 <= start_minute AND start_minute < end_minute AND end_minute <= 1440),
  CONSTRAINT ck_academy_schedules_travel CHECK (travel_minutes BETWEEN 0 AND 1440),
  CONSTRAINT ex_academy_schedules_overlap EXCLUDE USING gist (
    tenant_id WITH =, student_id WITH =, weekday WITH =,
    int4range(start_minute, end_minute) WITH &&)
)
"""

# plan_ids and kept_ids have the plans that were live when the run had ended: those of its schedule,
# in order, and those that it did not plan again. To undo a run, the plans of made_ids are retired,
# and those that it has retired become live again; made_versions shows whether a plan was changed in
# the meantime. made_ids is null if a part of the history that an undo needs has been removed.
PLAN_GENERATIONS = """
CREATE TABLE studyplan.plan_generations (
  tenant_id uuid NOT NULL,
  group_id uuid NOT NULL,
  number integer NOT NULL,
  kind text NOT NULL DEFAULT 'generated',
  undoes integer,
  undone_in integer,
  generated_at timestamptz NOT NULL DEFAULT now(),
  requested_by text,
  today date NOT NULL,
  waited_ms integer NOT NULL DEFAULT 0,
  plan_count integer NOT NULL,
  kept_count integer NOT NULL DEFAULT 0,
  moved_count integer NOT NULL DEFAULT 0,
  new_count integer NOT NULL DEFAULT 0,
  dropped_count integer NOT NULL DEFAULT 0,
  plan_ids uuid[] NOT NULL DEFAULT '{}',
  kept_ids uuid[] NOT NULL DEFAULT '{}',
  made_ids uuid[] DEFAULT '{}',
  made_versions integer[] NOT NULL DEFAULT '{}',
  unplaced jsonb NOT NULL,
  certificate jsonb,
  repairs jsonb NOT NULL DEFAULT '[]',
  day_shifts jsonb NOT NULL DEFAULT '{}',
  warnings jsonb NOT NULL,
  quality jsonb,
  calendar jsonb,
  input_hash text NOT NULL,
  engine_version text NOT NULL,
  idempotency_key text,
  request_hash text,
  CONSTRAINT pk_plan_generations PRIMARY KEY (tenant_id, group_id, number),
  CONSTRAINT fk_plan_generations_plan_groups FOREIGN KEY (tenant_id, group_id)
    REFERENCES studyplan.plan_groups (tenant_id, id) ON DELETE CASCADE,
  CONSTRAINT uq_plan_generations_tenant_id_idempotency_key UNIQUE (tenant_id, idempotency_key),
  CONSTRAINT ck_plan_generations_number CHECK (number >= 1),
  CONSTRAINT ck_plan_generations_kind CHECK (kind IN ('generated', 'rescheduled', 'undone')),
  CONSTRAINT ck_plan_generations_undoes CHECK (
    (kind = 'undone') = (undoes IS NOT NULL) AND undoes < number AND number < undone_in),
  CONSTRAINT ck_plan_generations_quality CHECK (kind = 'undone' OR quality IS NOT NULL),
  CONSTRAINT ck_plan_generations_calendar CHECK (calendar IS NULL OR kind <> 'undone'),
  CONSTRAINT ck_plan_generations_idempotency CHECK (
    (idempotency_key IS NULL) = (request_hash IS NULL)),
  CONSTRAINT ck_plan_generations_waited CHECK (waited_ms >= 0),
  CONSTRAINT ck_plan_generations_counts CHECK (
    plan_count >= 0 AND kept_count >= 0 AND moved_count >= 0 AND new_count >= 0
    AND dropped_count >= 0)
)
"""

STUDENT_PLANS = """
CREATE TABLE studyplan.student_plans (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  student_id uuid NOT NULL,
  group_id uuid NOT NULL,
  content_id uuid NOT NULL,
  lineage uuid NOT NULL,
  generation integer NOT NULL,
  sequence integer,
  kind text NOT NULL,
  date date NOT NULL,
  start_minute smallint NOT NULL,
  end_minute smallint NOT NULL,
  first_unit integer NOT NULL,
  last_unit integer NOT NULL,
  part smallint NOT NULL DEFAULT 1,
  parts smallint NOT NULL DEFAULT 1,
  wrap_up_minutes smallint NOT NULL DEFAULT 0,
  reserve boolean NOT NULL DEFAULT false,
  week smallint NOT NULL,
  cycle smallint NOT NULL,
  cycle_day smallint,
  state text NOT NULL DEFAULT 'planned',
  done_through integer,
  done_at timestamptz,
  actual_minutes smallint,
  pinned boolean NOT NULL DEFAULT false,
  live boolean NOT NULL DEFAULT true,
  retired_as text,
  retired_in integer,
  retired_at timestamptz,
  version integer NOT NULL DEFAULT 1,
  CONSTRAINT pk_student_plans PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_student_plans_plan_groups FOREIGN KEY (tenant_id, student_id, group_id)
    REFERENCES studyplan.plan_groups (tenant_id, student_id, id) ON DELETE CASCADE,
  CONSTRAINT fk_student_plans_contents FOREIGN KEY (tenant_id, group_id, content_id)
    REFERENCES studyplan.contents (tenant_id, group_id, id),
  CONSTRAINT fk_student_plans_plan_generations FOREIGN KEY (tenant_id, group_id, generation)
    REFERENCES studyplan.plan_generations (tenant_id, group_id, number),
  CONSTRAINT fk_student_plans_retired_in FOREIGN KEY (tenant_id, group_id, retired_in)
    REFERENCES studyplan.plan_generations (tenant_id, group_id, number),
  CONSTRAINT uq_student_plans_tenant_id_group_id_generation_sequence
    UNIQUE (tenant_id, group_id, generation, sequence),
  CONSTRAINT ck_student_plans_kind CHECK (kind IN ('study', 'review')),
  CONSTRAINT ck_student_plans_span CHECK (
    0 <= start_minute AND start_minute < end_minute AND end_minute <= 1440),
  CONSTRAINT ck_student_plans_range CHECK (1 <= first_unit AND first_unit <= last_unit),
  CONSTRAINT ck_student_plans_part CHECK (1 <= part AND part <= parts),
  CONSTRAINT ck_student_plans_wrap_up CHECK (
    0 <= wrap_up_minutes AND wrap_up_minutes < end_minute - start_minute),
  CONSTRAINT ck_student_plans_week CHECK (week >= 1 AND cycle >= 1 AND cycle_day >= 1),
  CONSTRAINT ck_student_plans_sequence CHECK (sequence >= 1),
  CONSTRAINT ck_student_plans_state CHECK (
    state IN ('planned', 'started', 'part_done', 'done')),
  CONSTRAINT ck_student_plans_done_through CHECK (
    (state = 'part_done') = (done_through IS NOT NULL)
    AND first_unit <= done_through AND done_through < last_unit),
  CONSTRAINT ck_student_plans_done_at CHECK (
    state IN ('part_done', 'done') OR done_at IS NULL AND actual_minutes IS NULL),
  CONSTRAINT ck_student_plans_actual_minutes CHECK (actual_minutes BETWEEN 0 AND 1440),
  CONSTRAINT ck_student_plans_live CHECK (
    live = (retired_as IS NULL) AND live = (retired_at IS NULL)
    AND (retired_as IS NULL
      OR retired_as IN ('replaced', 'missed', 'moved', 'undone', 'cancelled'))
    AND (retired_in IS NULL OR NOT live)),
  CONSTRAINT ex_student_plans_overlap EXCLUDE USING gist (
    tenant_id WITH =, student_id WITH =, date WITH =, int4range(start_minute, end_minute) WITH &&)
    WHERE (live),
  CONSTRAINT ex_student_plans_units EXCLUDE USING gist (
    tenant_id WITH =, content_id WITH =,
    int8range(first_unit, coalesce(done_through, last_unit) + bigint '1') WITH &&)
    WHERE (live AND kind = 'study' AND parts = 1)
)
"""

STUDENT_PLANS_LINEAGE = """
CREATE UNIQUE INDEX uq_student_plans_lineage
ON studyplan.student_plans (tenant_id, lineage) WHERE live
"""

# For an undo, for the removal of old plans, and for the foreign key.
STUDENT_PLANS_RETIRED_IN_INDEX = """
CREATE INDEX ix_student_plans_tenant_id_group_id_retired_in
ON studyplan.student_plans (tenant_id, group_id, retired_in) WHERE NOT live
"""

STUDENT_PLANS_INDEX = """
CREATE INDEX ix_student_plans_tenant_id_group_id_date
ON studyplan.student_plans (tenant_id, group_id, date) WHERE live
"""

STUDENT_PLANS_CONTENT_INDEX = """
CREATE INDEX ix_student_plans_tenant_id_content_id
ON studyplan.student_plans (tenant_id, content_id)
"""

TABLES = (
    "student_plans",
    "plan_generations",
    "academy_schedules",
    "exclusions",
    "special_days",
    "non_study_blocks",
    "blocks",
    "lecture_episodes",
    "contents",
    "plan_groups",
)


def upgrade() -> None:
    for statement in (
        CREATE_SCHEMA,
        CREATE_BTREE_GIST,
        PLAN_GROUPS,
        ONE_ACTIVE_GROUP,
        PLAN_GROUPS_INDEX,
        CONTENTS,
        LECTURE_EPISODES,
        LECTURE_EPISODES_INDEX,
        BLOCKS,
        BLOCKS_INDEX,
        NON_STUDY_BLOCKS,
        NON_STUDY_BLOCKS_INDEX,
        SPECIAL_DAYS,
        EXCLUSIONS,
        EXCLUSIONS_INDEX,
        EXCLUSIONS_GROUP_INDEX,
        ACADEMY_SCHEDULES,
        PLAN_GENERATIONS,
        STUDENT_PLANS,
        STUDENT_PLANS_LINEAGE,
        STUDENT_PLANS_RETIRED_IN_INDEX,
        STUDENT_PLANS_INDEX,
        STUDENT_PLANS_CONTENT_INDEX,
    ):
        op.execute(statement)


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE studyplan.{table}")
    op.execute(DROP_BTREE_GIST)
    op.execute(DROP_SCHEMA)
