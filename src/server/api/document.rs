//! The OpenAPI document, made from the routes.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, ResponseBuilder, SecurityRequirement,
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

/// Says of every route that it may answer a problem.
pub fn finish(mut document: OpenApi) -> OpenApi {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
    let response = ResponseBuilder::new()
        .description("What went wrong.")
        .content("application/problem+json", content.build())
        .build();
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete] {
            let Some(operation) = operation else { continue };
            operation.responses.responses.insert("default".to_owned(), response.clone().into());
        }
    }
    document
}
