//! Networks from files: whole ones in every form, and what is damaged.

mod bad_input;
mod caffemodel;
mod networks;
