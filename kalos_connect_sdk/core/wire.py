"""The wire protocol in one import: model <-> GeoJSON, problem details, strict JSON (section 7).

Writers are for what we send, readers for what comes from outside: those check everything, are bounded,
and raise :class:`MalformedDocument` without the value (R10).
"""

from .feature_reader import check_consent, parse_feature_collection, positions_answer
from .features import GEOJSON_TYPE, consent_member, feature_collection
from .problems import PROBLEM_BASE, PROBLEM_TYPE, problem, problem_from, problem_name
from .route_document import RouteRequest, parse_route_request, route_from_geojson, route_request, route_to_geojson
from .strict_json import MalformedDocument, OversizedDocument, strict_json

__all__ = [
    "GEOJSON_TYPE",
    "PROBLEM_BASE",
    "PROBLEM_TYPE",
    "MalformedDocument",
    "OversizedDocument",
    "RouteRequest",
    "check_consent",
    "consent_member",
    "feature_collection",
    "parse_feature_collection",
    "parse_route_request",
    "positions_answer",
    "problem",
    "problem_from",
    "problem_name",
    "route_from_geojson",
    "route_request",
    "route_to_geojson",
    "strict_json",
]
