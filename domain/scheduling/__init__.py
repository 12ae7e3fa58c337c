"""The scheduling core: it computes a frozen schedule from a frozen request.

It only uses the standard library, and neither a clock, nor random numbers, nor a database.
``planning`` has the types of the request, ``engine.schedule`` computes the schedule, ``schedule``
has the types of the result, and ``validation.field_errors`` checks a request.
"""
