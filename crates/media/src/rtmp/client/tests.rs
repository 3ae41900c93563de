//! A client session against a server session, in memory.
