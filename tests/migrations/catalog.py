"""The catalog of a database without PostgreSQL's own objects, as sorted lines of text."""

from typing import TypeAlias

import sqlalchemy as sa

Catalog: TypeAlias = dict[str, list[str]]

_IS_USER_OBJECT = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"

QUERIES = {
    "relations": """
        SELECT concat_ws(' ', c.oid::regclass, c.relkind, c.relpersistence, c.relowner::regrole,
          c.relacl::text, c.relrowsecurity, obj_description(c.oid, 'pg_class'))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE IS_USER_OBJECT""",
    "columns": """
        SELECT concat_ws(' ', c.oid::regclass, lpad(a.attnum::text, 3, '0'), a.attname,
          format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
          a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid), a.attacl::text,
          col_description(c.oid, a.attnum))
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND IS_USER_OBJECT""",
    "constraints": """
        SELECT concat_ws(' ', r.conrelid::regclass, r.conname, pg_get_constraintdef(r.oid),
          r.convalidated, obj_description(r.oid, 'pg_constraint'))
        FROM pg_constraint r JOIN pg_namespace n ON n.oid = r.connamespace WHERE IS_USER_OBJECT""",
    "indexes": """
        SELECT concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE IS_USER_OBJECT""",
    "functions": """
        SELECT concat_ws(' ', pg_get_functiondef(p.oid), p.proowner::regrole, p.proacl::text,
          obj_description(p.oid, 'pg_proc'))
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.prokind = 'f' AND IS_USER_OBJECT""",
    "types": """
        SELECT concat_ws(' ', t.oid::regtype, t.typtype, t.typacl::text)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE IS_USER_OBJECT""",
    "operators": """
        SELECT o.oid::regoperator::text
        FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE IS_USER_OBJECT""",
    "triggers": """
        SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal""",
    "extensions": """
        SELECT concat_ws(' ', e.extname, e.extversion, n.nspname, e.extowner::regrole,
          obj_description(e.oid, 'pg_extension'))
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace""",
    "schemas": """
        SELECT concat_ws(' ', n.nspname, n.nspowner::regrole, n.nspacl::text,
          obj_description(n.oid, 'pg_namespace'))
        FROM pg_namespace n WHERE n.nspname !~ '^pg_(toast_)?temp'""",
    "default_acls": "SELECT defaclacl::text FROM pg_default_acl",
    "settings": "SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d"
    " ON d.oid = s.setdatabase WHERE d.datname = current_database()",
}

VERSION_TABLE = "alembic_version"


def catalog(connection: sa.Connection) -> Catalog:
    """Return the catalog, read in a separate transaction.

    The connection must not be in a transaction.
    """
    with connection.begin():
        return {
            kind: sorted(
                connection.scalars(sa.text(query.replace("IS_USER_OBJECT", _IS_USER_OBJECT))).all()
            )
            for kind, query in QUERIES.items()
        }
