//! Programs that show the engine to users.
