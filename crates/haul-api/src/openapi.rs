//! What the schemas of the OpenAPI document need beyond the types themselves.

use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat,
    SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::Wire;
use crate::{BatchResult, Job, Problem, SubmitJob};

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

/// When a job starts: a word or a time.
pub(crate) fn start() -> RefOr<Schema> {
    let words = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(["now", "paused"]));
    let time = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let start = AnyOfBuilder::new().item(null()).item(words).item(time);
    start.description(Some("`now`, `paused`, or the time before which it does not start. Default: `now`.")).into()
}

/// A place in the queue: a word or a number.
pub(crate) fn position() -> RefOr<Schema> {
    places().into()
}

/// The same, or `null`.
pub(crate) fn position_or_null() -> RefOr<Schema> {
    places().item(null()).into()
}

fn places() -> AnyOfBuilder {
    let words = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(["top", "bottom"]));
    let number =
        ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)).minimum(Some(1)).maximum(Some(i64::MAX));
    let text = "Where it is put among those of its priority that wait: `top`, `bottom`, or a number from 1 on.";
    AnyOfBuilder::new().item(words).item(number).description(Some(text))
}

fn null() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null))
}

/// The limits of labels; `null` removes those of one.
pub(crate) fn labels() -> RefOr<Schema> {
    let limits = AnyOfBuilder::new().item(null()).item(Ref::from_schema_name("LabelLimits")).build();
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

/// What `POST /v1/probe` takes: one job, which says where its file is.
pub struct SubmitOne;

impl PartialSchema for SubmitOne {
    fn schema() -> RefOr<Schema> {
        let says = |field: &str| ObjectBuilder::new().required(field);
        let placed = AnyOfBuilder::new().item(says("url")).item(says("mirrors"));
        AllOfBuilder::new().item(Ref::from_schema_name("SubmitJob")).item(placed).into()
    }
}

impl ToSchema for SubmitOne {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((SubmitJob::name().into_owned(), SubmitJob::schema()));
        SubmitJob::schemas(schemas);
    }
}

/// What `POST /v1/jobs` answers with 200: the job that is the same as a single one, or what became of several.
pub struct OneOrMany;

impl PartialSchema for OneOrMany {
    fn schema() -> RefOr<Schema> {
        let (one, many) = (Ref::from_schema_name("Job"), Ref::from_schema_name("BatchResult"));
        AnyOfBuilder::new().item(one).item(many).into()
    }
}

impl ToSchema for OneOrMany {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Job::name().into_owned(), Job::schema()));
        Job::schemas(schemas);
        schemas.push((BatchResult::name().into_owned(), BatchResult::schema()));
        BatchResult::schemas(schemas);
    }
}

/// What `POST /v1/jobs` takes as JSON: one job as above, or several.
pub struct SubmitOneOrMany;

impl PartialSchema for SubmitOneOrMany {
    fn schema() -> RefOr<Schema> {
        let jobs = ObjectBuilder::new()
            .property("jobs", ArrayBuilder::new().items(ObjectBuilder::new().description(Some("A job as above."))))
            .required("jobs")
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
        AnyOfBuilder::new().item(SubmitOne::schema()).item(jobs).into()
    }
}

impl ToSchema for SubmitOneOrMany {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((SubmitJob::name().into_owned(), SubmitJob::schema()));
        SubmitJob::schemas(schemas);
    }
}
