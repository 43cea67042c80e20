/*
 * Whatever a DNS server sends: the first byte chooses the type asked for, the rest is the packet. What is read
 * out of it keeps to its limits.
 */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "upstream/dns_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name)
{
	size_t length = strnlen(name, DNS_NAME_MAX);

	ASSERT(length < DNS_NAME_MAX);
	for (size_t i = 0; i < length; i++)
		ASSERT(name[i] > ' ' && name[i] < 127);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_SRV, DNS_NAPTR};
	struct dns_answer answer;

	if (size < 1)
		return 0;
	if (dns_answer_read(data + 1, size - 1, "sprout.example.net", types[data[0] % 4],
	                    &answer) != 0)
		return 0;
	ASSERT((answer.verdict == DNS_FOUND) == (answer.count > 0));
	ASSERT(answer.count <= DNS_RECORDS_MAX);
	check_name(answer.alias);
	for (unsigned i = 0; i < answer.count; i++)
		check_name(answer.records[i].name);
	dns_answer_free(&answer);
	return 0;
}
