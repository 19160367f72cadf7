"""The official conformance suite against our server, as shipped and with what the suite asks for.

As shipped, every check that fails is named in `baseline.yml`, with what it would need. With the
fixtures on the same server, every scenario that a revision requires has to pass.
"""
