"""keeper.toml: what is wrong is said with its field and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.app import KINDS, relays_of, send_limits_of
from keeper.domain.errors import Misconfigured
from keeper.send.fees import Discretion
from keeper.settings import WATCHED, Settings, read_settings

OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
GOOD = f"""
[chain]
id = 1
url = "http://127.0.0.1:8545"
[[watch]]
thresholds = "{OWNER}"
owners = ["{OWNER}"]
"""
BAD_URLS = (
    ("http://127.0.0.1:99999", "http://127.0.0.1:99999 is no address: port out of range 0-65535"),
    ("127.0.0.1:8545", "127.0.0.1:8545 is neither http:// nor https://"),
    ("ftp://me:secret@127.0.0.1/secret", "ftp://127.0.0.1 is neither http:// nor https://"),
)


def read(folder: Path, text: str) -> Settings:
    (folder / "keeper.toml").write_text(text)
    return read_settings(folder / "keeper.toml")


def test_settings__paths__are_taken_from_the_file_s_own_folder(tmp_path: Path) -> None:
    settings = read(tmp_path, GOOD + '[key]\nkeystore = "keys/keeper.json"\n')
    assert settings.journal.path == tmp_path / "keeper.db"
    assert settings.key.keystore == tmp_path / "keys" / "keeper.json"


def test_settings__what_an_action_is_worth__is_the_sender_s_limit_for_that_contract(tmp_path: Path) -> None:
    assert send_limits_of(read(tmp_path, GOOD)).worth_wei == {}
    settings = read(tmp_path, GOOD + "worth_eth = 0.25\n")
    assert send_limits_of(settings).worth_wei == {OWNER: 25 * 10**16}


def test_settings__relays__are_where_actions_leave_by_and_bound_when_they_do_not(tmp_path: Path) -> None:
    assert send_limits_of(read(tmp_path, GOOD)).discretion == Discretion()
    relays = (
        '[[relays]]\nname = "one"\nurl = "https://one/secret"\n[[relays]]\nname = "two"\nurl = "http://two"\n'
    )
    settings = read(tmp_path, GOOD + relays)
    assert send_limits_of(settings).discretion == Discretion(("one", "two"), 0, 2)
    assert [relay.node.name for relay in relays_of(settings)] == ["https://one", "http://two"]
    patient = "[private]\npublic_after_blocks = 7\npublic_when_urgent = false\n"
    assert send_limits_of(read(tmp_path, GOOD + relays + patient)).discretion == Discretion(
        ("one", "two"), 7, 3
    )


def test_settings__the_papers_of_a_signer_elsewhere__are_taken_from_the_same_folder(tmp_path: Path) -> None:
    files = 'certificate = "c.pem"\nprivate_key = "c.key"\nauthority = "/etc/ca.pem"\n'
    text = f'[key]\naddress = "{OWNER}"\n[key.remote]\nurl = "https://signer"\n{files}'
    remote = read(tmp_path, GOOD + text).key.remote
    assert remote is not None
    assert (remote.certificate, remote.private_key) == (tmp_path / "c.pem", tmp_path / "c.key")
    assert remote.authority == Path("/etc/ca.pem")


def test_settings__the_url_in_the_environment__wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPER_RPC_URL", "http://127.0.0.1:1/secret")
    assert read(tmp_path, GOOD).chain.url == "http://127.0.0.1:1/secret"


def test_settings__several_urls__are_taken_in_order_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = GOOD.replace(
        "[[watch]]", 'urls = ["http://b", "http://127.0.0.1:8545", "http://c"]\nquorum = 2\n[[watch]]'
    )
    assert read(tmp_path, GOOD).chain.endpoints == ("http://127.0.0.1:8545",)
    assert read(tmp_path, several).chain.endpoints == ("http://127.0.0.1:8545", "http://b", "http://c")
    monkeypatch.setenv("KEEPER_RPC_URL", "http://x/secret  http://y/secret")
    assert read(tmp_path, several).chain.endpoints == ("http://x/secret", "http://y/secret")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[chain", "is not TOML"),
        ("", "chain: is missing"),
        (
            GOOD + '[[relays]]\nname = "public"\nurl = "http://x"\n',
            "public is the name of the door that is no relay",
        ),
        (GOOD + 2 * '[[relays]]\nname = "x"\nurl = "http://x"\n', "two relays have one name, x"),
        (
            GOOD + '[[relays]]\nname = "A B"\nurl = "http://x"\n',
            "relays.0.name: must be small letters, digits",
        ),
        (GOOD.replace("id = 1", "id = 0"), "chain.id: must be more than 0"),
        (
            GOOD.replace('url = "http://127.0.0.1:8545"', ""),
            "chain.url: is missing, and KEEPER_RPC_URL is not set",
        ),
        (
            GOOD.replace("[[watch]]", "quorum = 2\n[[watch]]"),
            "chain.quorum: 2 endpoints cannot agree where 1 endpoint can be asked",
        ),
        (
            GOOD.replace(f'owners = ["{OWNER}"]', "owners = []"),
            "watch.0.owners: needs at least one owner",
        ),
        (GOOD.replace(f'["{OWNER}"]', '["0x12"]'), "watch.0.owners.0: is not a 20-byte address"),
        (GOOD.replace(f'["{OWNER}"]', f'["{OWNER.replace("C", "c")}"]'), "with a valid checksum"),
        (GOOD + "[limits]\nmax_fee_gwei = -1\n", "limits.max_fee_gwei: must be more than 0"),
        (
            GOOD + "[limits]\nslipage = 1\n",
            "limits.slipage: there is no such key; those there are: max_fee_gwei, ",
        ),
        (GOOD.replace("id = 1", "idd = 1"), "chain.idd: there is no such key; did you mean id?"),
        (GOOD.replace("owners", "owner"), "watch.0.owner: there is no such key; did you mean owners?"),
        (GOOD.replace("[chain]", "[chains]"), "chains: there is no such key; did you mean chain?"),
        (GOOD.replace("id = 1", ""), "chain.id: is missing"),
        (
            GOOD + "[limits]\ndrift_bps = 5000\n",
            "limits.drift_bps: must be at most 500",
        ),
        (GOOD + "worth_eth = 0\n", "watch.0.worth_eth: must be more than 0"),
        (
            GOOD + '[key]\nkeystore = "k"\naws_kms = "alias/keeper"\n',
            "key: one key signs, and keystore and aws_kms are named",
        ),
        (GOOD + '[key]\ngcp_kms = "projects/p/keys/k"\n', "key.gcp_kms: is not projects/"),
        (
            GOOD + '[key.remote]\nurl = "https://signer"\n',
            "key: address is missing: a signer elsewhere may hold the keys of many",
        ),
        (
            GOOD + f'[key]\naddress = "{OWNER}"\n[key.remote]\nurl = "https://signer"\ncertificate = "c"\n',
            "key.remote: certificate and private_key are named together or not at all",
        ),
        *((GOOD.replace("http://127.0.0.1:8545", url), f"chain.url: {said}") for url, said in BAD_URLS),
        (GOOD.replace("[[watch]]", 'urls = ["b:1"]\n[[watch]]'), "chain.urls.0: b:1 is neither http://"),
        (GOOD.replace("[[watch]]", 'heads = "ws://b:99999"\n[[watch]]'), "chain.heads: ws://b:99999 is no"),
        *(
            (GOOD + f"[{table}]\n{key} = {much}\n", f"{table}.{key}: must be finite")
            for table, key in (
                ("limits", "max_fee_gwei"),
                ("limits", "tip_gwei"),
                ("breakers", "quorum_seconds"),
            )
            for much in ("inf", "nan")
        ),
        (GOOD.replace("id = 1", "id = 1\npoll_seconds = inf"), "chain.poll_seconds: must be finite"),
        (GOOD + "[limits]\ntip_gwei = true\n", "limits.tip_gwei: must be a number"),
        (GOOD + 'worth_eth = "much"\n', "watch.0.worth_eth: must be a number"),
        *(
            (GOOD.replace("id = 1", f"id = {written}"), "chain.id: must be a whole number")
            for written in ("true", "1.0", '"1"')
        ),
        (GOOD.replace(f'["{OWNER}"]', f'"{OWNER}"'), "watch.0.owners: must be a list"),
        (GOOD.replace("[[watch]]", "[watch]"), "watch: must be a list; write [[watch]]"),
        ("watch = []\n" + GOOD[: GOOD.index("[[")], "watch: needs at least one watch"),
        ("chain = 1\n", "chain: must be a table"),
        (GOOD + "[journal]\npath = 1\n", "journal.path: must be a file's name in quotes"),
        (GOOD + 'kind = "loan"\n', "watch.0.kind: there is no kind 'loan'; did you mean loans?"),
        (GOOD + GOOD[GOOD.index("[[") :], f"watch.1: {OWNER} is watched at {OWNER} already"),
        (
            GOOD + '[journal]\npath = "a.db"\nurl = "postgresql://a/b"\n',
            "journal: path and url are both named",
        ),
    ],
)
def test_settings__what_is_wrong__is_named_with_field_and_reason(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(Misconfigured, match="keeper.toml") as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings__the_kinds_that_may_be_watched__are_those_that_the_keeper_holds() -> None:
    assert set(WATCHED) == set(KINDS)


def test_settings__no_file__is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        Misconfigured,
        match=r"settings: .*cannot be read \(No such file or directory\); keeper init --out .*keeper.toml writes one",
    ):
        read_settings(tmp_path / "keeper.toml")
