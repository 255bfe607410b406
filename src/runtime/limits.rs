//! Every limit of a call: its name, its default, and why that default. What a
//! tenant may use of all its calls together are quotas, see `crate::tenant::quota`.

use std::time::Duration;

/// Declares a list of limits once: the settings, their defaults and their names.
macro_rules! limits {
    (
        $(#[$one_meta:meta])* enum $One:ident;
        $(#[$all_meta:meta])* struct $All:ident;
        section $section:literal;
        $( $(#[doc = $why:literal])* $variant:ident $field:ident: $unit:ident = $default:expr; )*
    ) => {
        $(#[$one_meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $One { $( $(#[doc = $why])* $variant, )* }

        impl $One {
            pub const ALL: &[$One] = &[$( $One::$variant, )*];

            /// As errors and metrics name it.
            pub fn name(self) -> &'static str {
                match self { $( $One::$variant => stringify!($field), )* }
            }

            fn unit(self) -> $crate::runtime::limits::Unit {
                match self { $( $One::$variant => $crate::runtime::limits::Unit::$unit, )* }
            }

            /// The one of that name.
            pub fn named(name: &str) -> Option<$One> {
                $One::ALL.iter().copied().find(|one| one.name() == name)
            }

            /// The setting that changes it.
            pub fn setting(self) -> String {
                format!("{}.{}", $section, self.name())
            }

            /// That this was hit.
            pub fn hit(self, value: u64, used: u64) -> $crate::runtime::failure::LimitHit {
                $crate::runtime::failure::LimitHit { name: self.name().to_owned(), value, used, setting: self.setting() }
            }

            /// As a person says it: `30s`, `128MiB`, `50`.
            pub fn show(self, value: u64) -> String {
                self.unit().show(value)
            }

            /// Reads a value as [`show`](Self::show) writes it. The error says what is expected.
            pub fn parse(self, text: &str) -> Result<u64, String> {
                self.unit().parse(text)
            }

            /// Both numbers as a person says them, told apart where they differ.
            fn shown(self, value: u64, used: u64) -> (String, String) {
                let (limit, shown) = (self.show(value), self.show(used));
                // Rounding must not make them look equal.
                if limit == shown && value != used { (format!("{value} bytes"), format!("{used} bytes")) } else { (limit, shown) }
            }
        }

        $(#[$all_meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $All { $( $(#[doc = $why])* pub $field: u64, )* }

        impl Default for $All {
            fn default() -> Self {
                $All { $( $field: $default, )* }
            }
        }

        impl $All {
            pub fn get(&self, one: $One) -> u64 {
                match one { $( $One::$variant => self.$field, )* }
            }

            pub fn set(&mut self, one: $One, value: u64) {
                match one { $( $One::$variant => self.$field = value, )* }
            }
        }
    };
}
pub(crate) use limits;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SECOND: u64 = 1000;

/// In what a limit is measured, which decides how settings spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds, spelt `30s`.
    Time,
    /// Bytes, spelt `128MiB`.
    Size,
    /// A plain number.
    Count,
}

limits! {
    /// A limit by name.
    enum Limit;
    /// The limits in force for a call. Sizes in bytes, times in milliseconds,
    /// everything else a count.
    struct Limits;
    section "limits";

    /// The soft deadline: waiting operations and loops are interrupted with a
    /// TimeoutError that the script can catch. The reference's default.
    Timeout timeout: Time = 30 * SECOND;
    /// How long a script may clean up after the soft deadline before it is
    /// stopped for good.
    Grace grace: Time = SECOND / 2;
    /// Work that a call may do: 16 for each operation or so, 1 for each byte
    /// copied; 0 is no limit. Time bounds a call anyway; fuel prices it.
    Fuel fuel: Count = 0;
    /// The linear memory of a call. The reference's default.
    Memory memory: Size = 128 * MIB;
    /// Host calls of one call, of every capability together: enough for a
    /// batch over thousands of rows, few enough to end a runaway loop.
    HostCalls host_calls: Count = 10_000;
    /// Host operations under way at once; each costs the host memory.
    ConcurrentOperations concurrent_operations: Count = 256;
    /// The JSON argument of a call.
    InputBytes input_bytes: Size = 8 * MIB;
    /// The JSON result of a call.
    OutputBytes output_bytes: Size = 8 * MIB;
    /// All that a call logs. What is beyond is dropped, and one line says so.
    LogBytes log_bytes: Size = 256 * KIB;
    /// Lines that a call logs.
    LogLines log_lines: Count = 2_000;
    /// One SQL statement's text; a longer one is generated by mistake.
    DbStatementBytes db_statement_bytes: Size = 64 * KIB;
    /// Parameters of one statement.
    DbParameters db_parameters: Count = 1_000;
    /// Rows that one statement may answer.
    DbRows db_rows: Count = 10_000;
    /// Bytes that one statement may answer, and one value may hold.
    DbBytes db_bytes: Size = 8 * MIB;
    /// How long one statement may run.
    DbTimeout db_timeout: Time = 5 * SECOND;
    /// How long a transaction may stay open: it holds locks.
    DbTransactionTimeout db_transaction_timeout: Time = 10 * SECOND;
    /// The file of one tenant's tables.
    DbSize db_size: Size = 1024 * MIB;
    /// One key of the storage.
    StorageKeyBytes storage_key_bytes: Size = 512;
    /// One value of the storage, as JSON text.
    StorageValueBytes storage_value_bytes: Size = 256 * KIB;
    /// HTTP requests of one call, redirects included.
    HttpCalls http_calls: Count = 50;
    /// One HTTP request's body.
    HttpRequestBytes http_request_bytes: Size = 4 * MIB;
    /// One HTTP response's body, after any decoding.
    HttpResponseBytes http_response_bytes: Size = 8 * MIB;
    /// One HTTP request from its start to the last byte of its answer.
    HttpTimeout http_timeout: Time = 10 * SECOND;
    /// Redirects that one request may follow.
    HttpRedirects http_redirects: Count = 5;
    /// Calls of services in one call.
    ServiceCalls service_calls: Count = 5_000;
    /// The arguments or the answer of one service call.
    ServiceBytes service_bytes: Size = 8 * MIB;
    /// Mails that one call may send.
    Emails emails: Count = 1_000;
    /// Events that one call may publish.
    Events events: Count = 1_000;
    /// One event's data, as JSON text.
    EventBytes event_bytes: Size = 64 * KIB;
    /// Events that led to one another, each published by who handled the one
    /// before: longer chains go round in a circle.
    EventDepth event_depth: Count = 16;
    /// Scripts that handle one event: publishing it queues a job for each.
    EventHandlers event_handlers: Count = 100;
    /// Secrets that a tenant may have: credentials, not data.
    Secrets secrets: Count = 50;
    /// One secret; a private key of 4096 bits has half of it.
    SecretBytes secret_bytes: Size = 8 * KIB;
}

impl Unit {
    pub(crate) fn show(self, value: u64) -> String {
        match self {
            Unit::Time => humantime::format_duration(Duration::from_millis(value)).to_string(),
            Unit::Size if value >= KIB => {
                bytesize::ByteSize(value).display().iec().to_string().replace(' ', "").replace(".0", "")
            }
            Unit::Size => format!("{value}B"),
            Unit::Count => value.to_string(),
        }
    }

    pub(crate) fn parse(self, text: &str) -> Result<u64, String> {
        match self {
            Unit::Time => match humantime::parse_duration(text) {
                Ok(duration) => u64::try_from(duration.as_millis()).map_err(|_| format!("`{text}` is too long a time")),
                Err(reason) => {
                    Err(format!("`{text}` is not a duration ({reason}); write it as `30s`, `500ms` or `2m`"))
                }
            },
            Unit::Size => text
                .parse::<bytesize::ByteSize>()
                .map(|size| size.as_u64())
                .map_err(|_| format!("`{text}` is not a size; write it as `128MiB`, `64KiB` or a number of bytes")),
            Unit::Count => text.replace('_', "").parse::<u64>().map_err(|_| format!("`{text}` is not a whole number")),
        }
    }
}

impl Limit {
    /// What an error says: the limit, its value, what was used, the setting.
    pub fn message(self, value: u64, used: u64) -> String {
        let what = self.name().replace('_', " ");
        let (limit, shown) = self.shown(value, used);
        // One allocation that would have gone far beyond says nothing of its size.
        let used = if used < value { "needed more".to_owned() } else { format!("used {shown}") };
        format!("the limit on {what} is {limit}, and this call {used}; the setting {} changes it", self.setting())
    }
}

impl Limits {
    pub fn duration(&self, limit: Limit) -> Duration {
        Duration::from_millis(self.get(limit))
    }

    /// Err where `used` is beyond the limit.
    pub fn check(&self, limit: Limit, used: u64) -> Result<(), super::failure::Failure> {
        let value = self.get(limit);
        if used > value { Err(super::failure::Failure::limit(limit, value, used)) } else { Ok(()) }
    }
}
