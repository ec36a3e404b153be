// SPDX-License-Identifier: Apache-2.0
// The instance that the files beside this one share: a start takes seconds, and they ask for nothing special. Each also runs alone.
import { startInstance } from '../harness.mjs';

export const bourse = startInstance();
