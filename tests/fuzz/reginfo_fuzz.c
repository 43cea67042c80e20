/* The body of a NOTIFY for the reg event: what is read holds together, and stays within its bounds. */
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "sip/reginfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long read_all(struct slice text)
{
	unsigned long sum = 0;

	for (size_t i = 0; i < text.length; i++)
		sum += (uint8_t)text.data[i];
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static volatile unsigned long sink;
	struct reginfo *reginfo;
	unsigned contacts = 0;

	if (reginfo_parse(slice_of((const char *)data, size), &reginfo) != 0) {
		ASSERT(reginfo == NULL);
		return 0;
	}
	for (unsigned i = 0; i < reginfo->registration_count; i++) {
		const struct reginfo_registration *registration = &reginfo->registrations[i];

		ASSERT(registration->first == contacts);
		contacts += registration->count;
		sink += read_all(registration->aor);
	}
	ASSERT(contacts == reginfo->contact_count);
	for (unsigned i = 0; i < contacts; i++) {
		ASSERT(reginfo->contacts[i].uri.length > 0);
		ASSERT(reginfo->contacts[i].state != REGINFO_INIT);
		sink += read_all(reginfo->contacts[i].uri) +
		        read_all(reginfo->contacts[i].instance) +
		        (unsigned long)reginfo_event_name(reginfo->contacts[i].event)[0];
	}
	reginfo_free(&reginfo);
	return 0;
}
