# etcd, the API server, the controllers and their certificates. Sourced by `cluster`.
# shellcheck shell=bash disable=SC2034,SC2154

services=10.96.0.0/16

# A new authority for each cluster, that ends with it.
certificates() {
    pki=$state/pki
    mkdir -p "$pki"
    printf '[req]\ndistinguished_name = subject\n[subject]\n' >"$pki/openssl.cnf"
    certificate authority /CN=outrigger-cluster -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
    issue apiserver /CN=kube-apiserver "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:$address"
    issue admin /O=system:masters/CN=admin DNS:admin
    issue controllers /CN=system:kube-controller-manager DNS:controllers
    issue scheduler /CN=system:kube-scheduler DNS:scheduler
    issue proxy /CN=system:kube-proxy DNS:proxy
    issue node1 /O=system:nodes/CN=system:node:node1 "DNS:node1,IP:$address"
    openssl ecparam -name prime256v1 -genkey -noout -out "$pki/accounts.key"
    openssl ec -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub" 2>/dev/null
    local who
    for who in admin controllers scheduler proxy node1; do kubeconfig "$who"; done
}

certificate() { # name subject option...
    local name=$1 subject=$2
    shift 2
    openssl req -x509 -config "$pki/openssl.cnf" -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30 \
        -keyout "$pki/$name.key" -out "$pki/$name.crt" -subj "$subject" "$@" 2>/dev/null
}

issue() { # name subject names
    certificate "$1" "$2" -CA "$pki/authority.crt" -CAkey "$pki/authority.key" -addext "subjectAltName=$3"
}

kubeconfig() { # who
    cat >"$state/$1.kubeconfig" <<X
apiVersion: v1
kind: Config
clusters:
  - name: $name
    cluster: {server: "https://$address:6443", certificate-authority: "$pki/authority.crt"}
users:
  - name: $1
    user: {client-certificate: "$pki/$1.crt", client-key: "$pki/$1.key"}
contexts:
  - name: $name
    context: {cluster: $name, user: $1}
current-context: $name
X
}

# What pods ask of the API server, one line for each answer: `cluster logs audit`.
audit_policy() {
    cat >"$state/audit.yaml" <<X
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - {level: Metadata, userGroups: ["system:serviceaccounts"]}
  - {level: None}
X
}

control_plane() {
    export KUBECONFIG=$state/admin.kubeconfig
    audit_policy
    keep etcd etcd --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
    # Aggregator routing: there need be no kube-proxy for the API server to reach a webhook's Service.
    keep apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --advertise-address="$address" \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --client-ca-file="$pki/authority.crt" --service-cluster-ip-range=$services \
        --service-account-key-file="$pki/accounts.pub" --service-account-signing-key-file="$pki/accounts.key" \
        --service-account-issuer=https://kubernetes.default.svc \
        --audit-policy-file="$state/audit.yaml" --audit-log-path="$logs/audit.log" \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --enable-aggregator-routing=true \
        --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
        --kubelet-preferred-address-types=InternalIP --allow-privileged=true --profiling=false
    await 90 'the API server' kubectl get --raw /readyz
    keep controller-manager kube-controller-manager --kubeconfig="$state/controllers.kubeconfig" --leader-elect=false \
        --use-service-account-credentials=true --service-account-private-key-file="$pki/accounts.key" \
        --root-ca-file="$pki/authority.crt" --enable-hostpath-provisioner=true \
        --cluster-signing-cert-file="$pki/authority.crt" --cluster-signing-key-file="$pki/authority.key"
    kubectl apply -f - >/dev/null <<X
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/host-path
X
    # Pods cannot be made in a namespace before it has its account.
    await 60 'the controller manager' kubectl get serviceaccount default
}
