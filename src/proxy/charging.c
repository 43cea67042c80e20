/*
 * What tells the core whom to bill (P-Charging-Vector, P-Charging-Function-Addresses), and what is told to charging of
 * each request that got its final answer. RFC 7315 4.5, 4.6; TS 24.229 5.2.2.1, 5.2.6.3, 5.2.6.4; TS 32.260 5.2.
 * Worker thread only.
 */
#include "proxy_internal.h"

#include "base/clock.h"
#include "base/memory.h"

/* What the core says of a call to a client is kept for the client's answers: longer than any that we know of. */
#define VECTOR_MAX 1024

/* A message that goes this way enters the core: the sender's own words have been taken away. */
static bool enters_core(enum crossing crossing)
{
	return crossing == CROSSING_CLIENT_TO_CORE || crossing == CROSSING_TRUNK_TO_CORE ||
	       crossing == CROSSING_PBX_TO_CORE;
}

/* One value for all that belongs to a call, without keeping it: from the Call-ID, as a Sprout expects it, but for
 * what would end the quoted string. */
static void write_icid(struct slice call_id, struct buffer *out)
{
	for (size_t i = 0; i < call_id.length; i++) {
		const char c = call_id.data[i];

		if (c != '@' && c != '"' && c != '\\')
			buffer_append(out, &c, 1);
	}
}

static void write_vector(const struct proxy *proxy, struct slice call_id, const char *role,
                         struct buffer *out)
{
	const struct proxy_settings *settings = proxy->settings;

	buffer_append_string(out, "icid-value=\"");
	write_icid(call_id, out);
	buffer_printf(out, "\";icid-generated-at=%s", settings->charging_host);
	if (settings->charging_ioi != NULL)
		buffer_printf(out, ";%s-ioi=%s", role, settings->charging_ioi);
}

void charging_write_vector(const struct proxy *proxy, struct slice call_id, struct buffer *out)
{
	write_vector(proxy, call_id, "orig", out);
}

static int add(struct message *message, const char *name, struct slice value)
{
	return slice_is_empty(value) ? 0 : message_append(message, name, value);
}

static int add_functions(const struct proxy *proxy, struct message *message)
{
	return add(message, "P-Charging-Function-Addresses",
	           slice_from_string(proxy->settings->charging_functions));
}

int charging_mark_request(struct incoming *in)
{
	struct buffer value;
	int err = 0;

	buffer_init(&value);
	if (in->proxy->settings->charging_vector)
		write_vector(in->proxy, message_call_id(in->message), "orig", &value);
	if (value.failed)
		err = -ENOMEM;
	if (err == 0)
		err = add(in->message, "P-Charging-Vector", buffer_slice(&value));
	if (err == 0)
		err = add_functions(in->proxy, in->message);
	buffer_free(&value);
	return err;
}

/* ---- of a call that the core began ---- */

int charging_keep_vector(struct incoming *in)
{
	const struct proxy_settings *settings = in->proxy->settings;
	struct slice value;

	if (!settings->charging_vector && !settings->charging_records)
		return 0;
	if (in->method == METHOD_ACK || !message_header(in->message, "P-Charging-Vector", &value) ||
	    value.length > VECTOR_MAX)
		return 0;
	in->charging_vector = bytes_copy(value);
	return in->charging_vector != NULL ? 0 : -ENOMEM;
}

/* TS 24.229 5.2.6.4.4: the client's answer carries on what the core said, with our own network as the far end. */
int charging_mark_answer(const struct response_context *context, struct message *response)
{
	const struct proxy *proxy = context->proxy;
	const struct proxy_settings *settings = proxy->settings;
	struct buffer value;
	int err = 0;

	if (context->crossing == CROSSING_NONE || !enters_core(crossing_back(context->crossing)))
		return 0;
	buffer_init(&value);
	if (settings->charging_vector && context->charging_vector != NULL) {
		buffer_append_slice(&value, bytes_slice(context->charging_vector));
		if (settings->charging_ioi != NULL)
			buffer_printf(&value, ";term-ioi=%s", settings->charging_ioi);
	} else if (settings->charging_vector) {
		write_vector(proxy, message_call_id(response), "term", &value);
	}
	if (value.failed)
		err = -ENOMEM;
	if (err == 0)
		err = add(response, "P-Charging-Vector", buffer_slice(&value));
	if (err == 0)
		err = add_functions(proxy, response);
	buffer_free(&value);
	return err;
}

/* ---- billing records ---- */

static enum charge_type type_of(const struct message *request, int status)
{
	switch (message_method(request)) {
	case METHOD_BYE:
		return CHARGE_STOP;
	case METHOD_REGISTER:
	case METHOD_SUBSCRIBE:
	case METHOD_NOTIFY:
	case METHOD_PUBLISH:
	case METHOD_MESSAGE:
		return CHARGE_EVENT;
	default:
		break;
	}
	if (!slice_is_empty(message_to_tag(request)))
		return CHARGE_INTERIM;
	return message_method(request) == METHOD_INVITE && status < 300 ? CHARGE_START
	                                                                : CHARGE_EVENT;
}

/* icid-value of a P-Charging-Vector, without quotes. */
static struct slice icid_of(struct slice vector)
{
	struct slice value;

	return params_find(vector, "icid-value", &value) ? value : SLICE_NONE;
}

static struct slice vector_of(const struct response_context *context, const struct message *request)
{
	struct slice value;

	if (context->charging_vector != NULL)
		return bytes_slice(context->charging_vector);
	return message_header(request, "P-Charging-Vector", &value) ? value : SLICE_NONE;
}

/* The one whom we serve: who registers, calls, or is called. */
static struct slice user_of(const struct message *request, bool terminating)
{
	struct name_addr address;
	struct slice value;
	struct uri uri;

	if (message_method(request) == METHOD_REGISTER)
		return message_to(request, &uri)->text;
	if (!terminating) /* From says what its writer likes: no other is billed for it */
		return message_address(request, HEADER_P_ASSERTED_IDENTITY, 0, &address)
		               ? address.uri.text
		               : SLICE_NONE;
	if (message_header(request, "P-Called-Party-ID", &value) &&
	    name_addr_parse(value, &address))
		return address.uri.text;
	return message_to(request, &uri)->text;
}

static void tell(const struct response_context *context, const struct message *request, int status)
{
	const struct proxy_ways *ways = &context->proxy->ways;
	const uint64_t now = clock_wall_ms();
	const uint64_t taken = (loop_now_us(context->proxy->loop) - context->born_us) / 1000;
	struct charge charge = {
		.type = type_of(request, status),
		.terminating = !enters_core(context->crossing),
		.status = status,
		.request_wall_ms = now - taken,
		.response_wall_ms = now,
		.method = message_method_text(request),
		.call_id = message_call_id(request),
		.icid = icid_of(vector_of(context, request)),
		.expires = message_expires(request),
	};
	struct uri uri;

	charge.from = message_from(request, &uri)->text;
	charge.to = message_to(request, &uri)->text;
	charge.request_uri = message_request_uri(request, &uri)->text;
	charge.user = user_of(request, charge.terminating);
	message_header(request, "P-Access-Network-Info", &charge.access);
	ways->charge(ways->arg, &charge);
}

/* Read once more: that costs a few microseconds where records are wanted, and no memory in a call's life elsewhere. */
void charging_tell_answer(const struct response_context *context, int status)
{
	struct message *request = NULL;
	enum guard_verdict verdict;

	if (!context->proxy->settings->charging_records || context->crossing == CROSSING_NONE ||
	    context->own.on_ended != NULL || context->base == NULL ||
	    context->proxy->ways.charge == NULL)
		return;
	/* What we have added makes it longer than what may come in. */
	if (message_parse(bytes_slice(context->base), UINT32_MAX, &request, &verdict) ==
	    MESSAGE_SOUND)
		tell(context, request, status);
	message_destroy(&request);
}
