//! Looks at a cluster. Nothing is changed: the one pod that is created is a dry run.

use std::collections::BTreeMap;

use hyper::Request;
use k8s_openapi::ByteString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Asked, Installation, On, RIGHTS, Rehearsal, Right, Seen, SeenPod};
use crate::cluster::objects::ConfigMap;
use outrigger_api_server::{ApiError, ApiServer, server_version};

/// The name of the pod, and of the StatefulSet that it says it is of.
const NAME: &str = "outrigger-check";

/// Looks at an installation. `namespace` is where the pod of the dry run would be.
pub async fn look(api: &ApiServer, installation: Installation, namespace: &str) -> Seen {
    let own = &installation.namespace;
    let configuration = format!(
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{}",
        installation.configuration
    );
    let deployment = format!(
        "/apis/apps/v1/namespaces/{own}/deployments/{}",
        installation.deployment
    );
    let configuration = optional(api, &configuration).await;
    let deployment = optional(api, &deployment).await;
    let account = account(&installation, &deployment);
    let mut rights = Vec::new();
    for right in RIGHTS {
        rights.push((*right, may(api, &installation, &account, right).await));
    }
    Seen {
        version: server_version(api).await.map_err(|error| error.chain()),
        endpoints: endpoints(api, &installation).await,
        certificate: certificate(api, &installation).await,
        rehearsal: told(rehearse(api, namespace).await),
        rights,
        pods: list(
            api,
            "/api/v1/pods",
            "outrigger.dev/inject=true",
            SeenPod::read,
        )
        .await,
        profiles: profiles(api).await,
        configuration,
        deployment,
        installation,
    }
}

async fn get<T: DeserializeOwned>(api: &ApiServer, path: &str) -> Result<T, ApiError> {
    Ok(api.get(path).await?.value)
}

async fn post<T: DeserializeOwned>(
    api: &ApiServer,
    path: &str,
    body: &Value,
) -> Result<T, ApiError> {
    let request = Request::post(path)
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes());
    let request = request.map_err(|error| ApiError::Request(error.into()))?;
    Ok(api.request(request).await?.value)
}

/// An object; none where it does not exist.
async fn optional<T: DeserializeOwned>(api: &ApiServer, path: &str) -> Asked<Option<T>> {
    match get(api, path).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is(404) => Ok(None),
        Err(error) => Err(error.chain()),
    }
}

/// All objects with a label, each reduced at once.
async fn list<T>(
    api: &ApiServer,
    path: &str,
    selector: &str,
    reduce: impl Fn(&Value) -> T,
) -> Asked<Vec<T>> {
    let all = api.list(path, selector, reduce).await;
    Ok(all.map_err(|error| error.chain())?.value)
}

async fn endpoints(api: &ApiServer, installation: &Installation) -> Asked<Option<usize>> {
    let Installation {
        namespace, service, ..
    } = installation;
    let path = format!("/api/v1/namespaces/{namespace}/services/{service}");
    if optional::<Value>(api, &path).await?.is_none() {
        return Ok(None);
    }
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let selector = format!("kubernetes.io/service-name={service}");
    let ready = list(api, &path, &selector, ready).await?;
    Ok(Some(ready.into_iter().sum()))
}

/// How many endpoints of a slice are ready; those that do not say so are.
fn ready(slice: &Value) -> usize {
    let endpoints = slice.get("endpoints").and_then(Value::as_array);
    let ready =
        |endpoint: &&Value| endpoint.pointer("/conditions/ready") != Some(&Value::Bool(false));
    endpoints.into_iter().flatten().filter(ready).count()
}

async fn certificate(api: &ApiServer, installation: &Installation) -> Asked<Option<Vec<u8>>> {
    #[derive(Deserialize)]
    struct Secret {
        #[serde(default)]
        data: Option<BTreeMap<String, ByteString>>,
    }
    let Installation {
        namespace, secret, ..
    } = installation;
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{secret}");
    let secret: Option<Secret> = optional(api, &path).await?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    Ok(data.get("tls.crt").map(|text| text.0.clone()))
}

/// Creates a pod as a dry run that the webhook refuses, since it has an annotation that does not exist.
async fn rehearse(api: &ApiServer, namespace: &str) -> Result<(), ApiError> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("{NAME}-0"),
            "labels": {"outrigger.dev/inject": "true"},
            "annotations": {"outrigger.dev/check": "refuse this"},
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "name": NAME,
                "uid": "00000000-0000-0000-0000-000000000000",
                "controller": true,
            }],
        },
        "spec": {"containers": [{"name": NAME, "image": NAME}]},
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    post::<serde::de::IgnoredAny>(api, &path, &pod)
        .await
        .map(drop)
}

/// What the answer to a dry run tells.
pub(super) fn told(answer: Result<(), ApiError>) -> Rehearsal {
    match answer {
        Ok(()) => Rehearsal::NotAsked,
        Err(ApiError::Refused { message, .. }) => {
            if message.contains("outrigger.dev/check") && message.contains("denied the request") {
                Rehearsal::Reached
            } else if message.contains("failed calling webhook") {
                Rehearsal::Unreached(message)
            } else {
                Rehearsal::Untried(message)
            }
        }
        Err(error) => Rehearsal::Untried(error.chain()),
    }
}

/// The webhook's account.
fn account(installation: &Installation, deployment: &Asked<Option<Value>>) -> String {
    let said = deployment
        .as_ref()
        .ok()
        .and_then(Option::as_ref)
        .and_then(|found| found.pointer("/spec/template/spec/serviceAccountName"))
        .and_then(Value::as_str);
    let name = said.unwrap_or(&installation.deployment);
    format!("system:serviceaccount:{}:{name}", installation.namespace)
}

async fn may(
    api: &ApiServer,
    installation: &Installation,
    account: &str,
    right: &Right,
) -> Asked<bool> {
    #[derive(Deserialize)]
    struct Review {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        allowed: bool,
    }
    let mut about = json!({"group": right.group, "resource": right.resource, "verb": right.verb});
    match right.on {
        On::All => {}
        On::Secret => {
            about["namespace"] = json!(installation.namespace);
            about["name"] = json!(installation.secret);
        }
        On::Configuration => about["name"] = json!(installation.configuration),
    }
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": account, "groups": groups(&installation.namespace), "resourceAttributes": about},
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer: Review = post(api, path, &review)
        .await
        .map_err(|error| error.chain())?;
    Ok(answer.status.allowed)
}

/// Of every service account of a namespace.
fn groups(namespace: &str) -> [String; 3] {
    [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ]
}

async fn profiles(api: &ApiServer) -> Asked<Vec<(String, String, crate::facts::ProfileEntry)>> {
    let read = |object: &Value| ConfigMap::deserialize(object).ok();
    let all = list(
        api,
        "/api/v1/configmaps",
        "outrigger.dev/profile=true",
        read,
    )
    .await?;
    let entry = |map: ConfigMap| {
        let metadata = &map.metadata;
        (
            metadata.namespace.clone(),
            metadata.name.clone(),
            map.facts(),
        )
    };
    Ok(all.into_iter().flatten().map(entry).collect())
}
