# What the cluster is made of: Debian packages and Go programs. Sourced by `cluster`.
# shellcheck shell=bash disable=SC2034,SC2154

# Commands that a part needs, and the packages that bring them.
packages() {
    printf '%s\n' openssl=openssl ip=iproute2 unshare=util-linux nsenter=util-linux flock=util-linux curl=curl diff=diffutils
    [ "$1" = control-plane ] ||
        printf '%s\n' runc=runc iptables=iptables conntrack=conntrack /usr/lib/cni/bridge=containernetworking-plugins
}

# Says why a cluster cannot run here, with status 1; quiet where it can.
check() {
    part "$@" >/dev/null
    [ "$(uname -s)" = Linux ] || fail 'it needs Linux'
    [ "$(id -u)" = 0 ] || fail 'it needs root'
    command -v go >/dev/null || fail 'it needs Go, to build Kubernetes from its Go modules'
    unshare --net --mount --pid --fork true 2>/dev/null || fail 'root may not make namespaces here'
    local missing
    missing=$(missing_packages "$(part "$@")")
    [ -z "$missing" ] || command -v apt-get >/dev/null || fail "it needs$missing, and there is no apt-get to install them"
}

missing_packages() {
    local pair
    for pair in $(packages "$1"); do
        command -v "${pair%=*}" >/dev/null || printf ' %s' "${pair#*=}"
    done
}

build() {
    local part missing
    part=$(part "$@")
    missing=$(missing_packages "$part")
    if [ -n "$missing" ]; then
        echo "installing$missing"
        apt-get update -qq
        # shellcheck disable=SC2086 # these are words
        DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends $missing >/dev/null
    fi
    mkdir -p "$bin" "$home/built"
    go_programs etcd '' go.etcd.io/etcd/server/v3=etcd
    kubernetes kube-apiserver kube-controller-manager kubectl
    go_programs helm '' helm.sh/helm/v4/cmd/helm=helm
    if [ "$part" = node ]; then node_programs; fi
}

node_programs() {
    kubernetes kubelet kube-proxy kube-scheduler
    local containerd=github.com/containerd/containerd/v2/cmd
    go_programs containerd no_btrfs $containerd/containerd=containerd $containerd/ctr=ctr \
        $containerd/containerd-shim-runc-v2=containerd-shim-runc-v2
    go_programs coredns '' .=coredns
    go_programs pause '' .=pause
    pause_image
}

kubernetes() {
    local program packages=()
    for program in "$@"; do packages+=("k8s.io/kubernetes/cmd/$program=$program"); done
    go_programs kubernetes '' "${packages[@]}"
}

# Builds programs of one of our Go modules (module, build tags, package=program...), unless they are
# there already from the very same module and flags.
go_programs() {
    local module=$here/programs/$1 pair digest version
    local flags=(-trimpath -buildvcs=false -tags "$2")
    shift 2
    version=$(sed -n 's/^.*k8s.io\/kubernetes v\([0-9.]*\).*$/\1/p' "$module/go.mod")
    flags+=(-ldflags "-s -w ${version:+$(kubernetes_version "$version")}")
    digest=$( (cd "$module" && cat -- * && echo "${flags[@]}") | sha256sum | cut -c1-16)
    for pair in "$@"; do
        local package=${pair%=*} program=${pair##*=}
        local built=$home/built/$program-$digest
        if [ ! -x "$built" ]; then
            # Whoever else builds the same is waited for.
            (
                flock 9
                [ ! -x "$built" ] || exit 0
                echo "building $program"
                cd "$module" || exit 1
                CGO_ENABLED=0 go build "${flags[@]}" -o "$built.part" "$package"
                mv "$built.part" "$built"
            ) 9>"$built.lock"
        fi
        ln -sfn "$built" "$bin/$program"
    done
}

# A build from a module knows no version; Kubernetes' parts ask each other for it.
kubernetes_version() {
    local place=k8s.io/component-base/version minor=${1#*.}
    echo "-X $place.gitVersion=v$1 -X $place.gitMajor=${1%%.*} -X $place.gitMinor=${minor%%.*}"
}

# The image of the container that holds each pod's namespaces, made once for each build of `pause`.
pause_image() {
    local archive
    archive=$(readlink "$bin/pause").tar
    if [ ! -e "$archive" ]; then
        echo 'making the image of pause'
        (cd "$here/../.." && cargo run --quiet --package outrigger-image -- --name localhost/pause:cluster \
            --file "$bin/pause=/pause" --entrypoint /pause --output "$archive")
    fi
    ln -sfn "$archive" "$bin/pause.tar"
}
