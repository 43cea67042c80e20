/*
 * From the configuration's profiles to a book: all at once for the node, one by one for `bono --check`.
 */
#include "control/tls_files.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/memory.h"

#define FAULT_MAX 1024

struct teller {
	void (*on_fault)(void *arg, const char *text);
	void *arg;
	unsigned count;
};

static void tell(void *arg, const char *text)
{
	struct teller *teller = arg;

	teller->count++;
	if (teller->on_fault != NULL)
		teller->on_fault(teller->arg, text);
}

/* ---- files that must not be opened ---- */

/* A pipe would hold us for ever, a disk's image for long. What cannot be looked at is told by who reads it. */
static void look_at(struct teller *teller, const char *profile, const char *path)
{
	char text[FAULT_MAX];
	struct stat at;

	if (path == NULL || stat(path, &at) != 0)
		return;
	if (!S_ISREG(at.st_mode))
		snprintf(text, sizeof(text), "%s%s: no regular file", profile, path);
	else if (at.st_size > TLS_FILE_MAX_BYTES)
		snprintf(text, sizeof(text), "%s%s: %lld bytes long, expected at most %d", profile,
		         path, (long long)at.st_size, TLS_FILE_MAX_BYTES);
	else
		return;
	tell(teller, text);
}

static void look_at_profile(struct teller *teller, const struct config_tls *profile)
{
	char name[96];

	snprintf(name, sizeof(name), "profile %s: ", profile->name);
	for (unsigned i = 0; i < profile->certificate_count; i++) {
		look_at(teller, name, profile->certificates[i].certificate);
		look_at(teller, name, profile->certificates[i].key);
	}
	look_at(teller, name, profile->ca);
}

/* ---- loading ---- */

static int fill_profile(const struct config_tls *from, struct tls_profile_settings *to)
{
	struct tls_pair *pairs = NULL;

	if (from->certificate_count > 0) {
		pairs = memory_alloc(from->certificate_count * sizeof(*pairs));
		if (pairs == NULL)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < from->certificate_count; i++)
		pairs[i] = (struct tls_pair){from->certificates[i].certificate,
		                             from->certificates[i].key};
	*to = (struct tls_profile_settings){
		.name = from->name,
		.pairs = pairs,
		.pair_count = from->certificate_count,
		.ca = from->ca,
		.verify = (enum tls_verify)from->verify,
		.minimum = from->minimum,
	};
	return 0;
}

/* count profiles of the configuration. */
static int load_some(const struct config_tls *profiles, unsigned count, const char *ticket_keys,
                     const struct tls_book *previous, struct teller *teller, struct tls_book **out)
{
	struct tls_profile_settings *filled;
	int err = 0;

	for (unsigned i = 0; i < count; i++)
		look_at_profile(teller, &profiles[i]);
	look_at(teller, "ticket keys ", ticket_keys);
	if (teller->count > 0)
		return -EINVAL;
	filled = memory_zalloc((count + 1) * sizeof(*filled));
	if (filled == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < count && err == 0; i++)
		err = fill_profile(&profiles[i], &filled[i]);
	if (err == 0) {
		const struct tls_settings settings = {filled, count, ticket_keys};

		err = tls_book_load(&settings, previous, tell, teller, out);
	}
	for (unsigned i = 0; i < count; i++)
		memory_free((void *)(uintptr_t)filled[i].pairs);
	memory_free(filled);
	return err;
}

int tls_files_load(const struct config *config, const struct tls_book *previous,
                   void (*on_fault)(void *arg, const char *text), void *arg, struct tls_book **out)
{
	struct teller teller = {.on_fault = on_fault, .arg = arg};

	return load_some(config->tls, config->tls_count, config->tls_ticket_keys, previous, &teller,
	                 out);
}

/* ---- bono --check ---- */

struct place {
	FILE *faults;
	const char *file;
	unsigned line, column;
};

static void write_fault(void *arg, const char *text)
{
	const struct place *place = arg;

	fprintf(place->faults, "%s:%u:%u: %s\n", place->file, place->line, place->column, text);
}

static int check_some(const struct config_tls *profiles, unsigned count, const char *ticket_keys,
                      struct place *place)
{
	struct teller teller = {.on_fault = write_fault, .arg = place};
	struct tls_book *book = NULL;
	int err = load_some(profiles, count, ticket_keys, NULL, &teller, &book);

	if (err == 0)
		snapshot_release(tls_book_snapshot(book));
	else if (teller.count == 0)
		write_fault(place, error_text(err));
	return err;
}

int tls_files_check(const struct config *config, const char *file, FILE *faults)
{
	int err = 0;

	for (unsigned i = 0; i < config->tls_count; i++) {
		struct place place = {faults, file, config->tls[i].line, config->tls[i].column};

		if (check_some(&config->tls[i], 1, NULL, &place) != 0)
			err = -EINVAL;
	}
	if (config->tls_ticket_keys != NULL) {
		struct place place = {faults, file, config->tls_tickets_line,
		                      config->tls_tickets_column};

		if (check_some(NULL, 0, config->tls_ticket_keys, &place) != 0)
			err = -EINVAL;
	}
	return err;
}
