//! What only a file has: it may be missing, damaged, copied, and written to by a process that is killed.

mod backup;
mod crashes;
mod integrity;
mod lock;
mod maintenance;
