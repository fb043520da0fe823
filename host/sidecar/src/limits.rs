//! Every bound of the sidecar that a user may meet, with its derivation. Hitting one is an error or a
//! refusal that names it.

use std::time::Duration;

/// How many replicas one StatefulSet may want. Each is asked for by name every interval, so this also
/// bounds the questions put to cluster DNS; the largest in the field have a few hundred.
pub const REPLICAS_MAX: u32 = 1000;

/// How many DNS questions are under way at the same time. Small enough not to be noticed by a node's
/// DNS cache, large enough that 100 replicas are asked for within one interval.
pub const DNS_CONCURRENCY: usize = 8;

/// How long one DNS question may take, retries and the change to TCP included.
pub const DNS_TIMEOUT: Duration = Duration::from_secs(2);

/// How many addresses of one replica are kept; dual-stack pods have two.
pub const ADDRESSES_MAX: usize = 8;

/// How many objects of one kind are followed: a Service of 1000 replicas has ten EndpointSlices of each
/// family, more while they are moved.
pub const OBJECTS_MAX: usize = 256;

/// How many endpoints of one slice are kept: the API server takes no more.
pub const ENDPOINTS_MAX: usize = 1000;

/// The most that `cluster.json` of the local mode may hold: 1000 replicas of 400 bytes, twice.
pub const CLUSTER_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The most that a profile and all its templates may hold: a ConfigMap's own limit.
pub const PROFILE_BYTES_MAX: u64 = 1024 * 1024;

/// How many files a profile's folder may hold.
pub const PROFILE_FILES_MAX: usize = 256;

/// The most that one key of a Secret may hold: a Secret's own limit.
pub const SECRET_BYTES_MAX: u64 = 1024 * 1024;

/// The most that one rendered file may hold: the largest configuration that a ConfigMap could carry,
/// four times, as loops over replicas make files grow.
pub const RENDERED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The steps that one template may take. A loop over 1000 replicas with ten expressions each takes
/// about 100,000.
pub const TEMPLATE_FUEL: u64 = 2_000_000;

/// How deep includes and macros may nest.
pub const TEMPLATE_DEPTH: usize = 32;

/// The length of a random text that a template may ask for, in characters.
pub const RANDOM_LEN_MAX: usize = 256;

/// How many sets of rendered files are kept: the present one and two to go back to.
pub const SETS_KEPT: usize = 3;

/// The most that a component's file may hold; Python components are the largest with some 20 MiB.
pub const COMPONENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many entries of the timeline are held in memory: a rolling update of a hundred replicas with
/// ten entries each.
pub const TIMELINE_ENTRIES: usize = 1000;

/// The most that one message of the timeline may hold; more is cut.
pub const TIMELINE_MESSAGE_BYTES_MAX: usize = 2048;

/// The most that the fields of one entry of the timeline may hold together; more are left out.
pub const TIMELINE_FIELDS_BYTES_MAX: usize = 4096;

/// The most that one of the timeline's two files may hold: the entries in memory at 500 bytes, twice.
pub const TIMELINE_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The most that the head of an HTTP message may hold, on either side.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 * 1024;

/// The most that one exposition of a workload may hold: 50,000 samples of 160 bytes.
pub const SCRAPE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many connections each of the sidecar's two servers has at the same time: the kubelet's three
/// probes, a few scrapers, and as many watchers as [`EVENT_STREAMS_MAX`] allows, three times over.
pub const HTTP_CONNECTIONS_MAX: usize = 64;

/// How many event streams are open at the same time; each holds a connection and some KiB.
pub const EVENT_STREAMS_MAX: usize = 16;

/// How long a client may take to send the head of a request, and wait before its next one.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The most that the body of a command on the Unix socket may hold.
pub const ADMIN_BODY_BYTES_MAX: usize = 16 * 1024;
