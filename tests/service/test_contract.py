"""The OpenAPI document: well formed, served, and about the same paths as the application."""

from __future__ import annotations

import re
import string
from pathlib import Path

import jsonschema
import pytest
from fastapi.openapi.models import OpenAPI

import kalos_connect_sdk.service
from kalos_connect_sdk.core.wire import route_to_geojson
from kalos_connect_sdk.service.app import create_app
from kalos_connect_sdk.service.contract import contract
from kalos_connect_sdk.service.schemas import PROBLEMS, SCHEMAS
from kalos_connect_sdk.service.store import MemoryStore

METHODS = {"get", "put", "post", "delete", "patch"}


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from references(item)


def operations():
    for path, item in contract()["paths"].items():
        for method in METHODS & item.keys():
            yield path, method, item[method], item.get("parameters", []) + item[method].get("parameters", [])


def test_the_document_has_the_shape_of_openapi_3_1():
    document = contract()
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1")
    assert "unofficial" in document["info"]["description"]


def test_every_schema_is_a_json_schema_and_every_reference_leads_somewhere():
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in set(references(contract())):
        node = contract()
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_operations_are_named_once_declare_their_path_and_can_fail():
    names = [operation["operationId"] for _, _, operation, _ in operations()]
    assert len(set(names)) == len(names)
    for path, _, operation, parameters in operations():
        named = {field for _, field, _, _ in string.Formatter().parse(path) if field}
        assert named == {p["name"] for p in parameters if p["in"] == "path"}
        assert "security" in operation
        assert any(status.startswith("4") for status in operation["responses"])


def test_the_document_and_the_application_know_the_same_paths():
    app = create_app(MemoryStore(), observe=True)
    served = {
        (route.path, method.lower())
        for route in app.routes
        for method in route.methods or ()
        if route.path.startswith("/v1/") and method != "HEAD"
    }
    assert served == {(path, method) for path, method, _, _ in operations()}
    assert app.openapi() == contract()


def test_every_problem_the_code_raises_is_listed_and_no_other():
    folder = Path(kalos_connect_sdk.service.__file__).parent
    raised = set()
    for source in folder.glob("*.py"):
        raised |= set(re.findall(r'Refusal\(\s*\d{3},\s*"([a-z-]+)"', source.read_text()))
        raised |= set(re.findall(r'_incomplete\("', source.read_text())) and {"record-incomplete"}
    app = (folder / "app.py").read_text()
    raised |= set(re.findall(r'\d{3}: "([a-z-]+)"', app)) | set(re.findall(r'_NAMES.get\(status, "([a-z-]+)"', app))
    assert raised - {"unknown-record"} == set(PROBLEMS)


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
def test_a_route_has_the_shape_that_is_announced(locale):
    from kalos_connect_sdk.model.position import Place
    from kalos_connect_sdk.service.engine import StraightLine

    document = route_to_geojson(StraightLine().route(Place(60.17, 24.94), Place(60.18, 24.95), locale))
    jsonschema.validate(document, {**SCHEMAS["Route"], "components": {"schemas": SCHEMAS}})
