/*
 * The upstream view: built as one block, looked up by whoever routes. Pure; any thread reads it.
 */
#include "upstream/view.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "transport/transport.h"

#define SIP_PORT 5060
#define SIPS_PORT 5061

static const char *const state_names[TARGET_STATES] = {
	[TARGET_UNKNOWN] = "UNKNOWN",       [TARGET_UP] = "UP",     [TARGET_DEGRADED] = "DEGRADED",
	[TARGET_OVERLOADED] = "OVERLOADED", [TARGET_DOWN] = "DOWN", [TARGET_DRAINING] = "DRAINING",
};

const char *target_state_name(enum target_state state)
{
	ASSERT(state < TARGET_STATES);
	return state_names[state];
}

static const char *const site_state_names[SITE_STATES] = {
	[SITE_READY] = "READY",     [SITE_SPILLING] = "SPILLING",
	[SITE_DOWN] = "DOWN",       [SITE_HOLD_DOWN] = "HOLD_DOWN",
	[SITE_RAMPING] = "RAMPING", [SITE_EVACUATED] = "EVACUATED",
};

const char *site_state_name(enum site_state state)
{
	ASSERT(state < SITE_STATES);
	return site_state_names[state];
}

bool target_state_is_usable(enum target_state state)
{
	return state == TARGET_UNKNOWN || state == TARGET_UP || state == TARGET_DEGRADED;
}

/* ---- building ---- */

static size_t text_size(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 0;
}

static size_t view_text_size(const struct view *like)
{
	size_t size = 0;
	unsigned i;

	for (i = 0; i < like->site_count; i++)
		size += text_size(like->sites[i].name) + text_size(like->sites[i].advertise);
	for (i = 0; i < like->target_count; i++) {
		size += text_size(like->targets[i].name) + text_size(like->targets[i].uri) +
		        text_size(like->targets[i].route_uri) + text_size(like->targets[i].host) +
		        text_size(like->targets[i].tls) + text_size(like->targets[i].tls_name);
	}
	return size;
}

/* Move the string that *text points to into the block. */
static void text_keep(const char **text, char **place)
{
	size_t size = text_size(*text);

	if (size == 0)
		return;
	*text = memcpy(*place, *text, size);
	*place += size;
}

/* The first that may be used; one that the operator evacuated only if there is no other. */
static int first_usable_site(const struct view *view)
{
	int evacuated = -1;
	unsigned i;

	for (i = 0; i < view->site_count; i++) {
		if (!view->sites[i].usable)
			continue;
		if (!view->sites[i].evacuated)
			return (int)i;
		if (evacuated < 0)
			evacuated = (int)i;
	}
	return evacuated;
}

static void view_judge_sites(struct view *view)
{
	unsigned i, j, most = 0;

	view->serving = -1;
	for (i = 0; i < view->site_count; i++) {
		struct view_site *site = &view->sites[i];

		site->usable = false;
		for (j = site->first; j < site->first + site->count; j++)
			site->usable |= target_state_is_usable(view->targets[j].state);
		if (!site->usable)
			site->share = 0;
		if (site->share > most) {
			most = site->share;
			view->serving = (int)i;
		}
	}
	if (view->serving < 0) {
		view->serving = first_usable_site(view);
		if (view->serving >= 0)
			view->sites[view->serving].share = VIEW_SHARE_ALL;
	}
	view->panic = view->serving < 0;
}

static void view_free(struct snapshot *snapshot)
{
	struct view *view = CONTAINER_OF(snapshot, struct view, snapshot);

	snapshot_release(view->roster);
	memory_free(view);
}

int view_create(const struct view *like, struct view **out)
{
	size_t targets_size = like->target_count * sizeof(struct view_target);
	size_t sites_size = like->site_count * sizeof(struct view_site);
	struct view *view;
	char *place;
	unsigned i;

	view = memory_zalloc(sizeof(*view) + targets_size + sites_size + view_text_size(like));
	if (view == NULL)
		return -ENOMEM;
	snapshot_init(&view->snapshot, view_free);
	view->version = like->version;
	view->target_count = like->target_count;
	view->site_count = like->site_count;
	view->targets = (struct view_target *)(view + 1);
	view->sites = (struct view_site *)(view->targets + like->target_count);
	place = (char *)(view->sites + like->site_count);
	for (i = 0; i < like->site_count; i++) {
		view->sites[i] = like->sites[i];
		text_keep(&view->sites[i].name, &place);
		text_keep(&view->sites[i].advertise, &place);
	}
	for (i = 0; i < like->target_count; i++) {
		view->targets[i] = like->targets[i];
		text_keep(&view->targets[i].name, &place);
		text_keep(&view->targets[i].uri, &place);
		text_keep(&view->targets[i].route_uri, &place);
		text_keep(&view->targets[i].host, &place);
		text_keep(&view->targets[i].tls, &place);
		text_keep(&view->targets[i].tls_name, &place);
	}
	view_judge_sites(view);
	view->roster = like->roster;
	if (view->roster != NULL)
		snapshot_share(view->roster);
	*out = view;
	return 0;
}

/* ---- finding ---- */

void view_target_peer(const struct view_target *target, struct transport_peer *out)
{
	*out = (struct transport_peer){
		.transport = target->transport,
		.address = &target->address,
		.tls = target->tls,
		.name = target->tls_name,
	};
}

const struct view_target *view_find_id(const struct view *view, uint32_t id)
{
	unsigned i;

	/* Without reload an id is its index; look there first. */
	if (id < view->target_count && view->targets[id].id == id)
		return &view->targets[id];
	for (i = 0; i < view->target_count; i++) {
		if (view->targets[i].id == id)
			return &view->targets[i];
	}
	return NULL;
}

const struct view_target *view_find_address(const struct view *view, const struct address *address,
                                            enum sip_transport transport)
{
	unsigned i;

	for (i = 0; i < view->target_count; i++) {
		if (view->targets[i].transport == transport &&
		    address_equal(&view->targets[i].address, address))
			return &view->targets[i];
	}
	return NULL;
}

/* What a URI says of the place to send to. */
struct place {
	bool literal;
	struct address address; /* with port, if literal */
	struct slice host;
	uint16_t port;
	bool has_transport;
	enum sip_transport transport;
};

static bool place_read(const struct uri *uri, struct place *out)
{
	struct slice value;

	if (uri->scheme != URI_SIP && uri->scheme != URI_SIPS)
		return false;
	*out = (struct place){.host = uri->host, .port = uri->port};
	if (uri_param(uri, "transport", &value)) {
		if (!transport_from_name(value, &out->transport))
			return false;
		out->has_transport = true;
	}
	/* RFC 3261 26.2.2: sips over TCP is TLS over TCP. */
	if (uri->scheme == URI_SIPS && (!out->has_transport || out->transport == TRANSPORT_TCP)) {
		out->has_transport = true;
		out->transport = TRANSPORT_TLS;
	}
	if (out->port == 0)
		out->port = out->has_transport && out->transport == TRANSPORT_TLS ? SIPS_PORT
		                                                                  : SIP_PORT;
	out->literal = address_parse_host(out->host, out->port, &out->address);
	return true;
}

static bool target_is_at(const struct view_target *target, const struct place *place)
{
	struct uri uri;

	if (place->literal)
		return address_equal(&target->address, &place->address);
	if (address_port(&target->address) != place->port)
		return false;
	if (target->host != NULL &&
	    slice_equal_nocase(slice_from_string(target->host), place->host))
		return true;
	return uri_parse(slice_from_string(target->uri), &uri) &&
	       slice_equal_nocase(uri.host, place->host);
}

const struct view_target *view_find_uri(const struct view *view, const struct uri *uri)
{
	const struct view_target *only = NULL;
	struct place place;
	unsigned i, count = 0;

	if (!place_read(uri, &place))
		return NULL;
	for (i = 0; i < view->target_count; i++) {
		const struct view_target *target = &view->targets[i];

		if (!target_is_at(target, &place))
			continue;
		if (target->transport == (place.has_transport ? place.transport : TRANSPORT_UDP))
			return target;
		only = target;
		count++;
	}
	return !place.has_transport && count == 1 ? only : NULL;
}
