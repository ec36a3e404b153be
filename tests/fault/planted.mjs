// SPDX-License-Identifier: Apache-2.0
// Ledgers that are wrong on purpose: `BUG_…` in the sources. A checker that never objects proves nothing.
import { execFileSync } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import path from 'node:path';

import { BUILD, ROOT } from '../integration/harness.mjs';

const OTHERS = ['supervise', 'migrate', 'catalog', 'usage', 'simprovider', 'edge', 'bourse'];

/** A directory of the programs of build/fault, with another ledger. */
export function buildPlanted(bug) {
  const planted = path.join(BUILD, 'planted', bug);
  const ledger = path.relative(ROOT, path.join(planted, 'ledger'));
  execFileSync('make', ['FAULT=1', `BUG=${bug}`, ledger], { cwd: ROOT, stdio: 'pipe' });
  for (const name of OTHERS) {
    const link = path.join(planted, name);
    if (!existsSync(link)) symlinkSync(path.join(BUILD, name), link);
  }
  return planted;
}
