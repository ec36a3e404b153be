/* SPDX-License-Identifier: Apache-2.0 */
/* How many elements an array has; never for a pointer. */
#pragma once

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
