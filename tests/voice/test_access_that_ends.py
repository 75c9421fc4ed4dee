"""An open session ends with its caller's access."""

import asyncio

import pytest

from accounts.access import access_of_user
from accounts.models import ApiKey, Membership, Role, User
from accounts.services import change_role, create_api_key, remove_member, revoke_api_key, update_user
from tests.voice.client import closed, connected
from tests.waiting import beside
from voice import client_secrets
from voice.session_config import SessionRequest


@pytest.fixture
def member(live):
    user = User.objects.create_user(f"member-{User.objects.count()}")
    Membership.objects.create(user=user, workspace=live.workspace, role=Role.EVALUATOR)
    return user


def key_of(user, live):
    return create_api_key(workspace=live.workspace, name="of a person", created_by=user)[1]


def secret_of(user, live):
    return client_secrets.make_for_member(access_of_user(user), SessionRequest("ga", "realtime"), 600)


def put_out(user, live):
    remove_member(membership=user.memberships.get())


def lower(user, live):
    Membership.objects.create(user=User.objects.create_user(f"owner-of-{user}"), workspace=live.workspace, role="owner")
    change_role(membership=user.memberships.get(), role=Role.VIEWER)


def switch_off(user, live):
    user.is_active = False
    update_user(user=user)


def delete(user, live):
    user.delete()


@pytest.mark.parametrize("credential", [key_of, secret_of])
@pytest.mark.parametrize("take_away", [put_out, lower, switch_off, delete])
def test_a_session_ends_with_its_callers_access_while_others_go_on(live, sessions, member, credential, take_away):
    secret = credential(member, live)
    assert end_of_session(live, secret, lambda: take_away(member, live)) == (1008, "Your access has ended.")
    assert [session.end for session in sessions(2)] == ["client", "access"]


def test_a_session_ends_with_its_key(live, sessions):
    secret = live.make_key()
    end = end_of_session(live, secret, lambda: revoke_api_key(api_key=ApiKey.objects.latest("pk")))
    assert end == (1008, "Your access has ended.")
    assert [session.end for session in sessions(2)] == ["client", "access"]


def end_of_session(live, secret, take_away):
    """The code and reason that a session ends with once its access is taken away. Another one is open, and works."""

    async def stay():
        async with connected(live) as other, connected(live, key=secret) as client:
            await beside(take_away)
            code_and_reason = await closed(client)
            await other.send("input_audio_buffer.clear")
            await other.until("input_audio_buffer.cleared")
            return code_and_reason

    return asyncio.run(stay())
