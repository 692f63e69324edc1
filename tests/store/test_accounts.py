"""Who may come in, as what; secrets that stand in the store as hashes only; and the chain of what was done."""

import pytest
from campaign_records import NOW
from sqlalchemy import text

from tutelage.errors import StoreError
from tutelage.store import Store
from tutelage.store.audit import FIRST


def everything(store: Store) -> str:
    """All that the accounts' tables hold, as one text."""
    with store._reading() as connection:
        return "".join(str(connection.execute(text(f"SELECT * FROM {table}")).all())
                       for table in ("sessions", "links", "api_keys", "passwords", "audit"))


def test_roles_are_set_whole_and_written_down(store: Store) -> None:
    assert store.accounts.is_empty()
    store.accounts.set_roles("ada", ["annotator", "admin"], None, NOW)
    store.accounts.set_roles("ada", ["admin", "lead"], "ada", NOW)
    assert store.accounts.roles("ada") == {"admin", "lead"} and not store.accounts.is_empty()
    assert [line.action for line in store.audit.lines()] == [
        "role.grant.admin", "role.grant.annotator", "role.grant.lead", "role.revoke.annotator"]
    with pytest.raises(StoreError, match="no role 'king'"):
        store.accounts.set_roles("ada", ["king"], "ada", NOW)      # type: ignore[list-item]
    with pytest.raises(StoreError, match="does not know"):
        store.accounts.set_roles("nobody", ["lead"], "ada", NOW)


def test_the_last_admin_stays(store: Store) -> None:
    store.accounts.set_roles("ada", ["admin"], None, NOW)
    with pytest.raises(StoreError, match="the only admin"):
        store.accounts.set_roles("ada", ["lead"], "ada", NOW)
    store.accounts.set_roles("bot", ["admin"], "ada", NOW)
    store.accounts.set_roles("ada", [], "bot", NOW)
    assert [account.person for account in store.accounts.all()] == ["bot"]


def test_who_loses_every_role_or_gets_a_new_password_is_out(store: Store) -> None:
    for lose in (lambda: store.accounts.set_roles("ada", [], None, NOW),
                 lambda: store.accounts.set_password("ada", "$argon2id$v=19$x", None, NOW)):
        store.accounts.set_roles("ada", ["annotator"], None, NOW)
        token = store.access.begin_session("ada", NOW, 100)
        assert store.access.visitor(token, NOW + 1) is not None
        lose()
        assert store.access.visitor(token, NOW + 1) is None


def test_a_session_ends_when_its_time_is_over_or_somebody_leaves(store: Store) -> None:
    store.accounts.set_roles("ada", ["annotator"], None, NOW)
    store.accounts.set_settings("ada", {"language": "zh-CN", "keys": {"undo": "z"}})
    token, other = (store.access.begin_session("ada", NOW, 100) for _ in range(2))
    visitor = store.access.visitor(token, NOW + 100)
    assert visitor is not None and (visitor.person, visitor.name, visitor.roles) == ("ada", "Ada", {"annotator"})
    assert visitor.settings == {"language": "zh-CN", "keys": {"undo": "z"}}
    assert store.access.visitor(token, NOW + 101) is None and store.access.visitor("guess", NOW) is None
    store.access.end_session(other, NOW + 2)
    assert store.access.visitor(other, NOW + 3) is None
    assert token not in everything(store) and other not in everything(store)


def test_a_link_works_once_in_its_time_and_for_its_purpose(store: Store) -> None:
    token = store.access.make_link("invitation", {"roles": ["annotator"]}, "ada", NOW, 100)
    assert store.access.link(token, "invitation", NOW) == {"roles": ["annotator"]}
    for purpose, at in (("setup", NOW), ("invitation", NOW + 100)):
        with pytest.raises(StoreError, match="does not work"):
            store.access.use_link(token, purpose, "eve", at, name="Eve", roles=["annotator"])      # type: ignore[arg-type]
    store.access.use_link(token, "invitation", "eve", NOW, name="Eve", roles=["annotator"])
    assert store.accounts.get("eve").roles == ("annotator",)
    with pytest.raises(StoreError, match="does not work"):
        store.access.use_link(token, "invitation", "eva", NOW, name="Eva")
    assert token not in everything(store) and "eva" not in {person.id for person in store.people()}


def test_a_link_is_not_used_up_by_a_name_that_is_taken(store: Store) -> None:
    token = store.access.make_link("setup", {}, None, NOW, 100)
    with pytest.raises(StoreError, match="taken"):
        store.access.use_link(token, "setup", "ada", NOW, name="Not Ada", roles=["admin"])
    assert store.accounts.roles("ada") == frozenset()
    store.access.use_link(token, "setup", "root", NOW, name="Root", roles=["admin"])


def test_a_new_setup_link_ends_the_one_before(store: Store) -> None:
    first, second = (store.access.make_link("setup", {}, None, NOW, 100) for _ in range(2))
    with pytest.raises(StoreError, match="does not work"):
        store.access.link(first, "setup", NOW + 1)
    assert store.access.link(second, "setup", NOW + 1) == {}


def test_an_api_key_is_shown_once_and_can_be_revoked_by_its_owner(store: Store) -> None:
    store.accounts.set_roles("ada", ["lead"], None, NOW)
    key, row = store.access.make_api_key("ada", "script", NOW)
    visitor = store.access.visitor_by_key(key, NOW + 5)
    assert visitor is not None and visitor.roles == {"lead"}
    assert [each.last_used for each in store.access.api_keys("ada")] == [NOW + 5]
    with pytest.raises(StoreError, match="no API key"):
        store.access.revoke_api_key(row.id, "bot", NOW)
    store.access.revoke_api_key(row.id, "ada", NOW)
    assert store.access.visitor_by_key(key, NOW) is None and key not in everything(store)


def test_a_password_is_an_argon2id_hash_or_nothing(store: Store) -> None:
    assert store.accounts.password_hash("ada") is None and store.accounts.password_hash("nobody") is None
    with pytest.raises(StoreError, match="argon2id"):
        store.accounts.set_password("ada", "hunter2", None, NOW)
    for hashed in ("$argon2id$v=19$one", "$argon2id$v=19$two"):
        store.accounts.set_password("ada", hashed, "ada", NOW)
    assert store.accounts.password_hash("ada") == "$argon2id$v=19$two" and store.accounts.get("ada").has_password
    assert "argon2id" not in str([line for line in store.audit.lines()])


def test_the_audit_is_a_chain_and_says_where_it_was_broken(store: Store) -> None:
    assert store.audit.head() == FIRST and store.audit.verify() == []
    for number in range(4):
        store.audit.add(NOW + number / 3, "ada", "try", [f"s{number}", "é"])
    head = store.audit.head()
    store.audit.add(NOW + 9, None, "try")
    assert store.audit.verify(head) == [] and [line.number for line in store.audit.lines()] == [1, 2, 3, 4, 5]
    assert "is gone" in store.audit.verify("f" * 64)[0]
    _unguard(store)
    for damage, words in [("UPDATE audit SET actor = 'eve' WHERE number = 2", "line 2 is not what was written"),
                          ("UPDATE audit SET actor = 'ada' WHERE number = 2", None),
                          ("DELETE FROM audit WHERE number = 5", None),
                          ("DELETE FROM audit WHERE number = 3", "line 3 is missing"),
                          ("DELETE FROM audit WHERE number > 1", "is gone")]:
        with store._writing() as connection:
            connection.execute(text(damage))
        found = store.audit.verify(head)
        assert (found == []) if words is None else words in found[0]


def _unguard(store: Store) -> None:
    """As somebody with the database's own tools could."""
    with store._writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        else:
            for verb in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER audit_no_{verb}"))
