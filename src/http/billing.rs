//! Invoices and credit notes over HTTP: as JSON, as a page, as PDF; and to whom they are made out.
//!
//! A document of somebody else does not exist for the caller. What is asked for without a suffix is answered in the form that
//! `Accept` prefers.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, HeaderValue};
use lyceum_domain::billing::{DocumentLine, Error, Number, Recipient, TaxId};
use lyceum_domain::commerce;
use lyceum_domain::commerce::order::Stage;
use lyceum_domain::ids::{CourseId, OrderId, RefundId, UserId};
use lyceum_entities::billing::{BillingError, Issued, MadeOut, ReadingPosition};
use lyceum_entities::commerce::{Answer, Question};
use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, Page, PageQuery, Problem, ProblemBody, Reply, Request, malformed_cursor, shapes};

/// A page loads nothing, whatever somebody has written into a title.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// To whom the documents of an order are made out.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecipientBody {
    /// The name (抬头) of a person or a company.
    #[schema(min_length = 1, max_length = 100, example = "深圳市知行科技有限公司")]
    title: String,
    /// A company's tax id (税号): its unified social credit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "91440300708461136T")]
    tax_id: Option<String>,
}

impl RecipientBody {
    pub(super) fn checked(self) -> Result<Recipient, Problem> {
        let tax_id = self.tax_id.map(|text| text.parse::<TaxId>()).transpose();
        let tax_id = tax_id
            .map_err(|error| Problem::from_error(&error).at("/tax_id", "no unified social credit code"))?;
        Recipient::new(&self.title, tax_id).map_err(|error| {
            Problem::from_error(&error).at("/title", "from 1 to 100 characters, none of them hidden")
        })
    }

    fn of(recipient: &Recipient) -> Self {
        RecipientBody {
            title: recipient.title().to_owned(),
            tax_id: recipient.tax_id().map(ToString::to_string),
        }
    }
}

/// An invoice or a credit note.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvoiceBody {
    #[schema(example = "INV-2026-000001")]
    number: String,
    /// `invoice` or `credit_note`.
    kind: &'static str,
    #[schema(value_type = String)]
    order_id: OrderId,
    /// The refund that a credit note is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    refund_id: Option<RefundId>,
    /// The invoice that a credit note takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<String>,
    /// The day of issue where the seller is.
    #[schema(format = Date)]
    issued_on: String,
    /// When the order was fulfilled, or the refund succeeded.
    #[schema(value_type = String, format = DateTime)]
    supplied_at: Timestamp,
    currency: String,
    /// Minor units, tax included; negative on a credit note, as every amount of it.
    total: i64,
    /// The tax in it.
    tax: i64,
    /// The rate of the tax, basis points.
    tax_bps: u16,
    items: Vec<InvoiceLine>,
    seller: SellerBody,
    /// To whom it is made out; a person who has not said so if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<RecipientBody>,
}

/// One line of a document.
#[derive(Debug, Serialize, ToSchema)]
struct InvoiceLine {
    #[schema(value_type = String)]
    course_id: CourseId,
    title: String,
    /// The list price.
    price: i64,
    /// What was taken off.
    discount: i64,
    /// What was paid.
    net: i64,
    /// The tax in it.
    tax: i64,
}

/// Who sold.
#[derive(Debug, Serialize, ToSchema)]
struct SellerBody {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tax_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    address: String,
}

/// How a document is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Html,
    Pdf,
}

/// `GET /v1/orders/{id}/invoice`: shows the invoice of one of the caller's orders, in the form that `Accept` prefers.
///
/// # Errors
/// 404 `billing.invoice_not_found`: the order is not fulfilled, cost nothing, is somebody else's, or was fulfilled a moment ago.
#[utoipa::path(
    get, path = "/v1/orders/{id}/invoice", tag = "billing", params(("id" = String, Path, description = "the order")),
    responses(
        (status = 200, description = "the invoice", content(
            (InvoiceBody = "application/json"), (String = "text/html"), (shapes::Pdf = "application/pdf"))),
        (status = 404, body = ProblemBody, description = "`billing.invoice_not_found`"),
        (status = 503, body = ProblemBody, description = "`billing.font_unavailable`"),
    )
)]
pub async fn order_invoice(api: &Api, request: Request) -> Result<Reply, Problem> {
    let form = preferred(request.header(ACCEPT));
    of_order(api, &request, form).await
}

/// `GET /v1/orders/{id}/invoice.html`: shows the invoice of one of the caller's orders as a page.
///
/// # Errors
/// 404 `billing.invoice_not_found`.
#[utoipa::path(
    get, path = "/v1/orders/{id}/invoice.html", tag = "billing", params(("id" = String, Path, description = "the order")),
    responses(
        (status = 200, body = String, content_type = "text/html"),
        (status = 404, body = ProblemBody, description = "`billing.invoice_not_found`"),
    )
)]
pub async fn order_invoice_html(api: &Api, request: Request) -> Result<Reply, Problem> {
    of_order(api, &request, Form::Html).await
}

/// `GET /v1/orders/{id}/invoice.pdf`: shows the invoice of one of the caller's orders as PDF.
///
/// # Errors
/// 404 `billing.invoice_not_found`; 503 `billing.font_unavailable`.
#[utoipa::path(
    get, path = "/v1/orders/{id}/invoice.pdf", tag = "billing", params(("id" = String, Path, description = "the order")),
    responses(
        (status = 200, body = shapes::Pdf, content_type = "application/pdf"),
        (status = 404, body = ProblemBody, description = "`billing.invoice_not_found`"),
        (status = 503, body = ProblemBody, description = "`billing.font_unavailable`"),
    )
)]
pub async fn order_invoice_pdf(api: &Api, request: Request) -> Result<Reply, Problem> {
    of_order(api, &request, Form::Pdf).await
}

/// `GET /v1/me/invoices`: lists the caller's invoices and credit notes, newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/v1/me/invoices", tag = "billing", params(PageQuery),
    responses(
        (status = 200, body = Page<InvoiceBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn list_invoices(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let after = query.after.as_deref().map(read_cursor).transpose()?;

    let issued = api
        .platform
        .documents
        .of_user(caller.user, after, limit + 1)
        .await?;

    let cursor = |issued: &Issued| format!("{}.{}", issued.issued_at.as_millis(), issued.number);
    Ok(Reply::ok(&Page::of(issued, limit, cursor, |issued| {
        InvoiceBody::of(&issued)
    })))
}

/// `GET /v1/me/invoices/{number}`: shows one of the caller's invoices or credit notes, in the form that `Accept` prefers, or
/// that a suffix `.html` or `.pdf` asks for.
///
/// # Errors
/// 400 `http.malformed_id`; 404 `billing.invoice_not_found`; 503 `billing.font_unavailable`.
#[utoipa::path(
    get, path = "/v1/me/invoices/{number}", tag = "billing",
    params(("number" = String, Path, pattern = "^(INV|CRN)-[0-9]{4}-([0-9]{6}|[1-9][0-9]{6,8})(\\.html|\\.pdf)?$", description = "the number, with a suffix `.html` or `.pdf` for that form")),
    responses(
        (status = 200, description = "the document", content(
            (InvoiceBody = "application/json"), (String = "text/html"), (shapes::Pdf = "application/pdf"))),
        (status = 404, body = ProblemBody, description = "`billing.invoice_not_found`"),
        (status = 503, body = ProblemBody, description = "`billing.font_unavailable`"),
    )
)]
pub async fn get_invoice(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let Named { number, form } = request.path("number")?;
    let form = form.unwrap_or_else(|| preferred(request.header(ACCEPT)));
    let issued = api.platform.documents.numbered(caller.user, number).await?;
    shown(api, issued, form).await
}

/// `PUT /v1/orders/{id}/invoice-details`: says to whom the documents of one of the caller's orders are made out, once.
///
/// # Errors
/// 404 `commerce.order_not_found`; 409 `billing.recipient_named`, `commerce.wrong_state`; 422 `billing.title_invalid`,
/// `billing.tax_id_invalid`.
#[utoipa::path(
    put, path = "/v1/orders/{id}/invoice-details", tag = "billing", request_body = RecipientBody,
    params(("id" = String, Path, description = "the order"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = RecipientBody),
        (status = 404, body = ProblemBody, description = "`commerce.order_not_found`"),
        (status = 409, body = ProblemBody, description = "`billing.recipient_named`: another one was named before; \
            `commerce.wrong_state`: the order ended without payment"),
        (status = 422, body = ProblemBody, description = "`billing.title_invalid`, `billing.tax_id_invalid`"),
    )
)]
pub async fn name_recipient(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let order_id: OrderId = request.path("id")?;
    let recipient = request.json::<RecipientBody>().await?.checked()?;
    let question = Question::Order { order_id };
    let answer = api
        .platform
        .buyers
        .read(caller.user, question, &request.context())
        .await?;
    let Answer::Order(order) = answer else {
        return Err(Problem::internal("the buyer answered something else"));
    };
    if let Stage::Closed { .. } = order.stage {
        let current = order.state().name().into();
        return Err(Problem::from_error(&commerce::Error::WrongState { current }));
    }

    match make_out(api, caller.user, order_id, &recipient).await? {
        MadeOut::Done => Ok(Reply::ok(&RecipientBody::of(&recipient))),
        MadeOut::Otherwise => Err(Problem::from_error(&Error::RecipientNamed)),
    }
}

/// Makes the documents of a user's order out to somebody, unless that was done before.
pub(super) async fn make_out(
    api: &Api,
    user: UserId,
    order: OrderId,
    recipient: &Recipient,
) -> Result<MadeOut, Problem> {
    Ok(api.platform.documents.make_out(user, order, recipient).await?)
}

async fn of_order(api: &Api, request: &Request, form: Form) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let order: OrderId = request.path("id")?;
    let issued = api.platform.documents.invoice_of(caller.user, order).await?;
    shown(api, issued, form).await
}

async fn shown(api: &Api, issued: Issued, form: Form) -> Result<Reply, Problem> {
    let documents = &api.platform.documents;
    match form {
        Form::Json => Ok(Reply::ok(&InvoiceBody::of(&issued))),
        Form::Html => {
            let page = documents.html(issued).await?;
            let reply = Reply::bytes(StatusCode::OK, "text/html; charset=utf-8", Bytes::from(page));
            Ok(reply.header(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)))
        }
        Form::Pdf => {
            let name = format!("inline; filename=\"{}.pdf\"", issued.number);
            let file = documents.pdf(issued).await?;
            let reply = Reply::bytes(StatusCode::OK, "application/pdf", Bytes::from(file));
            let name = HeaderValue::from_str(&name)
                .map_err(|_| Problem::internal("a number is letters, digits and dashes"))?;
            Ok(reply.header(CONTENT_DISPOSITION, name))
        }
    }
}

impl From<BillingError> for Problem {
    fn from(error: BillingError) -> Self {
        match error {
            BillingError::Refused(error) => Problem::from_error(&error),
            BillingError::Store(error) => error.into(),
            BillingError::Cpu(error) => error.into(),
        }
    }
}

/// The number in a path, with the form that its suffix asks for.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    number: Number,
    form: Option<Form>,
}

impl std::str::FromStr for Named {
    type Err = <Number as std::str::FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, form) = match text.rsplit_once('.') {
            Some((number, "pdf")) => (number, Some(Form::Pdf)),
            Some((number, "html")) => (number, Some(Form::Html)),
            _ => (text, None),
        };
        let number = number.parse()?;
        Ok(Named { number, form })
    }
}

/// The form that a client prefers; the first of those it likes as much, and JSON if it does not say.
fn preferred(accept: Option<&str>) -> Form {
    let mut best = (Form::Json, 0);
    for range in accept.unwrap_or_default().split(',') {
        let mut parts = range.split(';').map(str::trim);
        let form = match parts.next() {
            Some("application/json" | "application/*" | "*/*") => Form::Json,
            Some("text/html") => Form::Html,
            Some("application/pdf") => Form::Pdf,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        let quality = quality.map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped: from 0 to 1000"
        )]
        let thousandths = (quality.clamp(0.0, 1.0) * 1_000.0) as u32;
        if thousandths > best.1 {
            best = (form, thousandths);
        }
    }
    best.0
}

fn read_cursor(text: &str) -> Result<ReadingPosition, Problem> {
    let (ms, number) = text.split_once('.').ok_or_else(malformed_cursor)?;
    // What a timestamp of the database cannot hold was never handed out.
    let ms = ms
        .parse()
        .ok()
        .filter(|ms| (0..=253_402_300_799_999).contains(ms));
    Ok(ReadingPosition {
        issued_at: Timestamp::from_millis(ms.ok_or_else(malformed_cursor)?),
        number: number.parse().map_err(|_| malformed_cursor())?,
    })
}

impl InvoiceBody {
    fn of(issued: &Issued) -> Self {
        let document = &issued.document;
        let line = |line: &DocumentLine| InvoiceLine {
            course_id: line.course_id,
            title: line.title.to_string(),
            price: line.price,
            discount: line.discount,
            net: line.net,
            tax: line.tax,
        };
        InvoiceBody {
            number: issued.number.to_string(),
            kind: document.kind.name(),
            order_id: issued.order,
            refund_id: issued.refund,
            original: issued.original.map(|number| number.to_string()),
            issued_on: issued.issued_on.clone(),
            supplied_at: issued.supplied_at,
            currency: issued.currency.clone(),
            total: document.total,
            tax: document.tax,
            tax_bps: document.tax_bps,
            items: document.lines.iter().map(line).collect(),
            seller: SellerBody {
                name: issued.seller.name.clone(),
                tax_id: issued.seller.tax_id.clone(),
                address: issued.seller.address.clone(),
            },
            recipient: issued.recipient.as_ref().map(RecipientBody::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_shown_as_its_reader_prefers() {
        for (accept, form) in [
            (None, Form::Json),
            (Some("*/*"), Form::Json),
            (Some("application/pdf"), Form::Pdf),
            // What browsers send.
            (
                Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
                Form::Html,
            ),
            (Some("application/json;q=0.5, application/pdf;q=0.9"), Form::Pdf),
            (Some("image/png"), Form::Json),
            (Some("application/pdf;q=0, text/html;q=nonsense"), Form::Json),
        ] {
            assert_eq!(preferred(accept), form, "{accept:?}");
        }
    }

    #[test]
    fn a_suffix_of_a_number_asks_for_a_form() {
        let named = |text: &str| text.parse::<Named>().ok().map(|named| named.form);

        assert_eq!(named("INV-2026-000001"), Some(None));
        assert_eq!(named("INV-2026-000001.pdf"), Some(Some(Form::Pdf)));
        assert_eq!(named("CRN-2026-000001.html"), Some(Some(Form::Html)));
        assert_eq!(named("INV-2026-000001.txt"), None);
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        assert!(read_cursor("1764500000000.INV-2026-000001").is_ok());
        for text in ["", "1", "x.INV-2026-000001", "1.INV", "-1.INV-2026-000001"] {
            assert!(read_cursor(text).is_err(), "{text}");
        }
    }
}
