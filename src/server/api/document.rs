//! The OpenAPI document, made from the routes.

use std::collections::BTreeMap;

use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::schema::{ArrayItems, Object, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
    SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

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
    let mut of_script = Vec::new();
    for (path, item) in &mut document.paths.paths {
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete] {
            let Some(operation) = operation else { continue };
            operation.responses.responses.insert("default".to_owned(), response.clone().into());
            // The functions' names are unique in their file only.
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            let id = format!("{tag}.{}", operation.operation_id.as_deref().unwrap_or_default());
            if path.starts_with("/api/scripts/{script}") {
                of_script.push(id.clone());
            }
            operation.operation_id = Some(id);
        }
    }
    let create = document.paths.paths.get_mut("/api/scripts").and_then(|item| item.post.as_mut());
    if let Some(RefOr::T(created)) = create.and_then(|create| create.responses.responses.get_mut("201")) {
        for id in of_script {
            let link = LinkBuilder::new().operation_id(id.clone()).parameter("script", "$response.body#/id");
            created.links.insert(id, link.build().into());
        }
    }
    document
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
