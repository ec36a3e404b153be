/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of a test's own, gone with everything in it when the test ends. */
#pragma once

struct scratch {
    char path[64]; /* short, so that a socket in it has a path a socket may have */
};

void scratch_make(struct scratch *scratch);
void scratch_remove(struct scratch *scratch);
/* path + "/" + name, in memory that lives until the next call but three. */
const char *scratch_path(const struct scratch *scratch, const char *name);
