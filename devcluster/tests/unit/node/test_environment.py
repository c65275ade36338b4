"""What a container's process is started with."""

import sys
from pathlib import Path
from typing import Any

import pytest

from devcluster.node.environment import base_environment, command_line, container_environment
from devcluster.node.hosts import host_rewriter, selects_by_name
from devcluster.node.rewriting import expand, path_rewriter
from devcluster.node.sources import Sources, UnresolvedReference, config_map_names, secret_names

POD: dict[str, Any] = {
    "metadata": {
        "name": "a-1",
        "namespace": "team",
        "uid": "u-1",
        "labels": {"app": "x"},
        "annotations": {"index/of": "7"},
    },
    "spec": {
        "nodeName": "dev",
        "containers": [{"name": "main"}],
    },
}
SOURCES = Sources(
    "team",
    config_maps={"settings": {"LEVEL": b"debug", "not a name": b"-"}},
    secrets={"keys": {"token": b"s3cret"}},
)


def environment_of(container: dict[str, Any], mounts: dict[str, str] | None = None) -> dict[str, str]:
    whole = {**POD["spec"]["containers"][0], **container}
    return container_environment(POD, whole, SOURCES, {"HOME": "/h"}, path_rewriter(mounts or {}))


def test_the_base_holds_nothing_of_the_developers_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret of the developer")

    base = base_environment(POD, Path("/state/home"), "127.0.0.1", "6443")

    assert base == {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/state/home",
        "LANG": "C.UTF-8",
        "HOSTNAME": "a-1",
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": "6443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "6443",
    }


def test_python_finds_the_modules_of_its_image_first() -> None:
    base = base_environment(POD, Path("/state/home"), "127.0.0.1", "6443", Path("/modules"))

    assert base["PYTHONPATH"] == "/modules"


def test_values_come_from_fields_config_maps_and_secrets() -> None:
    fields = {
        "NAME": "metadata.name",
        "SPACE": "metadata.namespace",
        "LABEL": "metadata.labels['app']",
        "NOTE": "metadata.annotations['index/of']",
        "NODE": "spec.nodeName",
        "IP": "status.podIP",
    }
    variables: list[dict[str, Any]] = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()
    ]
    variables += [
        {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "LEVEL"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "other", "key": "x", "optional": True}}},
    ]

    environment = environment_of({"env": variables})

    assert environment == {
        "HOME": "/h",
        "NAME": "a-1",
        "SPACE": "team",
        "LABEL": "x",
        "NOTE": "7",
        "NODE": "dev",
        "IP": "127.0.0.1",
        "LEVEL": "debug",
        "TOKEN": "s3cret",
    }


def test_a_variable_refers_to_those_before_it() -> None:
    variables = [{"name": "LEVEL", "value": "info"}, {"name": "BOTH", "value": "$(LEVEL)-$(HOME)"}]

    assert environment_of({"env": variables}) == {"HOME": "/h", "LEVEL": "info", "BOTH": "info-/h"}


def test_env_from_is_refused() -> None:
    with pytest.raises(UnresolvedReference, match="does not serve envFrom"):
        environment_of({"envFrom": [{"configMapRef": {"name": "settings"}}]})


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ({"configMapKeyRef": {"name": "nope", "key": "k"}}, 'configmap "nope" not found'),
        ({"secretKeyRef": {"name": "keys", "key": "k"}}, "couldn't find key k in Secret team/keys"),
        ({"fieldRef": {"fieldPath": "spec.what"}}, "unsupported fieldPath: spec.what"),
        (
            {"resourceFieldRef": {"resource": "limits.cpu"}},
            "env X: the dev cluster does not serve resourceFieldRef",
        ),
    ],
)
def test_what_is_missing_is_named_as_the_kubelet_names_it(variable: dict[str, Any], message: str) -> None:
    with pytest.raises(UnresolvedReference, match=f"^{message}$"):
        environment_of({"env": [{"name": "X", "valueFrom": variable}]})


def test_paths_of_mounts_are_those_of_this_machine_also_below_a_mounted_folder() -> None:
    # The state folder lies below a path that the container mounts too.
    mounts = {"/tmp": "/tmp/state/v/tmp", "/data": "/tmp/state/v/data"}

    environment = environment_of(
        {"env": [{"name": "OUT", "value": "file:///data/out"}, {"name": "LOG", "value": "$(OUT)/log:/tmp"}]}, mounts
    )

    assert environment == {
        "HOME": "/h",
        "OUT": "file:///tmp/state/v/data/out",
        "LOG": "file:///tmp/state/v/data/out/log:/tmp/state/v/tmp",
    }


def test_a_folder_of_mounts_is_meant_only_where_it_is_the_whole_word() -> None:
    rewrite = path_rewriter({"/run/keys/a": "/v/a"}, {"/run/keys": "/links"})

    assert [rewrite(text) for text in ("/run/keys", "/run/keys/a/b", "/run/keys/c", "in /run/keys")] == [
        "/links",
        "/v/a/b",
        "/run/keys/c",
        "in /run/keys",
    ]


HOSTS = {"metadata": {"namespace": "team", "labels": {"app": "x"}}, "spec": {"subdomain": "ft-a"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a-0.ft-a.team.svc:29500", "127.0.0.1:29500"),
        ("tcp://a-12.ft-a.team.svc.cluster.local:1", "tcp://127.0.0.1:1"),
        ("a-0.ft-a,a-1.ft-a.team", "127.0.0.1,127.0.0.1"),
        ("a-0.ft-a.", "127.0.0.1."),
        ("a-0.ft-b.team.svc", "a-0.ft-b.team.svc"),
        ("a-0.ft-a.other.svc", "a-0.ft-a.other.svc"),
        ("a-0.ft-a.team.svc.example.com", "a-0.ft-a.team.svc.example.com"),
        ("ft-a.team.svc", "ft-a.team.svc"),
        ("x.a-0.ft-a", "x.a-0.ft-a"),
    ],
)
def test_pods_of_the_same_subdomain_are_on_this_machine(text: str, expected: str) -> None:
    assert host_rewriter(HOSTS)(text) == expected


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, True),
        ({"clusterIP": "10.96.0.9"}, False),
        ({"selector": {"app": "y"}}, False),
        ({"selector": {}}, False),
    ],
)
def test_a_name_is_known_by_a_headless_service_that_selects_the_pod(change: dict[str, Any], known: bool) -> None:
    spec = {"clusterIP": "None", "selector": {"app": "x"}, **change}

    assert selects_by_name({"metadata": {"name": "ft-a"}, "spec": spec}, HOSTS) == known
    assert not selects_by_name({"metadata": {"name": "ft-b"}, "spec": spec}, HOSTS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", "/v/1"),
        ("/data/", "/v/1/"),
        ("/data/a b", "/v/1/a b"),
        ("--out=/data/x", "--out=/v/1/x"),
        ("open('/data/x')", "open('/v/1/x')"),
        ("/data/deep/x", "/v/2/x"),
        ("/data:/data/deep", "/v/1:/v/2"),
        ("/database", "/database"),
        ("/data-2", "/data-2"),
        ("/data.txt", "/data.txt"),
        ("/mnt/data", "/mnt/data"),
        ("data", "data"),
        ("https://host/data", "https://host/data"),
        ("$(ROOT)/data", "$(ROOT)/data"),
    ],
)
def test_only_whole_paths_are_rewritten_and_the_longest_first(text: str, expected: str) -> None:
    rewrite = path_rewriter({"/data/": "/v/1", "/data/deep": "/v/2"})

    assert rewrite(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)", "1$(B)"),
        ("$$(A)", "$(A)"),
        ("$A $(A", "$A $(A"),
        ("cost: 5$", "cost: 5$"),
        ("$$$(A)", "$1"),
    ],
)
def test_references_expand_as_in_kubernetes(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def test_python_is_the_interpreter_of_the_dev_cluster() -> None:
    container = {"command": ["python", "-m", "x"], "args": ["--n=$(N)", "/etc/c/run.yaml"]}

    line = command_line(container, {"N": "3"}, path_rewriter({"/etc/c": "/v"}))

    assert line == [sys.executable, "-m", "x", "--n=3", "/v/run.yaml"]


def test_a_container_that_leaves_its_command_to_the_image_is_refused() -> None:
    with pytest.raises(UnresolvedReference, match="no command specified"):
        command_line({"args": ["--x"]}, {}, str)


def test_every_config_map_and_secret_of_a_pod_is_known() -> None:
    pod = {
        "spec": {
            "containers": [
                {
                    "env": [
                        {"valueFrom": {"configMapKeyRef": {"name": "c1"}}},
                        {"valueFrom": {"secretKeyRef": {"name": "s1"}}},
                    ],
                }
            ],
            "volumes": [
                {"configMap": {"name": "c2"}},
                {"secret": {"secretName": "s2"}},
                {"projected": {"sources": [{"configMap": {"name": "c3"}}, {"secret": {"name": "s3"}}]}},
            ],
        }
    }

    assert (config_map_names(pod), secret_names(pod)) == ({"c1", "c2", "c3"}, {"s1", "s2", "s3"})
