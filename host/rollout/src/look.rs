//! One look at a StatefulSet and its pods.

use std::time::SystemTime;

use outrigger_api_server::{ApiError, ApiServer};
use serde_json::Value;

use crate::run::Target;
use crate::seen::{PodSeen, Seen, SetSeen};
use crate::turn::Turns;

/// Looks. The StatefulSet comes first: what is decided is written with its version, so that whatever was
/// written since then, by another run for instance, makes the decision void.
pub(crate) async fn look(
    api: &ApiServer,
    target: &Target,
    turns: &mut Turns,
) -> Result<Seen, ApiError> {
    let set = api.get::<Value>(&target.path()).await?;
    let time = set.time;
    let set = SetSeen::read(&set.value);
    let read = |pod: &Value| PodSeen::read(pod, &set.name, &set.uid);
    let pods = api.list(&target.pods(), &set.selector, read).await?;
    let turn = turns.holder(api).await?;
    Ok(Seen {
        pods: pods.value.into_iter().flatten().collect(),
        turn,
        time: pods.time.or(time).unwrap_or_else(SystemTime::now),
        set,
    })
}
