# The node: container runtime, kubelet, scheduler, proxy and DNS. Sourced by `cluster`.
# shellcheck shell=bash disable=SC2034,SC2154

pods=10.88.0.0/16
dns=10.96.0.10
containerd_socket=$state/run/containerd.sock

node() {
    echo 1 >/proc/sys/net/ipv4/ip_forward
    keep scheduler kube-scheduler --kubeconfig="$state/scheduler.kubeconfig" --leader-elect=false
    pod_network
    runtime
    dns
    kubelet_settings
    keep kubelet kubelet --kubeconfig="$state/node1.kubeconfig" --config="$state/kubelet.yaml" \
        --hostname-override=node1 --node-ip="$address"
    keep kube-proxy kube-proxy --kubeconfig="$state/proxy.kubeconfig" --hostname-override=node1 \
        --cluster-cidr=$pods --conntrack-max-per-core=0
    # A host path heeds no fsGroup and is made for root alone; what a CSI driver does for one is done here.
    keep volumes bash -c 'while :; do chmod -f 0777 /tmp/hostpath_pv/* || true; sleep 0.1; done'
    await 90 'the node' kubectl wait --for=condition=Ready node/node1 --timeout=1s
}

pod_network() {
    mkdir -p "$state/network"
    cat >"$state/network/pods.conflist" <<X
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
X
}

runtime() {
    # restrict_oom_score_adj: root without CAP_SYS_RESOURCE may not lower a process's score.
    cat >"$state/containerd.toml" <<X
version = 3
root = "$state/containerd"
state = "/run/containerd"
[grpc]
  address = "$containerd_socket"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/pause:cluster"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$state/network"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
X
    keep containerd containerd --config "$state/containerd.toml"
    await 30 containerd ctr --address "$containerd_socket" version
    load "$bin/pause.tar"
}

load() { # archive...
    local archive
    for archive in "$@"; do
        ctr --address "$containerd_socket" --namespace k8s.io images import "$archive" >/dev/null ||
            fail "containerd refuses $archive"
    done
}

dns() {
    cat >"$state/Corefile" <<X
cluster.local in-addr.arpa {
  bind $address
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $state/admin.kubeconfig $name
    ttl 5
    pods insecure
  }
  errors
}
X
    keep coredns coredns -conf "$state/Corefile"
    kubectl apply -f - >/dev/null <<X
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: $dns
  ports:
    - {name: dns, port: 53, protocol: UDP}
    - {name: dns-tcp, port: 53, protocol: TCP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns
  namespace: kube-system
  labels: {kubernetes.io/service-name: kube-dns}
addressType: IPv4
ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
endpoints:
  - addresses: ["$address"]
    conditions: {ready: true}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: outrigger-cluster-proxy}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:node-proxier"}
subjects:
  - {kind: User, name: "system:kube-proxy", apiGroup: rbac.authorization.k8s.io}
X
}

# All of the pods' cgroups are below one of the cluster's own.
kubelet_settings() {
    local hierarchy
    for hierarchy in $(hierarchies); do mkdir -p "$hierarchy/outrigger-$name"; done
    cat >"$state/kubelet.yaml" <<X
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  x509: {clientCAFile: "$pki/authority.crt"}
  webhook: {enabled: true}
authorization: {mode: Webhook}
tlsCertFile: $pki/node1.crt
tlsPrivateKeyFile: $pki/node1.key
containerRuntimeEndpoint: unix://$containerd_socket
cgroupDriver: cgroupfs
cgroupRoot: /outrigger-$name
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
localStorageCapacityIsolation: false
clusterDomain: cluster.local
clusterDNS: [$dns]
resolvConf: /dev/null
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi}
syncFrequency: 5s
X
}

# Where cgroups are made: one folder with version 2, one for each controller with version 1.
hierarchies() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo /sys/fs/cgroup
    else
        find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
    fi
}

remove_cgroups() {
    local hierarchy group
    for hierarchy in $(hierarchies); do
        group=$hierarchy/outrigger-$name
        if [ -d "$group" ]; then find "$group" -depth -type d -exec rmdir {} +; fi
    done
}
