"""The scheduling core: a frozen request in, a frozen schedule out.

Pure Python on the standard library only: no clock, no randomness, no database. ``planning`` has
the request's types, ``engine.schedule`` computes, ``schedule`` has the answer's types, and
``validation.field_errors`` checks a request.
"""
