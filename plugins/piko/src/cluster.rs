//! Which of the replicas that run make one cluster, as all of them tell it. Pure.

use outrigger_plugin_sdk::{Membership, Replica};

use crate::nodes::{Node, NodeStatus};

/// What a replica's server answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its list; none where it was not understood.
    pub nodes: Option<Vec<Node>>,
}

/// A replica as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Which.
    pub replica: Replica,
    /// Whether it should exist.
    pub wanted: bool,
    /// What its server answered; none = it did not.
    pub answer: Option<Answer>,
}

/// One look at all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// This replica's ordinal.
    pub own: u32,
    /// Whether its `/ready` is 200.
    pub ready: bool,
    /// The own node's ID.
    pub id: Option<String>,
    /// All replicas in ordinal order, this one included.
    pub members: Vec<Member>,
}

impl Look {
    /// The replicas as they are known, nobody asked yet.
    pub fn new(now: &Membership) -> Self {
        let member = |replica: &Replica| Member {
            replica: replica.clone(),
            wanted: now.is_wanted(replica.ordinal),
            answer: None,
        };
        Self {
            own: now.self_ordinal,
            ready: false,
            id: None,
            members: now.replicas.iter().map(member).collect(),
        }
    }

    /// This replica.
    pub fn own(&self) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.replica.ordinal == self.own)
    }

    /// The own list.
    pub fn nodes(&self) -> Option<&[Node]> {
        self.own()?.answer.as_ref()?.nodes.as_deref()
    }

    /// The rows of the own list that are a replica's.
    pub fn rows<'a>(&'a self, of: &'a Member) -> impl Iterator<Item = &'a Node> {
        self.nodes()
            .unwrap_or_default()
            .iter()
            .filter(move |node| self.is_row_of(node, of))
    }

    /// Whether the own server sees a replica as active.
    pub fn is_active(&self, member: &Member) -> bool {
        self.rows(member)
            .any(|node| node.status == NodeStatus::Active)
    }

    fn is_row_of(&self, node: &Node, member: &Member) -> bool {
        let all = self.members.iter().map(|member| &member.replica);
        node.is_of(&member.replica, all)
    }

    /// Whether one sees the other as active. A list that was not understood denies nothing.
    fn sees(&self, from: &Member, to: &Member) -> bool {
        match from.answer.as_ref().map(|answer| &answer.nodes) {
            None => false,
            Some(None) => true,
            Some(Some(nodes)) => nodes
                .iter()
                .any(|node| node.status == NodeStatus::Active && self.is_row_of(node, to)),
        }
    }

    /// The clusters that those make who answer, each in ordinal order: two are in one if each sees the
    /// other, or by way of others.
    pub fn clusters(&self) -> Vec<Vec<&Member>> {
        let mut left: Vec<&Member> = self
            .members
            .iter()
            .filter(|member| member.answer.is_some())
            .collect();
        let mut clusters = Vec::new();
        while !left.is_empty() {
            let mut cluster = vec![left.remove(0)];
            let mut at = 0;
            while let Some(from) = cluster.get(at).copied() {
                at += 1;
                let (near, far) = left
                    .into_iter()
                    .partition(|to| self.sees(from, to) && self.sees(to, from));
                left = far;
                cluster.extend::<Vec<_>>(near);
            }
            cluster.sort_by_key(|member| member.replica.ordinal);
            clusters.push(cluster);
        }
        clusters
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::membership;

    /// A look of three: for each replica that runs, the members of its list, `+` active, `-` left, `?`
    /// unreachable. `"+0+1-2"`.
    pub(crate) fn look(own: u32, lists: &[(u32, &str)]) -> Look {
        let mut look = Look::new(&membership(own, 3));
        look.ready = true;
        look.id = Some(format!("piko-{own}-aaaaaaa"));
        for (ordinal, list) in lists {
            let chars: Vec<char> = list.chars().collect();
            let nodes = chars
                .chunks(2)
                .map(|pair| Node {
                    id: format!("piko-{}-aaaaaaa", pair[1]),
                    status: match pair[0] {
                        '+' => NodeStatus::Active,
                        '-' => NodeStatus::Left,
                        _ => NodeStatus::Unreachable,
                    },
                    proxy_addr: String::new(),
                    upstreams: 0,
                })
                .collect();
            let place = usize::try_from(*ordinal).unwrap();
            look.members[place].answer = Some(Answer { nodes: Some(nodes) });
        }
        look
    }

    fn clusters(lists: &[(u32, &str)]) -> Vec<Vec<u32>> {
        let ordinals = |cluster: Vec<&Member>| cluster.iter().map(|m| m.replica.ordinal).collect();
        look(0, lists)
            .clusters()
            .into_iter()
            .map(ordinals)
            .collect()
    }

    #[test]
    fn those_who_see_each_other_are_one_cluster() {
        let all = "+0+1+2";
        assert_eq!(clusters(&[(0, all), (1, all), (2, all)]), [[0, 1, 2]]);
        // By way of another.
        assert_eq!(clusters(&[(0, "+0+1"), (1, all), (2, "+1+2")]), [[0, 1, 2]]);
        // One that does not run belongs to none.
        assert_eq!(clusters(&[(0, "+0+1?2"), (1, "+0+1?2")]), [[0, 1]]);
    }

    #[test]
    fn those_who_see_themselves_alone_are_clusters_of_their_own() {
        let alone = [(0, "+0"), (1, "+1"), (2, "+2")];
        assert_eq!(clusters(&alone), [[0], [1], [2]]);
        assert_eq!(
            clusters(&[(0, "+0+1"), (1, "+0+1"), (2, "+2")]),
            [vec![0, 1], vec![2]]
        );
    }

    #[test]
    fn seeing_somebody_who_does_not_see_oneself_is_no_cluster() {
        let reused = [(0, "+0+1-2"), (1, "+0+1-2"), (2, "+0+1+2")];
        assert_eq!(clusters(&reused), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn a_list_that_is_not_understood_denies_nothing() {
        let mut look = look(0, &[(0, "+0+1"), (1, "+0+1")]);
        look.members[1].answer = Some(Answer { nodes: None });
        assert_eq!(look.clusters().len(), 1);
    }
}
