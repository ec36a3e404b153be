// SPDX-License-Identifier: Apache-2.0
// What processes used, as the kernel counts it: CPU time in nanoseconds and resident memory. A group is a process with
// all its descendants; those that ended since the last look are counted through their parent, which has reaped them.
import { readFileSync, readdirSync } from 'node:fs';

const TICK_NS = 10_000_000; // /proc/PID/stat counts in hundredths of a second on every Linux we know
const PARENT = 1; // fields of /proc/PID/stat after the name, from 0
const REAPED_USER = 13;
const REAPED_SYSTEM = 14;

/** The program's name and its parent, or undefined when it has ended. */
function look(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number);
    return { pid, name, parent: fields[PARENT], reapedTicks: fields[REAPED_USER] + fields[REAPED_SYSTEM] };
  } catch {
    return undefined;
  }
}

function everyProcess() {
  const names = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return names.map((name) => look(Number(name))).filter(Boolean);
}

export function childrenOf(parent) {
  return everyProcess().filter((process) => process.parent === parent);
}

/** A process and all below it. `except`: one that is not counted, such as the backend that serves this bench's own questions. */
function groupOf(pid, except) {
  const all = everyProcess();
  const group = all.filter((process) => process.pid === pid);
  for (let i = 0; i < group.length; i++) {
    group.push(...all.filter((process) => process.parent === group[i].pid && process.pid !== except));
  }
  return group;
}

/** Running time of all threads that live, to the nanosecond; utime + stime would come in ticks of ten milliseconds. */
function threadsNs(pid) {
  let sum = 0;
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
    }
  } catch {
    return sum; // it ended while we looked: its parent counts it
  }
  return sum;
}

/** CPU time used so far by a process with all that it started. */
export function cpuOfGroup(pid, except) {
  const group = groupOf(pid, except);
  if (group.length === 0) throw new Error(`process ${pid} has ended`);
  return group.reduce((sum, process) => sum + threadsNs(process.pid) + process.reapedTicks * TICK_NS, 0);
}

/** The same for a process that starts no others: cheap enough to ask for every request. */
export function cpuOfProcess(pid) {
  return threadsNs(pid);
}

export function residentKib(pid) {
  const text = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)[1]);
}
