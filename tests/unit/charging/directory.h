/* The directory of a spool, gone with all its segments when a test ends. */
#ifndef TESTS_UNIT_CHARGING_DIRECTORY_H
#define TESTS_UNIT_CHARGING_DIRECTORY_H

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

static inline void directory_remove(const char *directory)
{
	DIR *open = opendir(directory);
	struct dirent *entry;
	char path[512];

	while (open != NULL && (entry = readdir(open)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		unlink(path);
	}
	if (open != NULL)
		closedir(open);
	rmdir(directory);
}

#endif
