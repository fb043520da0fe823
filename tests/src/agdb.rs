//! A client of one agdb server: as much of its REST API as the tests use.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Answer, Http, HttpError};

/// One agdb server and, once logged in, a token.
#[derive(Debug, Clone)]
pub struct Agdb {
    http: Http,
}

/// One line of a server's `/cluster/status`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Its URL.
    pub address: String,
    /// Whether it answers, as the asked server sees it.
    pub status: bool,
    /// Whether it is the leader, as the asked server sees it.
    pub leader: bool,
    /// The last entry that it executed; 0 where the asked server cannot tell.
    pub executed_index: u64,
    /// Whether it is being brought up to date.
    pub resync: bool,
}

/// Why a request had no success.
#[derive(Debug, Clone)]
pub enum AgdbError {
    /// There was no answer.
    Unreachable(HttpError),
    /// The answer was another than the one that means success.
    Refused {
        /// Its HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
}

impl fmt::Display for AgdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => error.fmt(f),
            Self::Refused { status, message } => write!(f, "status {status}: {message}"),
        }
    }
}

impl std::error::Error for AgdbError {}

impl From<HttpError> for AgdbError {
    fn from(error: HttpError) -> Self {
        Self::Unreachable(error)
    }
}

impl Agdb {
    /// The server at `host:port`.
    pub fn at(address: &str) -> Self {
        Self {
            http: Http::tcp(address),
        }
    }

    /// The same with another time for one request.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Self {
        Self {
            http: self.http.within(timeout),
        }
    }

    /// Logs in as `admin`/`admin`, for the whole cluster: a write, so it needs a leader.
    pub async fn login(&self) -> Result<Self, AgdbError> {
        self.login_as("admin", "admin").await
    }

    /// Logs in for the whole cluster.
    pub async fn login_as(&self, user: &str, password: &str) -> Result<Self, AgdbError> {
        let body = json!({"username": user, "password": password});
        let answer = ok(
            self.http.post("/api/v1/cluster/user/login", &body).await?,
            200,
        )?;
        Ok(Self {
            http: self.http.clone().bearer(answer.json::<String>()),
        })
    }

    /// The same session at another server of the cluster.
    #[must_use]
    pub fn moved_to(&self, address: &str) -> Self {
        Self {
            http: self.http.moved_to(address),
        }
    }

    /// Whether the server answers at all.
    pub async fn is_up(&self) -> bool {
        self.http
            .get("/api/v1/status")
            .await
            .is_ok_and(|answer| answer.status == 200)
    }

    /// How this server sees the cluster.
    pub async fn cluster(&self) -> Result<Vec<Member>, AgdbError> {
        Ok(ok(self.http.get("/api/v1/cluster/status").await?, 200)?.json())
    }

    /// The address of the one leader that this server sees.
    pub async fn leader(&self) -> Result<String, String> {
        let members = self.cluster().await.map_err(|error| error.to_string())?;
        let leaders: Vec<&Member> = members.iter().filter(|member| member.leader).collect();
        match leaders.as_slice() {
            [one] => Ok(one.address.clone()),
            _ => Err(format!("{} leaders in {members:?}", leaders.len())),
        }
    }

    /// Creates a database of the user `admin`.
    pub async fn create(&self, db: &str) -> Result<(), AgdbError> {
        ok(
            self.http
                .post_empty(&format!("/api/v1/db/admin/{db}/add?db_type=mapped"))
                .await?,
            201,
        )
        .map(drop)
    }

    /// The names of the databases, sorted.
    pub async fn databases(&self) -> Result<Vec<String>, AgdbError> {
        let listed: Vec<Value> = ok(self.http.get("/api/v1/db/list").await?, 200)?.json();
        let mut names: Vec<String> = listed
            .iter()
            .filter_map(|db| db["db"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Inserts a node under an alias, with one value.
    pub async fn insert(&self, db: &str, alias: &str, value: &str) -> Result<(), AgdbError> {
        let query = json!([{"InsertNodes": {
            "count": 0,
            "values": {"Multi": [[{"key": {"String": "value"}, "value": {"String": value}}]]},
            "aliases": [alias],
            "ids": {"Ids": []},
        }}]);
        ok(
            self.http
                .post(&format!("/api/v1/db/admin/{db}/exec_mut"), &query)
                .await?,
            200,
        )
        .map(drop)
    }

    /// The value of the node with an alias.
    pub async fn select(&self, db: &str, alias: &str) -> Result<String, AgdbError> {
        let query = json!([{"SelectValues": {"keys": [{"String": "value"}], "ids": {"Ids": [{"Alias": alias}]}}}]);
        let answer = ok(
            self.http
                .post(&format!("/api/v1/db/admin/{db}/exec"), &query)
                .await?,
            200,
        )?;
        let results: Value = answer.json();
        match results
            .pointer("/0/elements/0/values/0/value/String")
            .and_then(Value::as_str)
        {
            Some(value) => Ok(value.to_owned()),
            None => Err(AgdbError::Refused {
                status: answer.status,
                message: format!("no value in {}", answer.text()),
            }),
        }
    }
}

fn ok(answer: Answer, status: u16) -> Result<Answer, AgdbError> {
    if answer.status == status {
        return Ok(answer);
    }
    Err(AgdbError::Refused {
        status: answer.status,
        message: answer.text(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::{agdb_server, eventually};

    /// A server that ends with the test.
    struct Server(Child);

    impl Drop for Server {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    #[tokio::test]
    async fn what_is_written_to_a_real_server_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let config = format!(
            "bind: {address}\naddress: http://{address}\ndata_dir: ./data\ncluster: [http://{address}]\n"
        );
        std::fs::write(folder.path().join("agdb_server.yaml"), config).unwrap();
        let mut command = Command::new(agdb_server());
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _server = Server(command.spawn().unwrap());

        let agdb = Agdb::at(&address);
        let leader = eventually(Duration::from_secs(20), "a leader", async || {
            agdb.leader().await
        })
        .await;
        assert_eq!(leader, format!("http://{address}"));
        let admin = agdb.login().await.unwrap();
        admin.create("db").await.unwrap();
        assert_eq!(admin.databases().await.unwrap(), ["db"]);
        admin.insert("db", "alice", "first").await.unwrap();
        assert_eq!(admin.select("db", "alice").await.unwrap(), "first");
        let error = admin.select("db", "bob").await.unwrap_err();
        assert!(
            matches!(error, AgdbError::Refused { status: 470, .. }),
            "{error}"
        );
        assert!(matches!(
            agdb.databases().await.unwrap_err(),
            AgdbError::Refused { status: 401, .. }
        ));
    }
}
