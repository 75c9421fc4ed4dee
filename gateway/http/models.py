"""`GET /v1/models`: the models and aliases of the caller's workspace."""

from typing import Any

from starlette.responses import JSONResponse

from gateway.catalog import ModelCatalog, catalog_for
from gateway.http.request import Request


async def list_models(request: Request) -> None:
    catalog = await catalog_for(request.access)
    names = [*catalog.aliases, *catalog.targets]
    await request.respond(JSONResponse({"object": "list", "data": [_described(catalog, name) for name in names]}))


async def show_model(request: Request) -> None:
    catalog = await catalog_for(request.access)
    name = request.path_params["name"]
    catalog.find(name)
    await request.respond(JSONResponse(_described(catalog, name)))


def _described(catalog: ModelCatalog, name: str) -> dict[str, Any]:
    """Return OpenAI's model object, with the additional fields `tasks` and, for aliases, `models`."""
    alias = catalog.aliases.get(name)
    targets = catalog.aliases[name].targets if alias else catalog.find(name)
    described: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": min((int(target.model.provider.created_at.timestamp()) for target in targets), default=0),
        "owned_by": "alias" if alias else targets[0].model.provider.name,
        "tasks": sorted({task for target in targets for task in target.model.tasks}),
    }
    if alias:
        described["models"] = [target.name for target in targets]
    return described
