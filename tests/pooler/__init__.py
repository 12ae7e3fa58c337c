"""Behind a transaction pooler: every statement outside a transaction may meet another backend."""
