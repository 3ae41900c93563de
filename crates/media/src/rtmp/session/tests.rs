//! What a server session does with the bytes of clients.
