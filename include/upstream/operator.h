/*
 * What the operator said of targets and sites: a list of values, keyed by name, so that it can be written to a
 * file and read again. Control thread only.
 */
#ifndef BONO_UPSTREAM_OPERATOR_H
#define BONO_UPSTREAM_OPERATOR_H

#include <stdbool.h>
#include <stdint.h>

#define OPERATOR_NAME_MAX 64
#define OPERATOR_REASON_MAX 128

enum operator_verb {
	OPERATOR_ENABLE,   /* a target: revoke what was said */
	OPERATOR_DRAIN,    /* a target: no new work; dialogs and what names it go on */
	OPERATOR_DISABLE,  /* a target: nothing at all */
	OPERATOR_RESTORE,  /* a site: revoke */
	OPERATOR_EVACUATE, /* a site: new work goes to the others as long as there is one */
	OPERATOR_VERBS
};
const char *operator_verb_name(enum operator_verb verb); /* "drain" */
bool operator_verb_from_name(const char *name, enum operator_verb *out);

struct operator_word {
	char site[OPERATOR_NAME_MAX];
	char target[OPERATOR_NAME_MAX];   /* empty: the site itself */
	enum operator_verb verb;          /* DRAIN, DISABLE, EVACUATE */
	uint64_t until_wall_ms;           /* 0: until revoked */
	char reason[OPERATOR_REASON_MAX]; /* empty: none given */
};

#endif
