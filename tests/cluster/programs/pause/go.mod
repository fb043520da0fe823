// What holds a pod's namespaces.
module outrigger.dev/cluster/pause

go 1.26
