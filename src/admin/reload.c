/*
 * POST /reload: files are read again. On the Unix socket only. Control loop.
 */
#include <string.h>

#include "admin_internal.h"
#include "base/clock.h"
#include "base/error.h"

enum { WHAT, PARAMETERS };
static const char *const parameter_names[PARAMETERS] = {"what"};

static void on_fault(void *arg, const char *text)
{
	(void)json_array_append_new(arg, text_json(text));
}

/* Days are rounded down: none left is the last day, and a certificate that has ended has fewer. */
static json_int_t days_left(int64_t not_after_s)
{
	int64_t left = not_after_s - (int64_t)(clock_wall_ms() / 1000);

	return (json_int_t)(left >= 0 ? left / 86400 : (left - 86399) / 86400);
}

json_t *certificates_json(const struct admin *admin)
{
	struct admin_certificate certificate;
	json_t *certificates = json_array();

	for (unsigned i = 0; admin->source.certificate != NULL &&
	                     admin->source.certificate(admin->arg, i, &certificate);
	     i++) {
		char end[32];

		clock_format_wall((uint64_t)certificate.not_after_s * 1000, end, sizeof(end));
		if (json_array_append_new(certificates,
		                          json_pack("{s:s, s:o, s:s, s:I}", "name",
		                                    certificate.name, "subject",
		                                    text_json(certificate.subject), "not_after",
		                                    end, "days_left",
		                                    days_left(certificate.not_after_s))) != 0) {
			json_decref(certificates);
			return NULL;
		}
	}
	return certificates;
}

static void reload_tls(struct admin *admin, struct http_client *client)
{
	json_t *faults = json_array();
	int err = -ENOMEM;

	if (admin->source.reload_tls == NULL)
		err = -ENOENT;
	else if (faults != NULL)
		err = admin->source.reload_tls(admin->arg, on_fault, faults);
	if (err == -ENOENT) {
		json_decref(faults);
		http_reply_text(client, 404, "no TLS is configured\n");
		return;
	}
	if (err != 0 && json_array_size(faults) == 0)
		(void)json_array_append_new(faults, json_string(error_text(err)));
	http_reply_json(client, 200,
	                json_pack("{s:s, s:b, s:o, s:o}", "what", "tls", "loaded", err == 0,
	                          "faults", faults, "certificates", certificates_json(admin)));
}

void reload_start(struct admin *admin, const struct http_request *request)
{
	char *values[PARAMETERS];
	int err = parameters_read(request->query, parameter_names, values, PARAMETERS);

	if (err == -ENOMEM)
		http_reply_text(request->client, 500, "out of memory\n");
	else if (err != 0 || values[WHAT] == NULL || strcmp(values[WHAT], "tls") != 0)
		http_reply_text(request->client, 400, "expected what=tls\n");
	else
		reload_tls(admin, request->client);
	if (err == 0)
		parameters_free(values, PARAMETERS);
}
