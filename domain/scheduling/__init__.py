"""The scheduling core: it computes a frozen schedule from a frozen request.

It only uses the standard library, and neither a clock, nor random numbers, nor a database.
``types`` has the types of the request, ``validation.field_errors`` checks one,
``schedule.schedule`` computes the schedule, and ``result`` has the types of the result.
"""
