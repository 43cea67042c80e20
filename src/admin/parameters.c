/*
 * What stands behind the '?' of a request: strict, since a mistyped parameter that is passed over may drain the
 * wrong thing. Pure.
 */
#include <string.h>

#include "admin_internal.h"
#include "base/error.h"
#include "base/memory.h"

/* Longer is a slip of the keyboard. */
#define DURATION_MAX_MS (3650ull * 86400 * 1000)

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

/* %XX, in place; false: broken or a NUL. '+' stays: it begins telephone numbers, and who encodes a blank writes %20. */
static bool decode(char *text)
{
	char *to = text;

	for (; *text != '\0'; text++) {
		int high, low;

		if (*text != '%') {
			*to++ = *text;
			continue;
		}
		high = hex_digit(text[1]);
		low = high >= 0 ? hex_digit(text[2]) : -1;
		if (low < 0 || high * 16 + low == 0)
			return false;
		*to++ = (char)(high * 16 + low);
		text += 2;
	}
	*to = '\0';
	return true;
}

static int read_one(struct slice part, const char *const *names, char **values, unsigned count)
{
	struct slice value, name = slice_split(part, '=', &value);

	for (unsigned i = 0; i < count; i++) {
		if (!slice_equal(name, slice_from_string(names[i])))
			continue;
		if (values[i] != NULL || name.length == part.length)
			return -EINVAL;
		values[i] = slice_to_string(value);
		if (values[i] == NULL)
			return -ENOMEM;
		return decode(values[i]) ? 0 : -EINVAL;
	}
	return -EINVAL;
}

int parameters_read(struct slice query, const char *const *names, char **values, unsigned count)
{
	int err = 0;

	memset(values, 0, count * sizeof(values[0]));
	while (err == 0 && query.length > 0) {
		struct slice part = slice_split(query, '&', &query);

		err = read_one(part, names, values, count);
	}
	if (err != 0)
		parameters_free(values, count);
	return err;
}

void parameters_free(char **values, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		memory_free(values[i]);
		values[i] = NULL;
	}
}

bool parameters_duration(const char *text, uint64_t *out_ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	size_t digits = strspn(text, "0123456789");
	uint64_t number;

	if (!slice_to_uint(slice_of(text, digits), DURATION_MAX_MS, &number) || number == 0)
		return false;
	for (unsigned i = 0; i < ARRAY_LENGTH(units); i++) {
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		*out_ms = number * units[i].ms;
		return number <= DURATION_MAX_MS / units[i].ms;
	}
	return false;
}
