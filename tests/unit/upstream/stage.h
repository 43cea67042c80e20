/* Two sites with two targets each, as a view that tests bend. */
#ifndef TESTS_UNIT_UPSTREAM_STAGE_H
#define TESTS_UNIT_UPSTREAM_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "support/alloc_fail.h"
#include "upstream/view.h"

struct stage_view {
	struct view_site sites[2];
	struct view_target targets[4];
	struct view view; /* not counted: tests only lend it */
};

static inline void stage_view_target(struct stage_view *stage, uint32_t id, const char *name,
                                     const char *address, const char *uri,
                                     enum sip_transport transport)
{
	struct view_target *target = &stage->targets[id];

	*target = (struct view_target){
		.id = id,
		.site = id / 2,
		.name = name,
		.uri = uri,
		.route_uri = uri,
		.transport = transport,
		.weight = 1,
		.state = TARGET_UP,
		.probe_us = -1,
	};
	assert_true(address_parse(slice_from_string(address), &target->address));
}

static inline void stage_view_init(struct stage_view *stage)
{
	memset(stage, 0, sizeof(*stage));
	stage->sites[0] =
		(struct view_site){.name = "site-a", .local = true, .first = 0, .count = 2};
	stage->sites[1] = (struct view_site){.name = "site-b",
	                                     .advertise = "b.example.net:5058",
	                                     .first = 2,
	                                     .count = 2};
	stage_view_target(stage, 0, "sprout-1", "10.0.0.1:5054", "sip:10.0.0.1:5054;transport=tcp",
	                  TRANSPORT_TCP);
	stage_view_target(stage, 1, "sprout-2", "10.0.0.2:5054", "sip:10.0.0.2:5054;transport=tcp",
	                  TRANSPORT_TCP);
	stage_view_target(stage, 2, "sprout-1", "10.0.1.1:5054", "sip:10.0.1.1:5054",
	                  TRANSPORT_UDP);
	stage_view_target(stage, 3, "sprout-2", "10.0.1.2:5060",
	                  "sip:Sprout-2.site-b.example.net;transport=udp", TRANSPORT_UDP);
	stage->view.sites = stage->sites;
	stage->view.site_count = 2;
	stage->view.targets = stage->targets;
	stage->view.target_count = 4;
}

/* "UD OU": the states by first letter, sites apart; X: DRAINING, ?: UNKNOWN, G: DEGRADED. */
static inline void stage_view_states(struct stage_view *stage, const char *states)
{
	static const char letters[] = "?UGODX";
	unsigned id = 0, site;

	for (; *states != '\0'; states++) {
		if (*states == ' ')
			continue;
		stage->targets[id].state = (enum target_state)(strchr(letters, *states) - letters);
		stage->targets[id].weight_cut =
			stage->targets[id].state == TARGET_DEGRADED ? 980 : 0;
		id++;
	}
	stage->view.serving = -1;
	for (site = 2; site-- > 0;) {
		stage->sites[site].usable =
			target_state_is_usable(stage->targets[2 * site].state) ||
			target_state_is_usable(stage->targets[2 * site + 1].state);
		if (stage->sites[site].usable)
			stage->view.serving = (int)site;
	}
}

#endif
