"""A closed network: a Hub of its own behind an authority of its own, a proxy on the way, and a connection to nobody else."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import pytest
import trustme
from ruamel.yaml import YAML
from tests.made_once import made_once
from tests.trainer.hub_runs import Hub
from tests.trainer.test_examples import EXAMPLES, STAND_INS
from tests.trainer.tunnel_proxy import PASSWORD, TunnelProxy

from finetune_api.report import ENV_TRUST
from finetune_api.v1alpha1 import FineTuneJobSpec, RunSettings
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage.download import find_source
from finetune_trainer.storage.trust import VARIABLES, trust_authorities

HUB = "hub.corp.example"
RUN = set(STAND_INS) - {"qlora.yaml"}
"""bitsandbytes is not installed everywhere; its example differs from chat.yaml in how the weights are held only."""
ONE_OF_EACH_TASK = {"chat.yaml", "summarization.yaml", "text-classification.yaml", "token-classification.yaml"}


@pytest.fixture(autouse=True)
def others_go_past_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process may hold a cluster of other tests, whose controllers ask its API server all the while."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


class CorporateHub(Hub):
    repositories: dict[str, Path] = {}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(ONE_OF_EACH_TASK, id="an example of each task"),
        pytest.param(RUN - ONE_OF_EACH_TASK, id="the other examples", marks=pytest.mark.slow),
    ],
)
def examples(request: pytest.FixtureRequest) -> set[str]:
    names: set[str] = request.param
    return names


@pytest.fixture(scope="module")
def ended(examples: set[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How the run of each example ended, what the proxy was asked for, what else was connected to, and all output."""
    found: dict[str, Any]
    found, _ = made_once(tmp_path_factory, f"closed-{len(examples)}", lambda folder: run_all(examples, folder))
    return found


def run_all(examples: set[str], folder: Path) -> dict[str, Any]:
    for name in examples:
        (folder / "runs" / name).mkdir(parents=True)
        prepare(name, folder)
    authority, trust = trustme.CA(), folder / "trust"
    trust.mkdir()
    authority.cert_pem.write_to_path(str(trust / "corporate.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), CorporateHub)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HUB).configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    proxy = TunnelProxy(server.server_port)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("closed_network_runs.py"), folder / "runs"],
        env={
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("HF_", "NO_PROXY", "no_proxy"))
            },
            "HF_HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "HF_ENDPOINT": f"https://{HUB}",
            "HTTPS_PROXY": proxy.url,
            "HTTP_PROXY": proxy.url,
            ENV_TRUST: str(trust),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    server.shutdown()
    proxy.shutdown()
    return {**json.loads(done.stdout.splitlines()[-1]), "proxy": proxy.asked_for, "output": done.stdout.decode()}


def prepare(name: str, folder: Path) -> None:
    """Put what takes the place of an example's model and data on the Hub, and write its run, which ends soon."""
    stand_in, manifest = STAND_INS[name], YAML(typ="safe").load(EXAMPLES / name)
    spec = FineTuneJobSpec.model_validate(manifest["spec"])
    own = folder / "hub" / name
    stand_in.save_model(own / "model")
    (own / "data").mkdir()
    asked = [split.split for split in (spec.dataset.train, spec.dataset.evaluation) if split]
    splits = sorted({each.partition("[")[0] for each in asked})
    for split in splits:
        rows = datasets.Dataset.from_dict(stand_in.rows, datasets.Features(stand_in.features))
        rows.to_parquet(own / "data" / f"{split}.parquet")
    files = "".join(f"  - {{split: {split}, path: {split}.parquet}}\n" for split in splits)
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n"
    (own / "data" / "README.md").write_text(card)
    # Examples share models and data sets of the Hub that have other stand-ins.
    wanted = {alias for field in RunSettings.model_fields.values() if (alias := field.alias)}
    settings = {field: value for field, value in spec.to_wire().items() if field in wanted}
    for part in ("model", "dataset"):
        source = f"{name.removesuffix('.yaml')}/{settings[part]['source'].replace('/', '-')}"
        settings[part]["source"] = source
        CorporateHub.repositories[source] = own / {"model": "model", "dataset": "data"}[part]
    settings["dataset"].pop("name", None)
    settings["training"]["epochs"] = 0.01
    settings |= {"output": {"uri": f"file://{folder}/out/{name}"}, "gpus": 0}
    YAML().dump(settings, folder / "runs" / name / "run.yaml")


@pytest.mark.slow
def test_each_example_trains_with_what_the_hub_of_the_network_gives(ended: dict[str, Any], examples: set[str]) -> None:
    assert {name: (end["exitCode"], end.get("failure")) for name, end in ended["ends"].items()} == dict.fromkeys(
        examples, (0, None)
    )
    assert {end["provenance"]["modelRevision"] for end in ended["ends"].values()} == {
        "0123456789abcdef0123456789abcdef01234567"
    }


@pytest.mark.slow
def test_no_example_looks_up_or_connects_to_any_other_host(ended: dict[str, Any]) -> None:
    assert ended["others"] == []
    assert set(ended["proxy"]) == {f"CONNECT {HUB}:443"}


def test_the_password_of_the_proxy_is_in_no_line_of_output(ended: dict[str, Any]) -> None:
    assert PASSWORD not in ended["output"]


def connection_string() -> str:
    return "DefaultEndpointsProtocol=https;AccountName=corp;AccountKey=YWFhYWFhYWE=;EndpointSuffix=blob.example"


@pytest.mark.parametrize(
    ("source", "asked_for"),
    [
        ("s3://models/bert", "CONNECT s3.corp.example:443"),
        ("az://models/bert", "CONNECT corp.blob.blob.example:443"),
        ("gs://models/bert", "CONNECT storage.googleapis.com:443"),
        ("https://data.corp.example/train.csv", "CONNECT data.corp.example:443"),
    ],
)
def test_each_kind_of_place_is_asked_through_the_proxy(
    source: str, asked_for: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, real_sleep = TunnelProxy(), asyncio.sleep
    # The clients try again for a minute or two.
    monkeypatch.setattr(asyncio, "sleep", lambda seconds, result=None: real_sleep(0, result))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    # Credentials of the machine are asked for past the proxy; here there are none.
    monkeypatch.setenv("NO_PROXY", f"metadata.google.internal,169.254.169.254,{os.environ['NO_PROXY']}")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.corp.example")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-nobody")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string())

    with pytest.raises(TrainerError) as failure:
        find_source(source, "dataset", {})

    proxy.shutdown()
    assert set(proxy.asked_for) == {asked_for}, failure.value


def test_the_authorities_of_the_network_are_trusted_besides_the_public_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorities = [trustme.CA(organization_name=name) for name in ("one", "two")]
    for number, authority in enumerate(authorities):
        authority.cert_pem.write_to_path(str(tmp_path / f"{number}.pem"))
    monkeypatch.setenv(ENV_TRUST, str(tmp_path))

    trust_authorities()

    bundles = {os.environ[name] for name in VARIABLES}
    assert len(bundles) == 1
    loaded = ssl.create_default_context(cafile=bundles.pop()).get_ca_certs()
    organizations = {
        value for each in loaded for part in each["subject"] for key, value in part if key == "organizationName"
    }
    assert organizations > {"one", "two", "Internet Security Research Group"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "the ConfigMap of the profile's trust has no key"),
        ({"ca.crt": "not a certificate"}, "key ca.crt of the ConfigMap of the profile's trust holds no certificates"),
    ],
)
def test_a_config_map_that_holds_no_authority_is_named(
    files: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setenv(ENV_TRUST, str(tmp_path))

    with pytest.raises(TrainerError, match=message) as failure:
        trust_authorities()

    assert failure.value.reason == "TrustUnusable"


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "localhost",
    ],
)
def test_a_proxy_is_no_way_to_an_address_that_is_not_public(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = TunnelProxy()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)

    with pytest.raises(TrainerError) as failure:
        find_source(f"https://{host}/latest/meta-data.csv", "dataset", {})

    proxy.shutdown()
    assert (failure.value.reason, proxy.asked_for) == ("AddressNotAllowed", [])


def test_a_proxy_is_asked_for_a_name_that_is_known_to_it_alone_and_not_for_one_that_leads_within(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = TunnelProxy()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    look_up = socket.getaddrinfo
    known = {"within.example": ["93.184.216.34", "10.0.0.1"], "public.example": ["93.184.216.34"]}

    def answer(host: str, port: Any, *arguments: Any, **options: Any) -> Any:
        if host not in known:
            return look_up(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    failures = []
    for host in ("within.example", "public.example", "files.corp.invalid"):
        with pytest.raises(TrainerError) as failure:
            find_source(f"https://{host}/train.csv", "dataset", {})
        failures.append(failure.value.reason)

    proxy.shutdown()
    assert set(proxy.asked_for) == {"CONNECT public.example:443", "CONNECT files.corp.invalid:443"}
    assert [reason == "AddressNotAllowed" for reason in failures] == [True, False, False]


def test_a_proxy_without_a_scheme_is_asked_as_other_libraries_do(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = TunnelProxy()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.removeprefix("http://"))

    with pytest.raises(TrainerError):
        find_source("https://files.corp.invalid/train.csv", "dataset", {})

    proxy.shutdown()
    assert set(proxy.asked_for) == {"CONNECT files.corp.invalid:443"}


@pytest.mark.parametrize("scheme", ["https", "socks5"])
def test_a_proxy_of_another_kind_is_named_without_its_password(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://finetune:{PASSWORD}@proxy.corp.example:3128")

    with pytest.raises(TrainerError) as failure:
        find_source("https://files.corp.invalid/train.csv", "dataset", {})

    assert failure.value.reason == "BadConfiguration"
    assert f"the proxy's URL begins with {scheme}://" in failure.value.message
    assert PASSWORD not in f"{failure.value.message} {failure.value.hint}"
