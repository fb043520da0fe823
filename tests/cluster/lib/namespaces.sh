# The namespaces that a cluster lives in, and its first process. Sourced by `cluster`.
# shellcheck shell=bash disable=SC2034,SC2154

# The first process, as this machine numbers it.
first_pid() {
    local outer
    outer=$(cat "$state/unshare.pid" 2>/dev/null) || return 1
    # A number can have gone to another program: ours carries the state's path.
    tr '\0' ' ' 2>/dev/null <"/proc/$outer/cmdline" | grep -qF -- "__inside" || return 1
    cat "/proc/$outer/task/$outer/children" 2>/dev/null
}

is_up() { [ -n "$(first_pid)" ]; }

inside() {
    local pid
    pid=$(first_pid) || fail "$name is not up"
    nsenter --target "${pid// /}" --net --mount --uts --pid --ipc -- "$@"
}

# Takes a free slot: the number in the addresses of this cluster.
take_slot() {
    mkdir -p "$slots"
    for slot in $(seq 0 249); do
        if ! ip -o address | grep -qF " 10.89.$slot." && mkdir "$slots/$slot" 2>/dev/null; then
            echo "$name" >"$slots/$slot/name"
            echo "$slot" >"$state/slot"
            return
        fi
    done
    fail "no slot is free in $slots"
}

# Starts the first process of the cluster in namespaces of its own.
open_namespaces() { # part
    mkdir -p "$logs" "$state"/{pids,stopped}
    take_slot
    ip netns add "$netns"
    ip link add "outrigger$slot" type veth peer name eth0 netns "$netns"
    ip address add "10.89.$slot.1/30" dev "outrigger$slot"
    ip link set "outrigger$slot" up
    ip -n "$netns" link set lo up
    ip -n "$netns" address add "10.89.$slot.2/30" dev eth0
    ip -n "$netns" link set eth0 up
    CLUSTER_NAME=$name setsid nsenter --net="/run/netns/$netns" \
        unshare --mount --uts --ipc --pid --fork --kill-child --mount-proc \
        "$here/cluster" __inside "$1" >"$logs/cluster.log" 2>&1 </dev/null &
    echo $! >"$state/unshare.pid"
    local deadline=$((SECONDS + 10))
    until is_up; do
        [ $SECONDS -lt $deadline ] || fail "its first process did not start; see $logs"
        sleep 0.02
    done
}

# Ends whatever is there of the cluster, whole or in part.
close_namespaces() {
    local pid slot
    if pid=$(first_pid) && [ -n "$pid" ]; then
        pid=${pid// /}
        kill -KILL "$pid"
        # Its processes, and the mounts that keep files busy, are gone when it is.
        while [ -d "/proc/$pid" ] && ! grep -qs '^State:.Z' "/proc/$pid/status"; do sleep 0.05; done
    fi
    if [ -e "/run/netns/$netns" ]; then ip netns delete "$netns"; fi
    if slot=$(cat "$state/slot" 2>/dev/null); then
        ip link delete "outrigger$slot" 2>/dev/null || true
        rm -rf -- "${slots:?}/$slot"
    fi
}

# Runs as process 1 of the cluster's own namespaces: starts everything, then only waits.
first_process() { # part
    slot=$(cat "$state/slot")
    address=10.89.$slot.2
    mount --make-rshared /
    mount -t tmpfs run /run
    local folder
    # The last one is where claims get their folders.
    for folder in /var/lib/cni /var/lib/kubelet /var/log /tmp/hostpath_pv; do
        mkdir -p "$folder" "$state/node$folder"
        mount --bind "$state/node$folder" "$folder"
    done
    hostname node1
    certificates
    control_plane
    if [ "$1" = node ]; then node; fi
    touch "$state/ready"
    echo "ready after $SECONDS s"
    wait
}

# Keeps one program running: name, command. `cluster stop` and `cluster start` steer it.
keep() {
    local program=$1 status
    shift
    while :; do
        if [ ! -e "$state/stopped/$program" ]; then
            "$@" >>"$logs/$program.log" 2>&1 </dev/null &
            echo $! >"$state/pids/$program"
            status=0
            wait $! || status=$?
            echo "$program ended with status $status"
        fi
        sleep 0.2
    done &
}

# Waits until a command succeeds: seconds, what, command.
await() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt "$deadline" ] || fail "$what is not ready; see $logs"
        sleep 0.1
    done
}
