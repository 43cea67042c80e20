/*
 * The operator's file: any bytes either load or are told as faulty, and nothing is left behind.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *null;
	struct config *config = NULL;
	int64_t before = memory_live_blocks();
	int err;

	if (null == NULL)
		null = fopen("/dev/null", "w");
	err = config_load_bytes((const char *)data, size, "fuzz.yaml", null, &config);
	if ((err == 0) != (config != NULL))
		abort();
	if (config != NULL && (config->site_count == 0 || !config->sites[0].local ||
	                       config->listener_count < 2 || config->workers == 0))
		abort();
	config_free(&config);
	if (memory_live_blocks() != before)
		abort();
	return 0;
}
