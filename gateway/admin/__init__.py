"""The gateway's screens."""

from gateway.admin.aliases import ModelAliasAdmin
from gateway.admin.budgets import BudgetAdmin
from gateway.admin.usage import UsageRecordAdmin

__all__ = ["BudgetAdmin", "ModelAliasAdmin", "UsageRecordAdmin"]
