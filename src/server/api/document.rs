//! The OpenAPI document, made from the routes.

use std::collections::BTreeMap;

use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{ArrayItems, Object, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
    SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use super::idempotency;
use crate::server::problem::Document as Problem;

/// What the routes are added to.
pub fn begin() -> OpenApi {
    const BEARER: &str = "bearer";
    let description = "Manages the scripts of a tenant. The token that a request carries says whose.";
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let info = InfoBuilder::new().title("Airlock").version(env!("CARGO_PKG_VERSION")).description(Some(description));
    let components =
        ComponentsBuilder::new().security_scheme(BEARER, bearer).schema(Problem::name(), Problem::schema());
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]))
        .build()
}

/// Completes what the routes say of themselves.
pub fn finish(mut document: OpenApi) -> OpenApi {
    if let Some(components) = &mut document.components {
        flatten(&mut components.schemas);
    }
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
    let response = ResponseBuilder::new()
        .description("What went wrong.")
        .content("application/problem+json", content.build())
        .build();
    let mut ids = Vec::new();
    for (path, item) in &mut document.paths.paths {
        if let Some(operation) = &mut item.post {
            idempotency::describe(operation);
        }
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete] {
            let Some(operation) = operation else { continue };
            // A header is there or not, and never null.
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(Parameter { schema: Some(RefOr::T(Schema::Object(object))), .. }) = parameter
                    && let SchemaType::Array(types) = &object.schema_type
                    && let Some(kind) = types.iter().find(|kind| **kind != Type::Null)
                {
                    object.schema_type = SchemaType::Type(kind.clone());
                }
            }
            for (status, answer) in &mut operation.responses.responses {
                let RefOr::T(answer) = answer else { continue };
                if status.starts_with('4') {
                    answer.content.clone_from(&response.content);
                }
                // Its description says what events there are.
                if let Some(RefOr::T(events)) = answer.content.get_mut("text/event-stream") {
                    events.schema = None;
                }
            }
            operation.responses.responses.insert("default".to_owned(), response.clone().into());
            // The functions' names are unique in their file only.
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            let id = format!("{tag}.{}", operation.operation_id.as_deref().unwrap_or_default());
            ids.push((path.clone(), id.clone()));
            operation.operation_id = Some(id);
        }
    }
    link(&mut document, &ids);
    document
}

/// What a POST's answer names, and the paths of which it is a parameter.
const LINKS: [(&str, &str, &str); 9] = [
    ("/api/scripts", "script", "/api/scripts/{script}"),
    ("/api/scripts", "script", "/api/schedules/{script}"),
    ("/api/scripts/{script}/versions", "number", "/api/scripts/{script}/versions/{number}"),
    ("/api/scripts/{script}/run", "id", "/api/executions/{id}"),
    ("/api/scripts/{script}/run", "id", "/api/jobs/{id}"),
    ("/api/schedules/{script}/run", "id", "/api/executions/{id}"),
    ("/api/schedules/{script}/run", "id", "/api/jobs/{id}"),
    ("/api/events", "event", "/api/events/{event}"),
    ("/api/tokens", "token", "/api/tokens/{token}"),
];

/// Says which operations an answer leads to. `ids` are those of the operations,
/// by their paths.
fn link(document: &mut OpenApi, ids: &[(String, String)]) {
    for (from, parameter, to) in LINKS {
        let made = document.paths.paths.get_mut(from).and_then(|item| item.post.as_mut());
        for (status, response) in made.into_iter().flat_map(|made| &mut made.responses.responses) {
            let RefOr::T(response) = response else { continue };
            if !status.starts_with('2') {
                continue;
            }
            for (_, id) in ids.iter().filter(|(path, _)| path.starts_with(to)) {
                let member = if parameter == "number" { "number" } else { "id" };
                let mut link = LinkBuilder::new()
                    .operation_id(id.clone())
                    .parameter(parameter, format!("$response.body#/{member}"));
                if from.contains("{script}") && to.contains("{script}") {
                    link = link.parameter("script", "$request.path.script");
                }
                response.links.insert(id.clone(), link.build().into());
            }
        }
    }
}

/// Writes what is put together of several objects as one. A part that takes no
/// other members, as a request does not, would refuse those of its neighbours.
fn flatten(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let parts = schemas.clone();
    for schema in schemas.values_mut() {
        flatten_one(schema, &parts);
    }
}

fn flatten_one(schema: &mut RefOr<Schema>, parts: &BTreeMap<String, RefOr<Schema>>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            object.properties.values_mut().for_each(|property| flatten_one(property, parts));
        }
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                flatten_one(items, parts);
            }
        }
        RefOr::T(Schema::AllOf(all)) => {
            let mut whole = Object::with_type(Type::Object);
            whole.description.clone_from(&all.description);
            for part in &all.items {
                let part = match part {
                    RefOr::Ref(part) => part.ref_location.rsplit('/').next().and_then(|name| parts.get(name)),
                    part => Some(part),
                };
                let Some(RefOr::T(Schema::Object(part))) = part else { continue };
                whole.properties.extend(part.properties.clone());
                whole.required.extend(part.required.clone());
            }
            *schema = RefOr::T(Schema::Object(whole));
        }
        _ => {}
    }
}
