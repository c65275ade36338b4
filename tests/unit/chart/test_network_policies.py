"""Who reaches whom, where the network enforces NetworkPolicies."""

from tests.unit.chart.values import EVERY_VALUE, SELECTOR, Json, Render

from finetune_api.well_known import LABEL_JOB_UID

PUBLIC: list[Json] = [
    {
        "ipBlock": {
            "cidr": "0.0.0.0/0",
            "except": [
                "10.0.0.0/8",
                "100.64.0.0/10",
                "127.0.0.0/8",
                "169.254.0.0/16",
                "172.16.0.0/12",
                "192.168.0.0/16",
            ],
        }
    },
    {"ipBlock": {"cidr": "::/0", "except": ["fc00::/7", "fe80::/10"]}},
]


def test_only_training_pods_reach_the_operator_which_reaches_dns_and_the_api_server(render: Render) -> None:
    policy = render()["NetworkPolicy/ft-finetune-operator"]

    training = {"matchExpressions": [{"key": LABEL_JOB_UID, "operator": "Exists"}]}
    dns = [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]
    assert policy["spec"] == {
        "podSelector": {"matchLabels": SELECTOR},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [{"podSelector": training, "namespaceSelector": {}}],
                "ports": [{"port": "reports", "protocol": "TCP"}],
            },
            {
                "from": [
                    {
                        "namespaceSelector": {
                            "matchExpressions": [
                                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["monitoring"]}
                            ]
                        }
                    }
                ],
                "ports": [{"port": "metrics", "protocol": "TCP"}],
            },
        ],
        "egress": [
            {"to": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": dns},
            {"ports": [{"port": port, "protocol": "TCP"} for port in (443, 6443)]},
            {"ports": [{"port": 443, "protocol": "TCP"}], "to": PUBLIC},
        ],
    }


def test_a_network_that_is_known_is_closed_further(render: Render) -> None:
    spec = render(**EVERY_VALUE)["NetworkPolicy/tuner"]["spec"]

    reports, _, probes = spec["ingress"]
    assert reports["from"][0]["namespaceSelector"]["matchExpressions"] == [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}
    ]
    assert probes == {
        "from": [{"ipBlock": {"cidr": "10.1.0.0/16"}}, {"ipBlock": {"cidr": "fd00::/8"}}],
        "ports": [{"port": "health", "protocol": "TCP"}],
    }
    _, collector, api_server, notified = spec["egress"]
    assert collector == {"ports": [{"port": port, "protocol": "TCP"} for port in (4317, 4318)]}
    assert api_server == {
        "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
        "ports": [{"port": 8443, "protocol": "TCP"}],
    }
    assert notified == {
        "to": [*PUBLIC, {"ipBlock": {"cidr": "10.2.0.7/32"}}],
        "ports": [{"port": port, "protocol": "TCP"} for port in (443, 3128)],
    }


def test_only_named_namespaces_reach_the_page_from_outside_of_its_own(render: Render) -> None:
    rules = render(page={"enabled": True, "reachedFrom": ["ingress"]})["NetworkPolicy/ft-finetune-operator-page"][
        "spec"
    ]

    assert rules["ingress"] == [
        {
            "from": [
                {"podSelector": {}},
                {
                    "namespaceSelector": {
                        "matchExpressions": [
                            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["ingress"]}
                        ]
                    }
                },
            ],
            "ports": [{"port": "http", "protocol": "TCP"}],
        }
    ]
    assert rules["egress"] == [{"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]}]
