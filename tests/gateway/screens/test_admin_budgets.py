"""Budgets and model aliases in the admin."""

import pytest

from accounts.models import Role
from accounts.services import create_api_key
from gateway.models import AliasTarget, Budget, ModelAlias

BUDGETS = "/admin/gateway/budget/"
ALIASES = "/admin/gateway/modelalias/"


def test_an_owner_sets_a_budget_and_sees_what_of_it_is_spent(as_owner, workspace, spend):
    assert as_owner.post(f"{BUDGETS}add/", {"api_key": "", "monthly_usd": "20"}).status_code == 302
    assert Budget.objects.get().workspace == workspace
    spend("5.00", unknown=3)
    shown = as_owner.get(BUDGETS).content.decode()
    assert "The whole workspace" in shown
    assert "$5.00 (25%)" in shown


def test_a_keys_budget_shows_that_keys_spending(as_owner, workspace, key, spend):
    Budget.objects.create(workspace=workspace, api_key=key, monthly_usd=4)
    spend("3.00")
    spend("1.00", api_key=key)
    shown = as_owner.get(BUDGETS).content.decode()
    assert "Key “website”" in shown
    assert "$1.00 (25%)" in shown


def test_a_second_budget_for_the_same_is_refused(as_owner, workspace, key):
    for api_key in (None, key):
        Budget.objects.create(workspace=workspace, api_key=api_key, monthly_usd=4)
    for chosen in ("", key.pk):
        response = as_owner.post(f"{BUDGETS}add/", {"api_key": chosen, "monthly_usd": "20"})
        assert "has a budget already: change that one." in response.content.decode()


def test_a_budget_is_changed_but_stays_whose_it_is(as_owner, workspace, key):
    budget = Budget.objects.create(workspace=workspace, monthly_usd=4)
    as_owner.post(f"{BUDGETS}{budget.pk}/change/", {"monthly_usd": "9.50", "api_key": key.pk})
    budget.refresh_from_db()
    assert (str(budget.monthly_usd), budget.api_key) == ("9.50", None)


def test_a_budget_is_not_negative(as_owner):
    response = as_owner.post(f"{BUDGETS}add/", {"api_key": "", "monthly_usd": "-1"})
    assert "greater than or equal to 0" in response.content.decode()


def test_another_workspaces_key_cannot_be_given_a_budget(as_owner, other_workspace):
    theirs, _ = create_api_key(workspace=other_workspace, name="theirs")
    response = as_owner.post(f"{BUDGETS}add/", {"api_key": theirs.pk, "monthly_usd": "1"})
    assert "Select a valid choice" in response.content.decode()


@pytest.mark.parametrize("address", [BUDGETS, ALIASES])
def test_evaluators_see_but_do_not_change(as_evaluator, address):
    assert as_evaluator.get(address).status_code == 200
    assert as_evaluator.get(f"{address}add/").status_code == 403


# --- Aliases --------------------------------------------------------------------------------------


def alias_form(name, *models, strategy="ordered"):
    form = {"name": name, "strategy": strategy, "targets-TOTAL_FORMS": len(models), "targets-INITIAL_FORMS": 0}
    for position, model in enumerate(models):
        row = {"model": model.pk, "weight": 1, "position": position}
        form |= {f"targets-{position}-{field}": value for field, value in row.items()}
    return form


def test_an_owner_names_several_models_in_order(as_owner, make_model, ears):
    spare = make_model("local/spare", speech_to_text=True)
    assert as_owner.post(f"{ALIASES}add/", alias_form("whisper-1", spare, ears)).status_code == 302
    assert [target.model for target in ModelAlias.objects.get().targets.all()] == [spare, ears]
    assert "local/spare, acme/ears" in as_owner.get(ALIASES).content.decode()


def test_models_without_a_common_task_are_refused(as_owner, make_model, ears):
    voice = make_model("acme/voice", text_to_speech=True)
    response = as_owner.post(f"{ALIASES}add/", alias_form("both", ears, voice))
    assert "These models have no task in common" in response.content.decode()
    assert not ModelAlias.objects.exists()


def test_an_alias_needs_a_model_and_a_name_of_its_own(as_owner, workspace, ears):
    assert "Name one model at least." in as_owner.post(f"{ALIASES}add/", alias_form("none")).content.decode()
    ModelAlias.objects.create(workspace=workspace, name="taken")
    shown = as_owner.post(f"{ALIASES}add/", alias_form("taken", ears)).content.decode()
    assert "There is an alias &#x27;taken&#x27; already." in shown
    slash = as_owner.post(f"{ALIASES}add/", alias_form("acme/ears", ears)).content.decode()
    assert "Use letters, digits and" in slash


def test_models_of_another_workspace_are_refused(as_owner, make_model, other_workspace):
    theirs = make_model("rival/ears", workspace=other_workspace, speech_to_text=True)
    response = as_owner.post(f"{ALIASES}add/", alias_form("mine", theirs))
    assert "Select a valid choice" in response.content.decode()
    assert not AliasTarget.objects.exists()


def test_the_last_model_of_an_alias_cannot_be_taken_out(as_owner, workspace, ears):
    alias = ModelAlias.objects.create(workspace=workspace, name="one")
    target = AliasTarget.objects.create(alias=alias, model=ears)
    form = alias_form("one", ears) | {"targets-INITIAL_FORMS": 1, "targets-0-id": target.pk, "targets-0-DELETE": "on"}
    assert "Name one model at least." in as_owner.post(f"{ALIASES}{alias.pk}/change/", form).content.decode()


def test_a_reviewer_sees_aliases_and_no_budgets(client, make_member):
    client.force_login(make_member(Role.REVIEWER))
    assert client.get(ALIASES).status_code == 200
    assert client.get(BUDGETS).status_code == 403
