//! For whom, as what and why a call runs, as the script may know it.

mod host;
