//! What the schemas of the OpenAPI document need beyond the types themselves.

use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ArrayBuilder, ObjectBuilder, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::Wire;
use crate::{Problem, SubmitJob};

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        Wire::schema()
    }
}

impl ToSchema for Problem {
    fn name() -> std::borrow::Cow<'static, str> {
        "Problem".into()
    }
}

/// A field that can only be set to `false`.
pub(crate) fn only_false() -> RefOr<Schema> {
    let boolean = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Boolean)).enum_values(Some([false]));
    boolean.description(Some("`false`: do not leave the host alone any longer, try now.")).into()
}

/// A rate: a number of bytes per second, or a text such as `500KB`. Answers have numbers.
pub(crate) fn rate() -> RefOr<Schema> {
    let number =
        ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)).minimum(Some(0)).maximum(Some(i64::MAX));
    let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).examples(["500KB"]);
    let rate = AnyOfBuilder::new().item(number).item(text);
    rate.description(Some("Bytes per second, 0 for no limit; or a text such as `500KB`.")).into()
}

/// The limits of labels; `null` removes those of one.
pub(crate) fn labels() -> RefOr<Schema> {
    let null = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null));
    let limits = AnyOfBuilder::new().item(null).item(Ref::from_schema_name("LabelLimits")).build();
    let limits = AdditionalProperties::RefOr(RefOr::T(Schema::AnyOf(limits)));
    let labels = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object)).additional_properties(Some(limits));
    labels.description(Some("Limits of the jobs with a label, by the label; `null` removes those of one.")).into()
}

/// Whole jobs, or of each the fields that were asked for.
pub(crate) fn jobs_of_a_page() -> RefOr<Schema> {
    let fields = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object));
    let fields = fields.description(Some("The fields that `fields` has asked for."));
    let job = AnyOfBuilder::new().item(Ref::from_schema_name("Job")).item(fields);
    ArrayBuilder::new().items(job).description(Some("The jobs of this page.")).into()
}

/// What `POST /v1/jobs` takes as JSON: one job, which says where its file is, or several.
pub struct SubmitOneOrMany;

impl PartialSchema for SubmitOneOrMany {
    fn schema() -> RefOr<Schema> {
        let says = |field: &str| ObjectBuilder::new().required(field);
        let placed = AnyOfBuilder::new().item(says("url")).item(says("mirrors"));
        let job = || Ref::from_schema_name("SubmitJob");
        let one = AllOfBuilder::new().item(job()).item(placed);
        let jobs = ObjectBuilder::new()
            .property("jobs", ArrayBuilder::new().items(ObjectBuilder::new().description(Some("A job as above."))))
            .required("jobs")
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
        AnyOfBuilder::new().item(one).item(jobs).into()
    }
}

impl ToSchema for SubmitOneOrMany {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((SubmitJob::name().into_owned(), SubmitJob::schema()));
        SubmitJob::schemas(schemas);
    }
}
